"""Model bundles: of a trained network, and of the regression alone, which has nothing to train."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from export.memory import bytes_per_px
from export.networks.pzres import PZResNet
from export.onnx_session import run_graph
from export.precision import bf16_gate
from export.receptive_field import exact_halo_lr, radius_px, sufficient_halo_lr
from export.recipe import Recipe
from export.sample import sample_pair
from export.to_onnx import Forms, onnx_from_network
from export.train import load_weights
from hsi_edge.bundle import Bundle, write_bundle
from hsi_edge.cube import Quantity
from hsi_edge.errors import ExportError, InputError
from hsi_edge.frame import Frame, prepare_frame
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import Bands, Graph, Input, Manifest, Msi, Parity, Statistics, Tiling, Training
from hsi_edge.statistics import pair_to_measure
from hsi_edge.tiling.geometry import Region

Float = NDArray[np.float32]

QUANTITIES: tuple[Quantity, ...] = ("dn", "radiance", "reflectance")
"""All: the frame's own peak scales it, or nothing in the fusion depends on a scale."""
MIN_LR = 2
"""Smallest side of a frame, in LR pixels: below it there is nothing to interpolate."""
RANGE_NM = (400.0, 700.0)
WHOLE, GIVEN, GOLDEN = "fp32.onnx", "fp32-given.onnx", "golden.npz"
GOLDEN_REGION = Region(20, 28, 20, 28)
HALO_SIDE_PX = 160
MAX_PARITY = 1e-5
"""Largest difference between torch and ONNX Runtime, for images of about 0 to 1."""
TRAINING_DATA = "9 public airborne scenes and one indoor scene (CAVE), on the vis31 grid, as simulated pairs"
DATA_LICENCE = "research data; for evaluation"


def pack_regression(ratio: int, out: Path) -> Bundle:
    """Write the bundle of the regression fusion at a ratio: no graph, any bands.

    Raises:
        ManifestError: The ratio is out of range.
        OutputError: `out` cannot be written, or is no bundle.
    """
    manifest = Manifest(
        name=f"regression-x{ratio}",
        network="regression",
        task="fusion",
        ratio=ratio,
        bands=Bands(),
        msi=Msi(bands=0),
        input=Input(quantities=QUANTITIES, lr_scaling="unit"),
        base="regression",
        psf_fwhm_px=float(ratio),
        tiling=Tiling(halo_lr=0, min_lr=MIN_LR),
    )
    return write_bundle(out, manifest, {})


def trained_network(recipe: Recipe, runs: Path) -> PZResNet:
    """The network of a recipe with the weights of its last checkpoint.

    Raises:
        InputError: There is no checkpoint.
    """
    checkpoint = runs / recipe.name / "last.ckpt"
    if not checkpoint.is_file():
        raise InputError(f"there is no checkpoint {checkpoint}; train first: python -m export train RECIPE")
    network = recipe.network.build().eval()
    network.load_state_dict(load_weights(checkpoint))
    return network


def pack(recipe: Recipe, network: PZResNet, out: Path, *, name: str, data: Path | None) -> Bundle:
    """Write the bundle of a trained network: its graphs, and in the manifest what was computed and measured of them.

    Args:
        recipe: What the network was trained with; three MSI bands.
        network: With its weights.
        out: Folder, or a path that ends in `.zip`.
        name: Of the model.
        data: The research data folder, for the BF16 gate; None leaves BF16 forbidden.

    Raises:
        ExportError: The graph does not do what the network does, or its receptive field is not what it seems.
        OutputError: `out` cannot be written, or is no bundle.
    """
    forms = onnx_from_network(network, recipe.network.hsi_bands, recipe.network.msi_bands)
    manifest = _manifest(recipe, name, forms)
    manifest = replace(manifest, tiling=replace(manifest.tiling, halo_lr=_sufficient_halo(manifest, forms)))
    golden, parity = _golden(manifest, forms, network)
    manifest = replace(manifest, parity=parity, precision=bf16_gate(forms.whole, recipe, data))
    return write_bundle(out, manifest, {WHOLE: forms.whole, GIVEN: forms.given, GOLDEN: golden})


