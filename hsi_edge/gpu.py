"""The NVIDIA GPU of this machine, as far as the choice of an engine asks: without a context, and without a GPU."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsi_edge.backends.tensorrt_library import MODULES, load_tensorrt
from hsi_edge.engine_store import Kind
from hsi_edge.errors import EngineLoadError, MissingPackageError, require

OLDEST_CUDA = 12
"""The least major version of CUDA that a driver must know."""

_JETSON_RELEASE = Path("/etc/nv_tegra_release")
_WORDS = {
    "CUDA_ERROR_NO_DEVICE": "the NVIDIA driver finds no GPU, or CUDA_VISIBLE_DEVICES hides it",
    "CUDA_ERROR_STUB_LIBRARY": "the libcuda found is a stub for linking; put the driver's own first",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "the NVIDIA driver and its libraries are of different versions; reboot",
    "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE": "the CUDA compatibility package does not support this GPU; remove it",
    "CUDA_ERROR_SYSTEM_NOT_READY": "the GPU's system software is not running; start nvidia-fabricmanager",
    "CUDA_ERROR_UNKNOWN": "the NVIDIA driver failed for a reason it does not know; reboot, or look into dmesg",
}


@dataclass(frozen=True, kw_only=True)
class DeviceFacts:
    """The GPU of this machine, and what there is to run it.

    Attributes:
        name: Its own.
        compute_capability: Such as `8.7`.
        driver: The driver's version, or the Jetson's release, and the CUDA that it knows, in words.
        platform: System and processor, such as `linux-aarch64`.
        memory_bytes: Of the GPU; shared with the system on a Jetson.
        versions: Of the libraries that are installed.
    """

    name: str
    compute_capability: str
    driver: str
    platform: str
    memory_bytes: int = 0
    versions: Mapping[Kind, str] = field(default_factory=dict)


def this_platform() -> str:
    """System and processor, such as `linux-x86_64`."""
    return f"{platform.system()}-{platform.machine()}".lower()


def find_device() -> tuple[DeviceFacts | None, str]:
    """This machine's GPU, the first that CUDA shows; or None, and why there is none to be used."""
    try:
        api = require("cuda.bindings.driver", feature="finding an NVIDIA GPU", extra="cuda")
        return _first_device(api), ""
    except (EngineLoadError, MissingPackageError) as err:
        return None, str(err)


def _first_device(api: Any) -> DeviceFacts:
    try:
        _call(api, "cuInit", 0)
        version = _call(api, "cuDriverGetVersion")
    # What cuda-bindings raises where there is no libcuda has no public class.
    except RuntimeError as err:
        raise EngineLoadError("there is no NVIDIA driver here (libcuda.so.1)") from err
    if version // 1000 < OLDEST_CUDA:
        raise EngineLoadError(
            f"the NVIDIA driver is too old: it knows CUDA {_dotted(version)}, and {OLDEST_CUDA}.0 is the "
            "least; update it"
        )
    device, attribute = _call(api, "cuDeviceGet", 0), api.CUdevice_attribute
    major = _call(api, "cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device)
    minor = _call(api, "cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device)
    return DeviceFacts(
        name=_call(api, "cuDeviceGetName", 256, device).split(b"\0")[0].decode(),
        compute_capability=f"{major}.{minor}",
        driver=f"{_driver_version()} (CUDA {_dotted(version)})",
        platform=this_platform(),
        memory_bytes=int(_call(api, "cuDeviceTotalMem", device)),
        versions=_installed(),
    )


def _call(api: Any, name: str, *arguments: object) -> Any:
    status, *results = getattr(api, name)(*arguments)
    if status != api.CUresult.CUDA_SUCCESS:
        words = _WORDS.get(status.name, "the NVIDIA driver refuses")
        raise EngineLoadError(f"{words} ({name}: {status.name})")
    return results[0] if results else None


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _driver_version() -> str:
    """A Jetson's release, or the driver's version from NVML; empty words are better than no engine."""
    try:
        # "# R36 (release), REVISION: 4.3, GCID: ..."
        release, _, rest = _JETSON_RELEASE.read_text(encoding="utf-8").lstrip("# ").partition(" (release), REVISION: ")
        return f"Jetson Linux {release}.{rest.split(',')[0]}"
    except OSError:
        pass
    try:
        nvml = require("pynvml", feature="the driver's version", extra="nvml")
        nvml.nvmlInit()
        try:
            return f"driver {nvml.nvmlSystemGetDriverVersion()}"
        finally:
            nvml.nvmlShutdown()
    # NVMLError, which is known only once the package is there.
    except Exception:
        return "driver of unknown version"


def _installed() -> dict[Kind, str]:
    found = {kind: _version_of(kind) for kind in MODULES}
    return {kind: version for kind, version in found.items() if version is not None}


def _version_of(kind: Kind) -> str | None:
    try:
        return str(load_tensorrt(kind).__version__)
    except MissingPackageError:
        return None
