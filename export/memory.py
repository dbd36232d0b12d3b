"""The memory that a graph takes per pixel of a tile, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from export.onnx_session import zero_inputs
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.machine import peak_resident_bytes, resident_bytes

SIDE = 256
"""HR side of the tile, or a little less: large enough for what the graph takes at any size to count little."""
_ROOT = Path(__file__).parents[1]


def bytes_per_px(graph: bytes, ratio: int) -> int:
    """Bytes of memory per HR pixel that OpenVINO takes in FP32 to compile and run a graph on one tile."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(graph)
        file.flush()
        command = [sys.executable, "-m", "export.memory", file.name, str(ratio)]
        done = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    return int(done.stdout)


def main(path: Path, ratio: int) -> None:
    """Print what running the graph adds to this process's memory, per pixel."""
    graph = path.read_bytes()
    # Even, which is an alignment that networks may ask for.
    side_lr = SIDE // ratio // 2 * 2
    inputs = zero_inputs(graph, (side_lr, side_lr), ratio)
    backend = OpenVINOBackend("fp32")
    before = resident_bytes()
    backend.compile(graph, {name: array.shape for name, array in inputs.items()}).run(inputs)
    print((peak_resident_bytes() - before) // (side_lr * ratio) ** 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
