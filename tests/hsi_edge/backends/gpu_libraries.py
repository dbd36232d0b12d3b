"""Which of NVIDIA's libraries can build an engine for the GPU of this machine."""

from __future__ import annotations

from importlib.util import find_spec

from hsi_edge.backends.tensorrt_build import buildable_capabilities
from hsi_edge.backends.tensorrt_library import MODULES
from hsi_edge.gpu import find_device


def why_not(kind):
    """Why a library cannot, in words; None where it can."""
    if find_spec(MODULES[kind]) is None:
        return f"{kind} is not installed (module {MODULES[kind]})"
    device, reason = find_device()
    assert device is not None, reason
    # The GPUs of data centres (Hopper) are none of its.
    if kind == "tensorrt-rtx" and device.compute_capability not in buildable_capabilities():
        return f"TensorRT-RTX does not build for this GPU's compute capability, {device.compute_capability}"
    return None
