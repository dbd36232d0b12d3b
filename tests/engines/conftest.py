"""A network small enough to be written down, with every mode of global statistics."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hsi_edge.bundle import write_bundle
from hsi_edge.manifest import Bands, Graph, Input, Manifest, Msi, Precision, Statistics, Tiling

RATIO = 8


def graph(*, given: bool) -> bytes:
    """`hr_hsi = base + (hr_msi - its mean over the frame)`, the mean measured or given."""
    image = ["N", 2, "H", "W"], ["N", 1, "H", "W"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("base", "hr_msi"), image, strict=True)
    ]
    vector = helper.make_tensor_value_info(
        "statistics" if given else "measured_statistics", TensorProto.FLOAT, ["N", 1]
    )
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])
    if given:
        nodes = [helper.make_node("Unsqueeze", ["statistics", "axes"], ["mean"])]
        inputs.append(vector)
    else:
        nodes = [
            helper.make_node("ReduceMean", ["hr_msi", "axes"], ["mean"], keepdims=1),
            helper.make_node("Squeeze", ["mean", "axes"], ["measured_statistics"]),
        ]
    nodes += [
        helper.make_node("Sub", ["hr_msi", "mean"], ["detail"]),
        helper.make_node("Add", ["base", "detail"], ["hr_hsi"]),
    ]
    output = helper.make_tensor_value_info("hr_hsi", TensorProto.FLOAT, image[0])
    outputs = [output] if given else [output, vector]
    model = helper.make_model(
        helper.make_graph(nodes, "mean", inputs, outputs, [axes]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def golden() -> bytes:
    """A flat frame: whatever the interpolation, the output is the input plus the MSI's detail."""
    rng = np.random.default_rng(1)
    msi = rng.random((24, 24, 1)).astype(np.float32)
    arrays = {
        "lr_hsi": np.full((3, 3, 2), 0.5, np.float32),
        "hr_msi": msi,
        "hr_hsi": np.repeat(0.5 + msi - msi.mean(), 2, axis=2),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle whose tiles have 64 pixels where the budget is 1 MB."""
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    modes = ("whole", "exact", "reduced", "sampled", "previous")
    manifest = Manifest(
        name="mean",
        network="mean",
        task="fusion",
        ratio=RATIO,
        bands=Bands(wavelengths_nm=(500.0, 600.0)),
        msi=Msi(bands=1),
        input=Input(quantities=("reflectance",), lr_scaling="unit"),
        base="bilinear",
        psf_fwhm_px=float(RATIO),
        tiling=Tiling(halo_lr=1, min_lr=2, bytes_per_px=130),
        statistics=Statistics(modes=modes, default="sampled", size=1),
        graphs={"fp32": Graph(whole="fp32.onnx", given="fp32_given.onnx")},
        precision=Precision(),
        golden="golden.npz",
    )
    files = {"fp32.onnx": graph(given=False), "fp32_given.onnx": graph(given=True), "golden.npz": golden()}
    return write_bundle(tmp_path / "mean", manifest, files).path
