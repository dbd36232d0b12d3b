"""Model bundles: of any trained network, and of the regression and of interpolation, which have nothing to train."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from export.counts import count
from export.data.components import ComponentsData
from export.data.published import wavelengths_nm
from export.demo_pair import sample_pair
from export.losses import final_image
from export.memory import bytes_per_px
from export.networks.choices import FieldFuseChoice, GELINChoice, NetworkChoice, SSRNetChoice
from export.networks.fieldfuse import FieldFuse
from export.onnx_session import run_graph
from export.precision import bf16_gate
from export.reach import MARGINS, Reach
from export.receptive_field import exact_reach, sufficient_halo_lr
from export.recipe import Recipe
from export.to_onnx import Forms, onnx_from_network
from export.train import load_weights
from hsi_edge.bundle import Bundle, write_bundle
from hsi_edge.cube import Quantity
from hsi_edge.errors import ExportError, InputError
from hsi_edge.frame import Frame
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import (
    GRAPHLESS,
    PSF_HALO_LR,
    Bands,
    Cost,
    Graph,
    ImageName,
    Input,
    Manifest,
    Msi,
    Parity,
    Statistics,
    Tiling,
    Training,
)
from hsi_edge.preparation import prepare_frame
from hsi_edge.subspace import GUIDES
from hsi_edge.tiling.geometry import Region

Float = NDArray[np.float32]

QUANTITIES: tuple[Quantity, ...] = ("dn", "radiance", "reflectance")
"""All: the frame's own peak scales it, or nothing in the fusion depends on a scale."""
MIN_LR = 2
"""Smallest side of a frame, in LR pixels: below it there is nothing to interpolate."""
RANGE_NM, VIS_BANDS = (400.0, 700.0), 31
WHOLE, GIVEN, GOLDEN = "fp32.onnx", "fp32-given.onnx", "golden.npz"
GOLDEN_SIDE_LR = 8
GOLDEN_CORNERS = ((4, 4), (8, 20), (20, 20))
"""Of the sample frame: where the golden pair may lie. The first is taken that does not amplify rounding errors; at the
first two, FieldFuse finds no displacement, whose estimate from so few pixels does."""
ROUNDING, ROUNDING_DRAWS, MOST_AMPLIFIED = 1e-7, 8, 1e-5
"""Relative errors that are tried on a golden pair, how often, and what may become of them: devices round differently,
and their replay must tell a wrong graph from that."""
COUNTED_LR = 32
"""LR side of the frame whose multiplications are counted: whatever does not grow with it is then next to nothing."""
HALO_SIDE_PX, MOST_HALO_SIDE_LR = 160, 96
"""HR and LR side of the frames on which halos are tried: at least the one, and at most the other, for time's sake."""
SAMPLE_SIDE_LR = 48
"""Of the part of the sample that they are made of."""
MAX_PARITY = 1e-5
"""Largest difference between torch and ONNX Runtime, for images of about 0 to 1."""
SCENES = "9 public airborne scenes and a part of one indoor scene (CAVE)"
TRAINING_DATA = f"{SCENES}, on the vis31 grid, as simulated pairs"
COMPONENTS_DATA = f"{SCENES}, on the vis31 grid and with all their bands, as simulated pairs of many noises and cameras"
DATA_LICENCE = "research data; for evaluation"
GRAPHLESS_ADVICE = {
    "regression": "nothing learned: where no trained weights may be used, or every millisecond counts",
    "interpolation": "adds no detail: a live stream's stopgap while its RGB camera fails, on the same grid",
}


def pack_graphless(network: str, ratio: int, out: Path) -> Bundle:
    """Write the bundle of a model without a graph, for any bands.

    Args:
        network: `regression` (fusion) or `interpolation` (of the LR-HSI alone).
        ratio: HR pixels per LR pixel.
        out: The bundle's folder or `.zip` file.

    Raises:
        ManifestError: The ratio is out of range.
        OutputError: `out` cannot be written, or is no bundle.
    """
    task, base = GRAPHLESS[network]
    images: tuple[ImageName, ...] = ("base", "hr_msi") if task == "fusion" else ("base",)
    manifest = Manifest(
        name=f"{network}-x{ratio}",
        network=network,
        task=task,
        ratio=ratio,
        bands=Bands(),
        msi=Msi(bands=0),
        input=Input(quantities=QUANTITIES, lr_scaling="unit", images=images),
        base=base,
        psf_fwhm_px=float(ratio),
        tiling=Tiling(halo_lr=0, min_lr=MIN_LR),
        advice=GRAPHLESS_ADVICE[network],
    )
    return write_bundle(out, manifest, {})


