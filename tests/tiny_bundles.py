"""Small model bundles for tests: a network of two convolutions with global statistics, one without, one that works on
the LR grid as GELIN does, one that works on a frame's components as FieldFuse does, and regression.

The networks are also written here in plain NumPy, so that what the runtime gives can be judged by something else.
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
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import (
    LR_IMAGES,
    PSF_HALO_LR,
    SUBSPACE_IMAGES,
    Bands,
    Calibration,
    Graph,
    Input,
    Manifest,
    Msi,
    Statistics,
    Tiling,
)
from hsi_edge.preparation import prepare_frame
from hsi_edge.resampling import upsample
from hsi_edge.subspace import CHANNELS, CONDITIONS, FEATURES, GUIDES, MARGIN_LR, REST

WAVELENGTHS_NM = (450.0, 500.0, 550.0, 600.0, 650.0)
BANDS, MSI_BANDS, HIDDEN = 5, 3, 4
STATISTICS_SIZE = BANDS + MSI_BANDS + HIDDEN
REACH_PX = 2
"""Of two 3x3 convolutions."""
BYTES_PER_PX = 160
"""Chosen so that a budget of 1 MB, of which two thirds are for tiles, holds those of 64 HR pixels alone."""


LR_NETWORK = "tiny-lr"
"""The `network` of those manifests that mean `lr_refine`."""
LR_HALO = 3
"""An HR pixel, an LR pixel, and the other pixels that are pooled with it."""
LR_ALIGNMENT = 2
SUBSPACE_NETWORK = "tiny-subspace"
"""The `network` of those manifests that mean `subspace_refine`."""


class Weights:
    """Of the two convolutions, always the same."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.first = (rng.standard_normal((HIDDEN, BANDS + MSI_BANDS, 3, 3)) / 5).astype(np.float32)
        self.second = (rng.standard_normal((BANDS, HIDDEN, 3, 3)) / 5).astype(np.float32)
        self.embed = (rng.standard_normal((HIDDEN, BANDS, 3, 3)) / 5).astype(np.float32)
        self.merge = (rng.standard_normal((BANDS, HIDDEN + BANDS + MSI_BANDS, 3, 3)) / 5).astype(np.float32)


def refine(base: np.ndarray, msi: np.ndarray, *, centred: bool = True) -> np.ndarray:
    """The network in NumPy, float64: `(bands, rows, cols)` to the same."""
    weights = Weights()
    hidden = np.maximum(_convolve(_centre(np.concatenate([base, msi]), centred), weights.first), 0)
    return base + _convolve(_centre(hidden, centred), weights.second)


