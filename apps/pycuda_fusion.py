"""Fuse a frame pair that a PyCUDA program already has on the GPU, into an array of its own, without a copy of either.

Run from a checkout, on a machine with an NVIDIA GPU: `python -m apps.pycuda_fusion [BUNDLE]`. The pair is the bundle's
golden one, mirrored until it fills an engine's tiles. PyCUDA is not among this project's packages: `pip install pycuda`
builds it against the CUDA toolkit.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

try:
    from pycuda import driver, gpuarray
except ModuleNotFoundError:
    sys.exit("pycuda_fusion: PyCUDA is not installed; pip install pycuda builds it against the CUDA toolkit")

from hsi_edge import HSIEngine
from hsi_edge.bundle import Bundle
from hsi_edge.errors import HSIEdgeError

BUNDLE = Path(__file__).parents[1] / "engines" / "bundles" / "fieldfuse-x8"
FRAMES = 20
TIMES = 16
"""So often the golden pair is laid beside itself, along either axis: an engine takes no frame below its tile."""


def fuse(
    engine: HSIEngine, lr_hsi: NDArray[np.generic], hr_msi: NDArray[np.generic]
) -> tuple[NDArray[np.float32], float]:
    """The result, and the median of what a frame took, in milliseconds.

    Args:
        engine: Opened while this thread has a PyCUDA context, which it works in.
        lr_hsi: `(h, w, bands)`, on the host: it is small, and prepared there.
        hr_msi: `(H, W, 3)`; put on the GPU here, where a camera's decoder would have left it.
    """
    on_gpu = gpuarray.to_gpu(hr_msi)
    result = gpuarray.empty((*hr_msi.shape[:2], lr_hsi.shape[2]), np.float32)
    took_ms = []
    for _ in range(FRAMES):
        start = time.perf_counter()
        # On return the result is complete: PyCUDA may use it in any stream.
        engine.run(lr_hsi, on_gpu, out=result)
        took_ms.append(1000 * (time.perf_counter() - start))
    return result.get(), float(np.median(took_ms))


def sample_pair(bundle: Path) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """The golden pair, mirrored."""
    golden = Bundle.open(bundle).golden()
    lr_hsi, hr_msi = (
        np.pad(image, (*((0, (TIMES - 1) * length) for length in image.shape[:2]), (0, 0)), mode="symmetric")
        for image in (golden["lr_hsi"], golden["hr_msi"])
    )
    return lr_hsi, hr_msi


def main(bundle: Path) -> None:
    """Fuse the sample pair, and compare with what the CPU makes of it."""
    driver.init()
    # The primary context is the one that TensorRT, CuPy and torch share; one of PyCUDA's own serves as well.
    context = driver.Device(0).retain_primary_context()
    context.push()
    try:
        pair = sample_pair(bundle)
        # Without an engine for this GPU it would run on the CPU, which takes no array from here.
        with HSIEngine(bundle, build=True) as engine:
            result, frame_ms = fuse(engine, *pair)
            report = engine.report
        with HSIEngine(bundle, backend="openvino") as on_cpu:
            wanted = on_cpu.run(*pair)
        off = float(np.abs(result - wanted).max() / wanted.max())
        print(f"{report.backend} {report.precision} on {report.device}: {frame_ms:.2f} ms per frame")
        print(f"the result {result.shape} differs from the CPU's by at most {off:.2g} of its largest value")
    finally:
        context.pop()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLE)
    except (HSIEdgeError, OSError) as err:
        sys.exit(f"pycuda_fusion: {err}")
