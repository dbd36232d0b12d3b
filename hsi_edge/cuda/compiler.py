"""NVRTC: kernels compiled on the device for the device, without a toolkit, and remembered in the cache folder."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from hsi_edge.device_facts import cache_folder
from hsi_edge.errors import EngineLoadError, OutputError, require
from hsi_edge.io.atomic import atomic_path

_log = logging.getLogger(__name__)
_DIGEST_BYTES = 32


def compiled_kernels(source: str, capability: tuple[int, int]) -> bytes:
    """A CUDA C++ source compiled for a compute capability: machine code, or PTX for a GPU newer than this NVRTC.

    Raises:
        MissingPackageError: cuda-bindings is not installed.
        EngineLoadError: NVRTC is not there, or refuses the source; with its log.
    """
    nvrtc: Any = require("cuda.bindings.nvrtc", feature="compiling CUDA kernels", extra="cuda")
    try:
        status, *version = nvrtc.nvrtcVersion()
        known: list[int] = _checked(nvrtc, status, _checked(nvrtc, *nvrtc.nvrtcGetSupportedArchs()))
    # What cuda-bindings raises where the library is not there has no public class.
    except RuntimeError as err:
        raise EngineLoadError(
            f"NVRTC, which compiles the CUDA kernels, is not here ({err}); install nvidia-cuda-nvrtc (beside "
            "cuda-bindings 12: nvidia-cuda-nvrtc-cu12), or on a Jetson the system's CUDA"
        ) from err
    target = _target(capability, known)
    key = hashlib.sha256(f"{version} {target}\n{source}".encode()).hexdigest()
    path = cache_folder() / "kernels" / f"{target}-{key[:16]}.bin"
    if (remembered := _read(path)) is not None:
        return remembered
    image = _compiled(nvrtc, source, target)
    _remember(path, image)
    return image


def _target(capability: tuple[int, int], known: list[int]) -> str:
    number = 10 * capability[0] + capability[1]
    if number in known:
        return f"sm_{number}"
    if number < min(known):
        raise EngineLoadError(
            f"a GPU of compute capability {capability[0]}.{capability[1]} is older than what NVRTC here compiles for "
            f"({min(known) / 10:g} on); install an older nvidia-cuda-nvrtc"
        )
    return f"compute_{max(arch for arch in known if arch < number)}"


def _compiled(nvrtc: Any, source: str, target: str) -> bytes:
    program = _checked(nvrtc, *nvrtc.nvrtcCreateProgram(source.encode(), b"kernels.cu", 0, [], []))
    options = [f"--gpu-architecture={target}".encode()]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = bytearray(_checked(nvrtc, *nvrtc.nvrtcGetProgramLogSize(program)))
        nvrtc.nvrtcGetProgramLog(program, log)
        raise EngineLoadError(f"NVRTC cannot compile the kernels for {target}: {log.decode(errors='replace').strip()}")
    code = "CUBIN" if target.startswith("sm_") else "PTX"
    image = bytearray(_checked(nvrtc, *getattr(nvrtc, f"nvrtcGet{code}Size")(program)))
    _checked(nvrtc, *getattr(nvrtc, f"nvrtcGet{code}")(program, image))
    nvrtc.nvrtcDestroyProgram(program)
    return bytes(image)


def _checked(nvrtc: Any, status: Any, value: Any = None) -> Any:
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise EngineLoadError(f"NVRTC failed: {status.name}")
    return value


def _read(path: Path) -> bytes | None:
    """What was remembered, unless it was damaged since."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    image = data[_DIGEST_BYTES:]
    return image if data[:_DIGEST_BYTES] == hashlib.sha256(image).digest() else None


def _remember(path: Path, image: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            partial.write_bytes(hashlib.sha256(image).digest() + image)
    except (OSError, OutputError) as err:
        _log.warning("the CUDA kernels cannot be remembered, so they are compiled at each start: %s", err)