def trained_network(recipe: Recipe, runs: Path) -> nn.Module:
    """The network of a recipe with the weights of its last checkpoint.

    Raises:
        InputError: There is no checkpoint.
    """
    network = recipe.network.build().eval()
    network.load_state_dict(load_weights(runs / recipe.name / "last.ckpt"))
    if isinstance(network, FieldFuse):
        network.ratio = recipe.ratio
    return network


def at_ratio(recipe: Recipe, ratio: int) -> Recipe:
    """A recipe for one of the ratios that its weights serve.

    Raises:
        InputError: The network was not trained for it.
    """
    ratios = sorted(set(recipe.data.ratios)) if isinstance(recipe.data, ComponentsData) else [recipe.ratio]
    if ratio not in ratios:
        raise InputError(f"the recipe {recipe.name} trains for the ratios {ratios}; {ratio} is none of them")
    return replace(recipe, ratio=ratio)


def pack(recipe: Recipe, network: nn.Module, out: Path, *, name: str, data: Path | None) -> Bundle:
    """Write the bundle of a trained network: its graphs, and in the manifest what was computed and measured of them.

    Args:
        recipe: What the network was trained with; an MSI has three bands.
        network: With its weights.
        out: Folder, or a path that ends in `.zip`.
        name: Of the model.
        data: The research data folder, for the BF16 gate; None leaves BF16 forbidden.

    Raises:
        ExportError: The graph does not do what the network does, or its receptive field is not what it seems.
        OutputError: `out` cannot be written, or is no bundle.
    """
    forms = onnx_from_network(network, recipe.network)
    reach = exact_reach(forms.tile, recipe.ratio)
    manifest = _manifest(recipe, name, forms, reach)
    manifest = replace(manifest, tiling=replace(manifest.tiling, halo_lr=_sufficient_halo(manifest, forms, reach)))
    golden, parity = _golden(manifest, forms, network)
    manifest = replace(manifest, parity=parity, precision=bf16_gate(forms.whole, recipe, data))
    given = {} if forms.given is None else {GIVEN: forms.given}
    return write_bundle(out, manifest, {WHOLE: forms.whole, **given, GOLDEN: golden})


def _manifest(recipe: Recipe, name: str, forms: Forms, reach: Reach) -> Manifest:
    network = recipe.network
    return Manifest(
        name=name,
        network=network.architecture,
        task=network.task,
        ratio=recipe.ratio,
        bands=_bands(recipe),
        msi=_msi(network),
        input=Input(quantities=QUANTITIES, lr_scaling="frame_peak", msi_scaling="frame_peak", images=network.images),
        base=recipe.base,
        psf_fwhm_px=float(recipe.ratio),
        tiling=Tiling(
            halo_lr=reach.halo_lr,
            radius_px=reach.radius_px,
            alignment_lr=reach.alignment_lr,
            min_lr=MIN_LR,
            bytes_per_px=bytes_per_px(forms.tile, recipe.ratio),
        ),
        statistics=_statistics(forms),
        graphs={"fp32": Graph(whole=WHOLE, given=None if forms.given is None else GIVEN)},
        golden=GOLDEN,
        training=_training(recipe),
        advice=recipe.advice,
        cost=_cost(recipe),
    )


def _bands(recipe: Recipe) -> Bands:
    if isinstance(recipe.network, FieldFuseChoice):
        return Bands()
    if recipe.data.source == "published":
        return Bands(wavelengths_nm=tuple(wavelengths_nm(recipe.data.dataset).tolist()))
    return Bands(wavelengths_nm=tuple(np.linspace(*RANGE_NM, recipe.network.hsi_bands).tolist()))


def _msi(network: NetworkChoice) -> Msi:
    if isinstance(network, SSRNetChoice | GELINChoice):
        return Msi(bands=0)
    bands = GUIDES if isinstance(network, FieldFuseChoice) else network.msi_bands
    return Msi(bands=bands, names=("red", "green", "blue"))


def _statistics(forms: Forms) -> Statistics | None:
    if forms.given is None:
        return None
    return Statistics(modes=("whole", "exact", "reduced", "sampled", "previous"), default="sampled", size=forms.size)


def _training(recipe: Recipe) -> Training:
    if recipe.data.source == "published":
        data = f"{recipe.data.dataset}, split and degraded as for {recipe.data.paper}"
        return Training(data=data, data_licence=DATA_LICENCE, recipe=recipe.name)
    data = COMPONENTS_DATA if recipe.data.source == "components" else TRAINING_DATA
    return Training(data=data, data_licence=DATA_LICENCE, recipe=recipe.name)


