"""A network of four convolutions whose third one does not bear INT8, and scenes for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hsi_edge.bundle import Bundle, write_bundle
from hsi_edge.cube import Cube
from hsi_edge.io import write
from hsi_edge.manifest import Manifest, Tiling
from hsi_edge.resampling import upsample
from tests.tiny_bundles import BANDS, HIDDEN, MSI_BANDS, golden_npz, plain_manifest

RATIO = 2
LAYERS = ("first", "second", "third", "last")
DELICATE = "third"


def chain(gain: float = 1.0, *, broken: str = "") -> bytes:
    """`base` plus what four convolutions make of `base` and `hr_msi`.

    Args:
        gain: Factor of one channel between the second and the third convolution, which the third one undoes: FP32 does
            not notice it, and one range for all channels then serves the others badly.
        broken: A convolution whose weights are wrong.
    """
    rng = np.random.default_rng(11)
    channels = (BANDS + MSI_BANDS, HIDDEN, HIDDEN, HIDDEN, BANDS)
    weights = {
        name: (rng.standard_normal((channels[index + 1], channels[index], 3, 3)) / 4).astype(np.float32)
        for index, name in enumerate(LAYERS)
    }
    weights["last"] *= np.float32(0.3)
    weights["second"][0] *= np.float32(gain)
    weights["third"][:, 0] /= np.float32(gain)
    if broken:
        weights[broken] = weights[broken] * np.float32(1.5)
    nodes = [helper.make_node("Concat", ["base", "hr_msi"], ["seen"], name="seen", axis=1)]
    source = "seen"
    for name in LAYERS:
        attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        nodes.append(helper.make_node("Conv", [source, f"{name}.weight"], [name], name=name, **attributes))
        if name != "last":
            nodes.append(helper.make_node("Relu", [name], [f"{name}.relu"], name=f"{name}.relu"))
        source = f"{name}.relu"
    nodes.append(helper.make_node("Add", ["base", "last"], ["hr_hsi"], name="base.add"))
    images = {"base": BANDS, "hr_msi": MSI_BANDS, "hr_hsi": BANDS}
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, "rows", "cols"])
        for name, count in images.items()
    ]
    constants = [numpy_helper.from_array(array, f"{name}.weight") for name, array in weights.items()]
    made = helper.make_graph(nodes, "chain", values[:2], values[2:], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def manifest(**changes: object) -> Manifest:
    """Of the chain, cut into tiles of 12 LR pixels."""
    tiling = Tiling(halo_lr=2, min_lr=2, max_tile_lr=12, bytes_per_px=160)
    return plain_manifest(RATIO, **({"name": "chain-x2", "tiling": tiling} | changes))


def write_chain(path: Path, graph: bytes) -> Bundle:
    """A bundle of the chain; its golden pair is another network's, as nothing here replays it."""
    return write_bundle(path, manifest(), {"fp32.onnx": graph, "golden.npz": golden_npz(plain_manifest(RATIO))})


def write_scene(folder: Path, *, seed: int = 0, lr_shape: tuple[int, int] = (16, 16), **changes: np.ndarray) -> Path:
    """A smooth random scene in a folder of its own, with its truth; `changes` replace images, None leaves one out."""
    rng = np.random.default_rng(seed)
    rows, cols = lr_shape
    coarse = rng.random((BANDS, max(2, rows // 2), max(2, cols // 2)), np.float32)
    truth = np.moveaxis(upsample(coarse, 2 * RATIO, "bilinear"), 0, 2)[: rows * RATIO, : cols * RATIO]
    truth = truth + rng.normal(0, 0.02, truth.shape).astype(np.float32)
    images = {
        "lr_hsi": truth.reshape(rows, RATIO, cols, RATIO, BANDS).mean(axis=(1, 3)),
        "hr_msi": truth[:, :, :MSI_BANDS],
        "hr_hsi": truth,
    } | changes
    folder.mkdir(parents=True)
    for name, image in images.items():
        if image is not None:
            write(folder / f"{name}.npy", Cube(data=np.ascontiguousarray(image, np.float32), quantity=_quantity(name)))
    return folder


def write_scenes(folder: Path, count: int = 4, **changes: np.ndarray) -> Path:
    """Scenes `scene-0` and so on."""
    for seed in range(count):
        write_scene(folder / f"scene-{seed}", seed=seed, **changes)
    return folder


def _quantity(name: str) -> str | None:
    return None if name == "hr_msi" else "reflectance"
