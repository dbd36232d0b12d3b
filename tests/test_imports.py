"""Heavy packages load on use: a device without one still imports the whole runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = (
    *("torch", "lightning", "onnx", "tensorrt", "openvino", "onnxruntime"),
    *("cv2", "scipy", "rasterio", "h5py", "zarr", "spectral", "matplotlib"),
    *("tensorrt_rtx_bindings", "cuda", "pycuda", "pynvml", "jtop", "model_signing", "sigstore", "cryptography"),
)

IMPORT_EVERYTHING = """
import importlib, pkgutil, hsi_edge
names = [module.name for module in pkgutil.walk_packages(hsi_edge.__path__, "hsi_edge.")]
for name in names:
    importlib.import_module(name)
"""


def words_printed_by(code: str) -> set[str]:
    """Run the code in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_every_module_imports_without_the_heavy_packages():
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))"
    imported = words_printed_by(f"{block}\n{IMPORT_EVERYTHING}\nprint(*names)")
    assert imported >= {"hsi_edge.cli", "hsi_edge.engine", "hsi_edge.io.envi", "hsi_edge.quality"}


def test_importing_every_module_loads_no_heavy_package_that_is_there():
    loaded = words_printed_by(f"{IMPORT_EVERYTHING}\nimport sys; print(*sys.modules)")
    assert "hsi_edge.quality" in loaded
    assert loaded & set(HEAVY) == set()
