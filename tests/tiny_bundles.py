"""Small model bundles for tests: a network of two convolutions with global statistics, one without, and regression.

The network is also written here in plain NumPy, so that what the runtime gives can be judged by something else.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hsi_edge.backends.onnxruntime import ONNXRuntimeBackend
from hsi_edge.bundle import Bundle, write_bundle
from hsi_edge.frame import prepare_frame
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import Bands, Graph, Input, Manifest, Msi, Statistics, Tiling
from hsi_edge.tiling.geometry import Region

WAVELENGTHS_NM = (450.0, 500.0, 550.0, 600.0, 650.0)
BANDS, MSI_BANDS, HIDDEN = 5, 3, 4
STATISTICS_SIZE = BANDS + MSI_BANDS + HIDDEN
REACH_PX = 2
"""Of two 3x3 convolutions."""
BYTES_PER_PX = 160
"""Chosen so that a budget of 1 MB, of which two thirds are for tiles, holds those of 64 HR pixels alone."""


class Weights:
    """Of the two convolutions, always the same."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.first = (rng.standard_normal((HIDDEN, BANDS + MSI_BANDS, 3, 3)) / 5).astype(np.float32)
        self.second = (rng.standard_normal((BANDS, HIDDEN, 3, 3)) / 5).astype(np.float32)


def refine(base: np.ndarray, msi: np.ndarray, *, centred: bool = True) -> np.ndarray:
    """The network in NumPy, float64: `(bands, rows, cols)` to the same."""
    weights = Weights()
    hidden = np.maximum(_convolve(_centre(np.concatenate([base, msi]), centred), weights.first), 0)
    return base + _convolve(_centre(hidden, centred), weights.second)


def _centre(image: np.ndarray, centred: bool) -> np.ndarray:
    image = image.astype(np.float64)
    return image - image.mean(axis=(1, 2), keepdims=True) if centred else image


def _convolve(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    _, rows, cols = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    shifts = [(i, j) for i in range(3) for j in range(3)]
    return sum(np.tensordot(weights[:, :, i, j], padded[:, i : i + rows, j : j + cols], axes=1) for i, j in shifts)


def graph(form: str) -> bytes:
    """The network as ONNX: `whole` measures its statistics, `given` takes them, `plain` has none."""
    weights = Weights()
    nodes = [helper.make_node("Concat", ["base", "hr_msi"], ["seen"], axis=1)]
    nodes += _centred(form, "seen", "centred_seen", (0, BANDS + MSI_BANDS))
    nodes += [_conv("centred_seen", "w1", "before_relu"), helper.make_node("Relu", ["before_relu"], ["hidden"])]
    nodes += _centred(form, "hidden", "centred_hidden", (BANDS + MSI_BANDS, STATISTICS_SIZE))
    nodes += [_conv("centred_hidden", "w2", "residual"), helper.make_node("Add", ["base", "residual"], ["hr_hsi"])]
    inputs = [_image("base", BANDS), _image("hr_msi", MSI_BANDS)]
    outputs = [_image("hr_hsi", BANDS)]
    statistics = helper.make_tensor_value_info("statistics", TensorProto.FLOAT, [1, STATISTICS_SIZE])
    if form == "whole":
        nodes.append(helper.make_node("Concat", ["seen_mean", "hidden_mean"], ["means"], axis=1))
        nodes.append(helper.make_node("Flatten", ["means"], ["measured_statistics"]))
        outputs.append(helper.make_tensor_value_info("measured_statistics", TensorProto.FLOAT, [1, STATISTICS_SIZE]))
    elif form == "given":
        inputs.append(statistics)
    constants = {"w1": weights.first, "w2": weights.second, "axes": np.array([2, 3])}
    for at in (0, BANDS + MSI_BANDS, STATISTICS_SIZE, 1):
        constants[f"at_{at}"] = np.array([at])
    used = {name for node in nodes for name in node.input}
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used]
    made = helper.make_graph(nodes, form, inputs, outputs, initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _centred(form: str, source: str, target: str, where: tuple[int, int]) -> list[onnx.NodeProto]:
    mean = f"{source}_mean"
    if form == "plain":
        return [helper.make_node("Identity", [source], [target])]
    if form == "whole":
        means = [helper.make_node("ReduceMean", [source, "axes"], [mean], keepdims=1)]
    else:
        ends = [f"at_{where[0]}", f"at_{where[1]}"]
        means = [
            helper.make_node("Slice", ["statistics", *ends, "at_1"], [f"{mean}_flat"]),
            helper.make_node("Unsqueeze", [f"{mean}_flat", "axes"], [mean]),
        ]
    return [*means, helper.make_node("Sub", [source, mean], [target])]


def _conv(source: str, weights: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weights], [target], kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def _image(name: str, bands: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, bands, "rows", "cols"])