def _manifest(recipe: Recipe, name: str, forms: Forms) -> Manifest:
    return Manifest(
        name=name,
        network="pzres",
        task="fusion",
        ratio=recipe.ratio,
        bands=Bands(wavelengths_nm=tuple(np.linspace(*RANGE_NM, recipe.network.hsi_bands).tolist())),
        msi=Msi(bands=recipe.network.msi_bands, names=("red", "green", "blue")),
        input=Input(quantities=QUANTITIES, lr_scaling="frame_peak", msi_scaling="frame_peak"),
        base=recipe.base,
        psf_fwhm_px=float(recipe.ratio),
        tiling=Tiling(
            halo_lr=exact_halo_lr(forms.given, recipe.ratio),
            radius_px=radius_px(forms.given),
            min_lr=MIN_LR,
            bytes_per_px=bytes_per_px(forms.given),
        ),
        statistics=Statistics(
            modes=("whole", "exact", "reduced", "sampled", "previous"), default="sampled", size=forms.size
        ),
        graphs={"fp32": Graph(whole=WHOLE, given=GIVEN)},
        golden=GOLDEN,
        training=Training(data=TRAINING_DATA, data_licence=DATA_LICENCE, recipe=recipe.name),
    )


def _sample(manifest: Manifest, region: Region) -> tuple[NDArray[np.uint16], NDArray[np.uint8], Frame]:
    """A part of the sample pair as a caller gives it, and as the runtime prepares it."""
    lr_hsi, hr_msi = sample_pair(manifest.ratio, region, manifest.bands.wavelengths_nm)
    return lr_hsi, hr_msi, prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))


def _network_inputs(frame: Frame) -> tuple[Float, Float]:
    base, msi = pair_to_measure(frame, "exact", 0)
    assert msi is not None
    return base[None], msi[None]


def _golden(manifest: Manifest, forms: Forms, network: PZResNet) -> tuple[bytes, Parity]:
    lr_hsi, hr_msi, frame = _sample(manifest, GOLDEN_REGION)
    base, msi = _network_inputs(frame)
    output = run_graph(forms.whole, {"base": base, "hr_msi": msi})["hr_hsi"][0]
    hr_hsi = np.moveaxis(output, 0, 2) * np.float32(frame.scale)
    file = io.BytesIO()
    np.savez_compressed(file, lr_hsi=lr_hsi, hr_msi=hr_msi, hr_hsi=hr_hsi)
    return file.getvalue(), _parity(network, base, msi, output)


def _parity(network: PZResNet, base: Float, msi: Float, output: Float) -> Parity:
    with torch.inference_mode():
        wanted = network(torch.from_numpy(base), torch.from_numpy(msi)).refined[0].numpy()
    per_band = np.abs(output - wanted).max(axis=(1, 2))
    if not per_band.max() <= MAX_PARITY:
        raise ExportError(
            f"ONNX Runtime differs from torch by up to {per_band.max():.2g} (band {per_band.argmax()}); at most "
            f"{MAX_PARITY:g} is allowed. A graph pass in export/graph is not exact for this network"
        )
    return Parity(
        max_abs=float(per_band.max()),
        per_band_max_abs=tuple(per_band.tolist()),
        torch=str(torch.__version__),
        onnxruntime=str(onnxruntime.__version__),
    )


def _sufficient_halo(manifest: Manifest, forms: Forms) -> int:
    """On the sample, and on white noise, which has more contrast than any scene."""
    side_lr = HALO_SIDE_PX // manifest.ratio
    *_, frame = _sample(manifest, Region(0, side_lr, 0, side_lr))
    base, msi = _network_inputs(frame)
    rng = np.random.default_rng(0)
    noise = (rng.random(base.shape, np.float32), rng.random(msi.shape, np.float32))
    return sufficient_halo_lr(forms.whole, forms.given, manifest.ratio, [(base, msi), noise])
