"""What the numbers were taken under: the machine, and how busy it was."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from hsi_edge.acceptance.telemetry import Sources
from hsi_edge.acceptance.telemetry.sampler import Sampler
from hsi_edge.acceptance.telemetry.sysfs import text_of
from hsi_edge.machine import machine_facts

PACKAGES = ("numpy", "openvino", "onnxruntime", "tensorrt", "tensorrt-rtx-cu13-bindings", "cuda-bindings")
STAT = Path("/proc/stat")
CPUINFO = Path("/proc/cpuinfo")
PLATFORM_PROFILE = Path("/sys/firmware/acpi/platform_profile")
POWER_SUPPLY = Path("/sys/class/power_supply")


@dataclass(frozen=True)
class CpuTime:
    """Processor time since the system's start, in seconds: of all cores, and of this process."""

    busy_s: float
    stolen_s: float
    total_s: float
    own_s: float


def cpu_time(stat: Path = STAT) -> CpuTime | None:
    """The processor time until now; None where the system does not count it."""
    words = text_of(stat).partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None
    user, nice, system, idle, waiting, irq, softirq, stolen = (float(word) / _ticks() for word in words[1:9])
    busy = user + nice + system + irq + softirq
    total = busy + idle + waiting + stolen
    own = os.times()
    return CpuTime(busy, stolen, total, own.user + own.system) if total else None


@dataclass(frozen=True)
class Start:
    """The machine before the check."""

    load: tuple[float, float, float] | None
    cpu: CpuTime | None


def start() -> Start:
    """Look at the machine before it has anything to do."""
    try:
        load = os.getloadavg()
    except OSError:
        load = None
    return Start(load, cpu_time())


def facts(begin: Start, end: CpuTime | None, sources: Sources, sampler: Sampler) -> dict[str, str]:
    """The conditions by name, in words; what is not told is left out."""
    machine = {name: text for name, text in machine_facts(PACKAGES).items() if text and text != "not installed"}
    told = {
        **machine,
        "virtual machine": {True: "yes", False: "no sign of one", None: ""}[is_virtual()],
        "load average before the check": "" if begin.load is None else " ".join(f"{load:.2f}" for load in begin.load),
        "processor time of other programs": _percent(others_percent(begin.cpu, end)),
        "processor time taken by the hypervisor": _percent(stolen_percent(begin.cpu, end)),
        **sources.facts(),
        "platform profile": text_of(PLATFORM_PROFILE),
        "power supply": _supply(),
        "clock resolution": f"{time.get_clock_info('perf_counter').resolution * 1e9:.0f} ns",
        "telemetry": f"{', '.join(source.name for source in sources.opened)}; reading it took "
        f"{100 * sampler.share:.2g} percent of a core",
    }
    return {name: text for name, text in told.items() if text}


def is_virtual(cpuinfo: Path = CPUINFO) -> bool | None:
    """Whether the CPU says that a hypervisor runs it; None where there is nothing to ask."""
    text = text_of(cpuinfo)
    if not text:
        return None
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return "hypervisor" in flags.split()


def others_percent(begin: CpuTime | None, end: CpuTime | None) -> float | None:
    """The share of all cores' time that other programs took in between; None where it is not told."""
    if begin is None or end is None or end.total_s <= begin.total_s:
        return None
    others = (end.busy_s - begin.busy_s) - (end.own_s - begin.own_s)
    return 100 * max(0.0, others) / (end.total_s - begin.total_s)


def stolen_percent(begin: CpuTime | None, end: CpuTime | None) -> float | None:
    """The share of all cores' time that the hypervisor gave to others in between; None where it is not told."""
    if begin is None or end is None or end.total_s <= begin.total_s:
        return None
    return 100 * (end.stolen_s - begin.stolen_s) / (end.total_s - begin.total_s)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} percent of all cores"


def _supply() -> str:
    """Mains or battery, where the machine has one."""
    online = [text_of(supply / "online") for supply in sorted(POWER_SUPPLY.glob("*")) if (supply / "online").exists()]
    if not online:
        return ""
    return "mains" if "1" in online else "battery"


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")