def fusion_manifest(ratio: int = 2, **changes: object) -> Manifest:
    """The manifest of the network with statistics; `changes` replace its fields."""
    manifest = Manifest(
        name=f"tiny-x{ratio}",
        network="tiny",
        task="fusion",
        ratio=ratio,
        bands=Bands(wavelengths_nm=WAVELENGTHS_NM),
        msi=Msi(bands=MSI_BANDS),
        input=Input(quantities=("reflectance", "dn"), lr_scaling="unit"),
        base="bilinear",
        psf_fwhm_px=float(ratio),
        tiling=Tiling(halo_lr=-(-REACH_PX // ratio), min_lr=2, bytes_per_px=BYTES_PER_PX),
        statistics=Statistics(
            modes=("whole", "exact", "reduced", "sampled", "previous"), default="exact", size=STATISTICS_SIZE
        ),
        graphs={"fp32": Graph(whole="fp32.onnx", given="fp32-given.onnx")},
        golden="golden.npz",
    )
    return replace(manifest, **changes)  # type: ignore[arg-type]


def plain_manifest(ratio: int = 2, **changes: object) -> Manifest:
    """The manifest of the network without statistics."""
    return fusion_manifest(ratio, **({"statistics": None, "graphs": {"fp32": Graph(whole="fp32.onnx")}} | changes))


def regression_manifest(ratio: int = 2, **changes: object) -> Manifest:
    """The manifest of the regression, which has no graph."""
    without = {"network": "regression", "base": "regression", "statistics": None, "graphs": {}, "golden": None}
    free = {"bands": Bands(), "msi": Msi(bands=0), "tiling": Tiling(halo_lr=0, min_lr=2)}
    return fusion_manifest(ratio, **(without | free | changes))


def frame_pair(rng: np.random.Generator, lr_shape: tuple[int, int], ratio: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A frame pair in [0, 1], float32."""
    rows, cols = lr_shape
    lr_hsi = rng.random((rows, cols, BANDS), np.float32)
    return lr_hsi, rng.random((rows * ratio, cols * ratio, MSI_BANDS), np.float32)


def reference(manifest: Manifest, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> np.ndarray:
    """The HR-HSI `(rows, cols, bands)` of a whole frame, by the network in NumPy."""
    frame = prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))
    base, msi, _ = frame.window(Region(0, lr_hsi.shape[0], 0, lr_hsi.shape[1]))
    image = refine(base, msi, centred=manifest.statistics is not None) if manifest.graphs else base
    return np.moveaxis(image * frame.scale, 0, 2).astype(np.float32)


def golden_npz(manifest: Manifest, *, off_by: float = 0.0) -> bytes:
    """A golden pair whose output is wrong by `off_by`."""
    lr_hsi, hr_msi = frame_pair(np.random.default_rng(3), (6, 7), manifest.ratio)
    stream = io.BytesIO()
    np.savez(stream, lr_hsi=lr_hsi, hr_msi=hr_msi, hr_hsi=reference(manifest, lr_hsi, hr_msi) + np.float32(off_by))
    return stream.getvalue()


def write_tiny_bundle(path: Path, manifest: Manifest, *, off_by: float = 0.0) -> Bundle:
    """Write the bundle of a manifest from one of the functions above."""
    files = {}
    if manifest.graphs:
        names = manifest.graphs["fp32"]
        files[names.whole] = graph("plain" if manifest.statistics is None else "whole")
        if names.given is not None:
            files[names.given] = graph("given")
        files["golden.npz"] = golden_npz(manifest, off_by=off_by)
    return write_bundle(path, manifest, files)


class CountingBackend(ONNXRuntimeBackend):
    """ONNX Runtime, with a list of what was compiled; named in `BACKENDS` by the test that uses it."""

    name = "counting"
    compiled: ClassVar[list[tuple[int, ...]]] = []

    def compile(self, graph, shapes):
        self.compiled.append(shapes["base"])
        return super().compile(graph, shapes)