def lr_refine(images: dict[str, np.ndarray], ratio: int, *, weighed: bool = True) -> np.ndarray:
    """The network on the LR grid in NumPy, float64: features of the LR-HSI, each with the mean of its 2 x 2 block and
    weighed by its mean over the frame, are laid on the HR grid beside what else there is, and convolved.
    """
    weights = Weights()
    hidden = np.maximum(_convolve(images["lr_hsi"].astype(np.float64), weights.embed), 0)
    channels, rows, cols = hidden.shape
    blocks = hidden.reshape(channels, rows // 2, 2, cols // 2, 2).mean(axis=(2, 4))
    gated = hidden + blocks.repeat(2, axis=1).repeat(2, axis=2)
    if weighed:
        gated = gated * hidden.mean(axis=(1, 2), keepdims=True)
    others = [images[name] for name in ("base", "hr_msi") if name in images]
    seen = np.concatenate([gated.repeat(ratio, axis=1).repeat(ratio, axis=2), *others])
    return images.get("base", 0) + _convolve(seen, weights.merge[:, : len(seen)])


def subspace_refine(images: dict[str, np.ndarray], ratio: int) -> np.ndarray:
    """The network on components in NumPy: the guides as they are, and the rest interpolated, less of it where it is
    noisy.
    """
    edge = MARGIN_LR * ratio
    rest = upsample(images["features"][:REST], ratio, "bilinear")[:, edge:-edge, edge:-edge]
    share = 1 - images["condition"][GUIDES : GUIDES + REST]
    return np.concatenate([images["guide"], rest * share[:, None, None]])


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


def lr_graph(form: str, images: tuple[str, ...], ratio: int) -> bytes:
    """`lr_refine` as ONNX, in the forms of `graph`; the LR grid's sides are `lr_rows` and `lr_cols`."""
    weights = Weights()
    channels = {"lr_hsi": BANDS, "base": BANDS, "hr_msi": MSI_BANDS}
    others = [name for name in ("base", "hr_msi") if name in images]
    merge = weights.merge[:, : HIDDEN + sum(channels[name] for name in others)]
    nodes = [
        _conv("lr_hsi", "embed", "before_relu"),
        helper.make_node("Relu", ["before_relu"], ["hidden"]),
        helper.make_node("AveragePool", ["hidden"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        _enlarged("pooled", "twice", "blocks"),
        helper.make_node("Add", ["hidden", "blocks"], ["gated"]),
        *_weighed(form),
        _enlarged("weighed", "by_ratio", "raised"),
        helper.make_node("Concat", ["raised", *others], ["seen"], axis=1),
        _conv("seen", "merge", "residual"),
        helper.make_node("Add", ["base", "residual"], ["hr_hsi"])
        if "base" in images
        else helper.make_node("Identity", ["residual"], ["hr_hsi"]),
    ]
    statistics = helper.make_tensor_value_info(
        "statistics" if form == "given" else "measured_statistics", TensorProto.FLOAT, [1, HIDDEN]
    )
    inputs = [_image(name, channels[name], "lr_" if name in LR_IMAGES else "") for name in images]
    constants = {
        "embed": weights.embed,
        "merge": merge,
        "axes": np.array([2, 3]),
        "twice": np.array([1, 1, 2, 2], np.float32),
        "by_ratio": np.array([1, 1, ratio, ratio], np.float32),
    }
    used = {name for node in nodes for name in node.input}
    made = helper.make_graph(
        nodes,
        form,
        inputs + [statistics] * (form == "given"),
        [_image("hr_hsi", BANDS)] + [statistics] * (form == "whole"),
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def subspace_graph(ratio: int) -> bytes:
    """`subspace_refine` as ONNX."""
    edge = MARGIN_LR * ratio
    wide = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    nodes = [
        helper.make_node("Slice", ["features", "no_channel", "rest_channels", "channels"], ["rest"]),
        helper.make_node("Resize", ["rest", "", "by_ratio"], ["wide"], **wide),
        helper.make_node("Slice", ["wide", "first", "last", "sides"], ["inner"]),
        helper.make_node("Slice", ["condition", "rest_noise", "rest_noise_end", "channels"], ["noise"]),
        helper.make_node("Sub", ["one", "noise"], ["share"]),
        helper.make_node("Unsqueeze", ["share", "sides"], ["shares"]),
        helper.make_node("Mul", ["inner", "shares"], ["weighed"]),
        helper.make_node("Concat", ["guide", "weighed"], ["hr_hsi"], axis=1),
    ]
    constants = {
        "no_channel": np.array([0]),
        "rest_channels": np.array([REST]),
        "channels": np.array([1]),
        "by_ratio": np.array([1, 1, ratio, ratio], np.float32),
        "first": np.array([edge, edge]),
        "last": np.array([-edge, -edge]),
        "sides": np.array([2, 3]),
        "rest_noise": np.array([GUIDES]),
        "rest_noise_end": np.array([GUIDES + REST]),
        "one": np.array([1], np.float32),
    }
    made = helper.make_graph(
        nodes,
        "whole",
        [
            _image("guide", GUIDES),
            _image("features", FEATURES, "lr_"),
            helper.make_tensor_value_info("condition", TensorProto.FLOAT, [1, CONDITIONS]),
        ],
        [_image("hr_hsi", CHANNELS)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _weighed(form: str) -> list[onnx.NodeProto]:
    if form == "plain":
        return [helper.make_node("Identity", ["gated"], ["weighed"])]
    if form == "given":
        means = [helper.make_node("Unsqueeze", ["statistics", "axes"], ["means"])]
    else:
        means = [
            helper.make_node("ReduceMean", ["hidden", "axes"], ["means"], keepdims=1),
            helper.make_node("Squeeze", ["means", "axes"], ["measured_statistics"]),
        ]
    return [*means, helper.make_node("Mul", ["gated", "means"], ["weighed"])]


def _enlarged(source: str, scales: str, target: str) -> onnx.NodeProto:
    """By repeating every pixel."""
    modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return helper.make_node("Resize", [source, "", scales], [target], **modes)


def _conv(source: str, weights: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weights], [target], kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def _image(name: str, bands: int, grid: str = "") -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, bands, f"{grid}rows", f"{grid}cols"])


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


def lr_manifest(images: tuple[str, ...], ratio: int = 2, **changes: object) -> Manifest:
    """The manifest of the network on the LR grid, with statistics; `images` are `lr_hsi` and any of the others."""
    single = "hr_msi" not in images
    fields = {
        "name": f"tiny-lr-x{ratio}",
        "network": LR_NETWORK,
        "task": "single" if single else "fusion",
        "msi": Msi(bands=0 if single else MSI_BANDS),
        "input": Input(quantities=("reflectance", "dn"), lr_scaling="frame_peak", images=images),
        "base": "bicubic" if "base" in images else "none",
        "tiling": Tiling(halo_lr=LR_HALO, alignment_lr=LR_ALIGNMENT, min_lr=2, bytes_per_px=BYTES_PER_PX),
        "statistics": replace(fusion_manifest().statistics, size=HIDDEN),
    }
    return fusion_manifest(ratio, **(fields | changes))


def subspace_manifest(ratio: int = 4, **changes: object) -> Manifest:
    """The manifest of the network on components, for any bands and an RGB camera."""
    fields = {
        "name": f"tiny-subspace-x{ratio}",
        "network": SUBSPACE_NETWORK,
        "bands": Bands(),
        "input": Input(
            quantities=("reflectance", "dn"),
            lr_scaling="frame_peak",
            msi_scaling="frame_peak",
            images=SUBSPACE_IMAGES,
        ),
        "base": "subspace",
        "tiling": Tiling(halo_lr=PSF_HALO_LR, min_lr=2, bytes_per_px=BYTES_PER_PX),
    }
    return plain_manifest(ratio, **(fields | changes))


def regression_manifest(ratio: int = 2, **changes: object) -> Manifest:
    """The manifest of the regression, which has no graph."""
    without = {"network": "regression", "base": "regression", "statistics": None, "graphs": {}, "golden": None}
    free = {"bands": Bands(), "msi": Msi(bands=0), "tiling": Tiling(halo_lr=0, min_lr=2)}
    return fusion_manifest(ratio, **(without | free | changes))


def calibration(method: str) -> Calibration:
    """What a manifest says of a graph beside the FP32 one."""
    return Calibration(method=method, tiles=4, tiles_sha256="0" * 64, held_out=2, psnr_db=70.0, worst_band_rmse=0.001)


def frame_pair(rng: np.random.Generator, lr_shape: tuple[int, int], ratio: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A frame pair in [0, 1], float32."""
    rows, cols = lr_shape
    lr_hsi = rng.random((rows, cols, BANDS), np.float32)
    return lr_hsi, rng.random((rows * ratio, cols * ratio, MSI_BANDS), np.float32)


def reference(manifest: Manifest, lr_hsi: np.ndarray, hr_msi: np.ndarray | None) -> np.ndarray:
    """The HR-HSI `(rows, cols, bands)` of a whole frame, by the network in NumPy."""
    frame = prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))
    images = frame.window(frame.grid).images
    if manifest.network == SUBSPACE_NETWORK:
        return frame.hr_hsi_from(subspace_refine(images, manifest.ratio))
    statistics = manifest.statistics is not None
    if manifest.network == LR_NETWORK:
        image = lr_refine(images, manifest.ratio, weighed=statistics)
    else:
        image = refine(*images.values(), centred=statistics) if manifest.graphs else images["base"]
    rows, cols = (length * manifest.ratio for length in lr_hsi.shape[:2])
    return np.moveaxis(image[:, :rows, :cols] * frame.scale, 0, 2).astype(np.float32)


def golden_npz(manifest: Manifest, *, off_by: float = 0.0) -> bytes:
    """A golden pair whose output is wrong by `off_by`."""
    lr_hsi, hr_msi = frame_pair(np.random.default_rng(3), (6, 7), manifest.ratio)
    arrays = {"lr_hsi": lr_hsi} | ({"hr_msi": hr_msi} if manifest.task == "fusion" else {})
    stream = io.BytesIO()
    wanted = reference(manifest, lr_hsi, arrays.get("hr_msi"))
    np.savez(stream, **arrays, hr_hsi=wanted + np.float32(off_by))
    return stream.getvalue()


def write_tiny_bundle(path: Path, manifest: Manifest, *, off_by: float = 0.0) -> Bundle:
    """Write the bundle of a manifest from one of the functions above."""
    files = {}
    if manifest.graphs:
        names = manifest.graphs["fp32"]
        files[names.whole] = _graph_of(manifest, "plain" if manifest.statistics is None else "whole")
        if names.given is not None:
            files[names.given] = _graph_of(manifest, "given")
        files["golden.npz"] = golden_npz(manifest, off_by=off_by)
    return write_bundle(path, manifest, files)


def _graph_of(manifest: Manifest, form: str) -> bytes:
    if manifest.network == SUBSPACE_NETWORK:
        return subspace_graph(manifest.ratio)
    lr = manifest.network == LR_NETWORK
    return lr_graph(form, manifest.input.images, manifest.ratio) if lr else graph(form)


class CountingBackend(ONNXRuntimeBackend):
    """ONNX Runtime, with a list of what was compiled; named in `BACKENDS` by the test that uses it."""

    name = "counting"
    compiled: ClassVar[list[tuple[int, ...]]] = []

    def compile(self, graph, shapes):
        self.compiled.append(shapes["base"])
        return super().compile(graph, shapes)
