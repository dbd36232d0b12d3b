"""What a measurement was made on, and how much memory this process takes; Linux alone tells it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from hsi_edge._version import __version__

FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "sve", "bf16", "i8mm")
"""The CPU's abilities that decide how fast a network runs, as the kernel calls them."""

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_CPU = Path("/proc/cpuinfo")
_MEMORY = Path("/proc/meminfo")


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return _kilobytes(_STATUS, "VmRSS") * 1024


def peak_resident_bytes() -> int:
    """The most that this process has held in memory, files mapped into it included; 0 where the system is not Linux.

    Not `getrusage`: its `ru_maxrss` starts at what the parent process held, so that a small program that a large one
    starts looks large.
    """
    return _kilobytes(_STATUS, "VmHWM") * 1024 if _STATUS.exists() else 0


def available_bytes() -> int:
    """Memory that the system could give without swapping; 0 where it is not Linux."""
    return _kilobytes(_MEMORY, "MemAvailable") * 1024 if _MEMORY.exists() else 0


def forget_peak() -> None:
    """Count `peak_resident_bytes` from now on, where the kernel can (`/proc/self/clear_refs`, see proc(5))."""
    with suppress(OSError):
        _CLEAR.write_text("5")


def machine_facts(packages: Sequence[str]) -> dict[str, str]:
    """The CPU, the system, the versions of Python, this package and the given ones, and the date, in words."""
    return {
        "cpu": _fields(_CPU).get("model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "features": ", ".join(cpu_features()),
        "memory": f"{_kilobytes(_MEMORY, 'MemTotal') / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "hsi_edge": __version__,
        **{package: _version(package) for package in packages},
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def cpu_features() -> tuple[str, ...]:
    """Which of `FEATURES` the CPU has; `amx_bf16` stands for BF16 matrix units."""
    cpu = _fields(_CPU)
    flags = (cpu.get("flags") or cpu.get("Features", "")).split()
    return tuple(name for name in FEATURES if name in flags)


def _kilobytes(file: Path, key: str) -> int:
    return int(_fields(file)[key].split()[0])


def _fields(file: Path) -> dict[str, str]:
    """The `key: value` lines of one of the kernel's files."""
    lines = (line.partition(":") for line in file.read_text(encoding="utf-8").splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _version(package: str) -> str:
    """From the package's metadata: importing it would be slow."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