def _cost(recipe: Recipe) -> Cost:
    side = COUNTED_LR * recipe.ratio
    counted = count(recipe.network, side, recipe.ratio)
    return Cost(parameters=counted.shipped_parameters, macs_per_px=round(counted.macs / side**2, 1))


def _sample(manifest: Manifest, region: Region) -> tuple[dict[str, Any], Frame]:
    """A part of the sample pair as a caller gives it, and as the runtime prepares it."""
    # A model for any bands is shown those that the others have.
    wavelengths = manifest.bands.wavelengths_nm or tuple(np.linspace(*RANGE_NM, VIS_BANDS).tolist())
    lr_hsi, hr_msi = sample_pair(manifest.ratio, region, wavelengths)
    msi = None if manifest.task == "single" else hr_msi
    given: dict[str, Any] = {"lr_hsi": lr_hsi} if msi is None else {"lr_hsi": lr_hsi, "hr_msi": msi}
    return given, prepare_frame(manifest, check_inputs(manifest, lr_hsi, msi, resample=False))


def _network_inputs(frame: Frame) -> dict[str, Float]:
    return {name: image[None] for name, image in frame.window(frame.grid).images.items()}


def _golden(manifest: Manifest, forms: Forms, network: nn.Module) -> tuple[bytes, Parity]:
    for top, left in GOLDEN_CORNERS:
        region = Region(top, top + GOLDEN_SIDE_LR, left, left + GOLDEN_SIDE_LR)
        given, frame = _sample(manifest, region)
        output = run_graph(forms.whole, _network_inputs(frame))["hr_hsi"][0]
        hr_hsi = frame.hr_hsi_from(output)
        if _amplified(manifest, forms, given, hr_hsi) < MOST_AMPLIFIED:
            file = io.BytesIO()
            np.savez_compressed(file, **given, hr_hsi=hr_hsi)
            return file.getvalue(), _parity(network, _network_inputs(frame), output)
    raise ExportError(
        f"every golden pair tried makes more than {MOST_AMPLIFIED:g} of rounding errors of {ROUNDING:g}; devices would "
        "refuse the bundle at random. Add a corner to GOLDEN_CORNERS in export/pack.py"
    )


def _amplified(manifest: Manifest, forms: Forms, given: Mapping[str, Any], hr_hsi: Float) -> float:
    """What rounding errors of the LR-HSI become in the output, as a part of its largest value."""
    rng = np.random.default_rng(0)
    off = 0.0
    for _ in range(ROUNDING_DRAWS):
        errors = 1 + ROUNDING * rng.standard_normal(given["lr_hsi"].shape)
        lr_hsi = (given["lr_hsi"] * errors).astype(np.float32)
        frame = prepare_frame(manifest, check_inputs(manifest, lr_hsi, given.get("hr_msi"), resample=False))
        output = frame.hr_hsi_from(run_graph(forms.whole, _network_inputs(frame))["hr_hsi"][0])
        off = max(off, float(np.abs(output - hr_hsi).max() / np.abs(hr_hsi).max()))
    return off


def _parity(network: nn.Module, inputs: dict[str, Float], output: Float) -> Parity:
    with torch.inference_mode():
        wanted = final_image(network(*(torch.from_numpy(image) for image in inputs.values())))[0].numpy()
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


def _sufficient_halo(manifest: Manifest, forms: Forms, reach: Reach) -> int:
    """On the sample, and on white noise, which has more contrast than any scene."""
    unit = 4 * reach.alignment_lr
    side_lr = min(MOST_HALO_SIDE_LR, max(HALO_SIDE_PX // manifest.ratio, 6 * reach.halo_lr))
    side_lr = math.ceil(side_lr / unit) * unit
    part = min(side_lr, SAMPLE_SIDE_LR)
    *_, frame = _sample(manifest, Region(0, part, 0, part))
    inputs = {name: _mirrored(name, image, side_lr / part) for name, image in _network_inputs(frame).items()}
    rng = np.random.default_rng(0)
    noise = {name: rng.random(image.shape, np.float32) for name, image in inputs.items()}
    least = PSF_HALO_LR if manifest.base == "subspace" else 0
    return max(least, sufficient_halo_lr(forms, reach, [inputs, noise]))


def _mirrored(name: str, image: Float, times: float) -> Float:
    """An image `times` as high and wide, up to 2, its mirror image below and beside it."""
    if image.ndim < 4:
        return image
    more = [round((times - 1) * (side - 2 * MARGINS.get(name, 0))) for side in image.shape[2:]]
    return np.pad(image, ((0, 0), (0, 0), (0, more[0]), (0, more[1])), mode="symmetric")
