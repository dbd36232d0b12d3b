"""The manifest of a model bundle: what a model is, takes and gives, checked when it is made or read.

`parse_manifest` and `dump_manifest` go between `manifest.yaml` and `Manifest`.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from hsi_edge.cube import Quantity
from hsi_edge.errors import ManifestError
from hsi_edge.records import plain_from_record, plain_from_yaml, record_from_plain, yaml_from_plain

SCHEMA = 1
MAX_MANIFEST_BYTES = 1 << 20
# ONNX files end at 2 GiB; the networks here have a few MiB.
MAX_BUNDLE_BYTES = 2 << 30
# Tools write into these folders after the bundle is made (engines are built on the device), so the manifest cannot
# list what lies in them.
OPEN_FOLDERS = ("engines", "report")

Task = Literal["fusion", "single"]
Scaling = Literal["unit", "frame_peak"]
Base = Literal["bilinear", "bicubic", "regression", "subspace", "none"]
GRAPHLESS: Mapping[str, tuple[Task, Base]] = {
    "regression": ("fusion", "regression"),
    "interpolation": ("single", "bicubic"),
}
"""The networks that are none: their base image is the result."""
ImageName = Literal["lr_hsi", "base", "hr_msi", "guide", "features", "condition"]
StatisticsMode = Literal["whole", "exact", "reduced", "sampled", "previous"]
GraphPrecision = Literal["fp32", "fp16", "int8"]
Row = Mapping[str, str | int | float]

LR_IMAGES: tuple[ImageName, ...] = ("lr_hsi",)
"""The images that lie on the LR grid; the others lie on the HR grid."""
SUBSPACE_IMAGES: tuple[ImageName, ...] = ("guide", "features", "condition")
"""What a graph takes that works on a frame's components (`hsi_edge.subspace`)."""
PSF_HALO_LR = 2
"""Least halo of such a graph: a tile is degraded to the LR grid, and its halo must hold the point spread function."""


def _want_sha256(value: str, key: str) -> None:
    _want(re.fullmatch(r"[0-9a-f]{64}", value) is not None, key, value, "64 lower-case hexadecimal digits")


def _want(ok: bool, key: str, value: object, wanted: str) -> None:
    if not ok:
        raise ManifestError(f"{key} is {reprlib.repr(value)}; wanted {wanted}")


@dataclass(frozen=True, kw_only=True)
class Bands:
    """The spectral bands that a model takes and gives.

    Attributes:
        wavelengths_nm: Band centres, ascending. Empty: any bands, any number (only a model without a graph,
            or one with base `subspace`).
        fwhm_nm: Band widths, one per band, or empty.
        tolerance_nm: How far a sensor's band centre may lie from the model's.
    """

    wavelengths_nm: tuple[float, ...] = ()
    fwhm_nm: tuple[float, ...] = ()
    tolerance_nm: float = 5.0

    def __post_init__(self) -> None:
        for index, (low, high) in enumerate(pairwise((0.0, *self.wavelengths_nm))):
            _want(low < high, f"bands.wavelengths_nm[{index}]", high, f"more than {low:g}: positive, ascending")
        counts = (0, len(self.wavelengths_nm))
        _want(len(self.fwhm_nm) in counts, "the length of bands.fwhm_nm", len(self.fwhm_nm), f"0 or {counts[1]}")
        _want(all(width > 0 for width in self.fwhm_nm), "bands.fwhm_nm", self.fwhm_nm, "positive widths")
        _want(self.tolerance_nm > 0, "bands.tolerance_nm", self.tolerance_nm, "a positive number")


@dataclass(frozen=True, kw_only=True)
class Msi:
    """The HR-MSI that a fusion model takes.

    Attributes:
        bands: Number of bands; 0 for task `single`, and for a fusion model without a graph that takes any number.
        names: One name per band, or empty.
        srf: `(msi_bands, bands)`, rows sum to 1; empty: any response.
    """

    bands: int
    names: tuple[str, ...] = ()
    srf: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        _want(self.bands >= 0, "msi.bands", self.bands, "0 or more")
        for key, items in (("msi.names", self.names), ("msi.srf", self.srf)):
            _want(len(items) in (0, self.bands), f"the length of {key}", len(items), f"0 or msi.bands ({self.bands})")
        for index, row in enumerate(self.srf):
            _want(abs(sum(row) - 1) < 1e-4, f"the sum of msi.srf[{index}]", sum(row), "1")


@dataclass(frozen=True, kw_only=True)
class Input:
    """What the numbers in the inputs may be, and how they are scaled for the network.

    `unit` takes floats as given and divides integers by their type's largest value. `frame_peak` divides by the frame's
    99.9th percentile, and the output is multiplied by it again.

    Attributes:
        quantities: The accepted quantities of the LR-HSI; a cube of another one is refused.
        lr_scaling: Of the LR-HSI.
        msi_scaling: Of the HR-MSI.
        images: What the graph takes, by the names of its inputs: `lr_hsi` on the LR grid, `base` (the base image) and
            `hr_msi` on the HR grid; or, with base `subspace`, all of `SUBSPACE_IMAGES`.
    """

    quantities: tuple[Quantity, ...]
    lr_scaling: Scaling
    msi_scaling: Scaling = "unit"
    images: tuple[ImageName, ...] = ("base", "hr_msi")

    def __post_init__(self) -> None:
        once = 0 < len(self.quantities) == len(set(self.quantities))
        _want(once, "input.quantities", self.quantities, "at least one quantity, each once")
        once = 0 < len(self.images) == len(set(self.images))
        _want(once, "input.images", self.images, "at least one image, each once")


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a frame may be cut, in LR pixels.

    Attributes:
        halo_lr: Margin per side that makes a tile's core exact: at most the receptive field, less where the trained
            weights were measured not to use its rim.
        radius_px: The receptive field's radius in HR pixels, proved by impulses at export; 0 without a graph.
        alignment_lr: Tile origins and sizes are multiples of this.
        min_lr: Smallest side of a frame.
        max_tile_lr: Largest side of a tile with its halo; 0 is no limit.
        bytes_per_px: Memory that the FP32 graph takes per HR pixel of a tile, measured at export; 0 without a graph.
    """

    halo_lr: int
    radius_px: int = 0
    alignment_lr: int = 1
    min_lr: int = 1
    max_tile_lr: int = 0
    bytes_per_px: int = 0

    def __post_init__(self) -> None:
        _want(self.radius_px >= 0, "tiling.radius_px", self.radius_px, "0 or more")
        _want(self.halo_lr >= 0, "tiling.halo_lr", self.halo_lr, "0 or more")
        _want(self.alignment_lr >= 1, "tiling.alignment_lr", self.alignment_lr, "1 or more")
        _want(self.min_lr >= 1, "tiling.min_lr", self.min_lr, "1 or more")
        _want(self.bytes_per_px >= 0, "tiling.bytes_per_px", self.bytes_per_px, "0 or more")
        least = max(2 * self.halo_lr + self.alignment_lr, self.min_lr)
        fits = self.max_tile_lr == 0 or self.max_tile_lr >= least
        _want(fits, "tiling.max_tile_lr", self.max_tile_lr, f"0 (no limit), or {least} or more to hold the two halos")


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The statistics over the whole frame that a network uses, such as PZRes-Net's feature means.

    Attributes:
        modes: Where they may come from: `whole` (the frame is run in one piece), `exact` (a first pass over the whole
            frame), `reduced` (the frame pair reduced by 2), `sampled` (windows of the frame), `previous` (the stream's
            previous frame); see `hsi_edge.statistics`.
        default: The mode used unless another is asked for.
        size: Length of the statistics vector.
    """

    modes: tuple[StatisticsMode, ...]
    default: StatisticsMode
    size: int

    def __post_init__(self) -> None:
        once = 0 < len(self.modes) == len(set(self.modes))
        _want(once, "statistics.modes", self.modes, "at least one mode, each once")
        _want(self.default in self.modes, "statistics.default", self.default, f"one of {', '.join(self.modes)}")
        _want(self.size >= 1, "statistics.size", self.size, "1 or more")


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The files of one precision.

    Attributes:
        whole: Computes its statistics, and returns them if it has any.
        given: Takes its statistics as an input; None for a network without statistics.
    """

    whole: str
    given: str | None = None


@dataclass(frozen=True, kw_only=True)
class Precision:
    """What the accuracy gate allows besides FP32 arithmetic of the FP32 graph.

    Attributes:
        bf16: Whether BF16 arithmetic passed.
        bf16_psnr_loss_db: The loss that was measured; None if it was not.
    """

    bf16: bool = False
    bf16_psnr_loss_db: float | None = None

    def __post_init__(self) -> None:
        measured = not self.bf16 or self.bf16_psnr_loss_db is not None
        _want(measured, "precision.bf16_psnr_loss_db", None, "the measured loss, as precision.bf16 is true")


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a graph was made of the FP32 one, and what it loses on tiles that took no part in making it.

    Attributes:
        method: `casts` (FP16), or the calibrator that found the activations' ranges (INT8).
        tiles: Number of tiles that it was made with.
        tiles_sha256: Fingerprint of those tiles.
        held_out: Number of tiles that it was judged on.
        psnr_db: Of its output against the FP32 output.
        psnr_loss_db: What it loses of FP32's PSNR against the truth; None where no truth was given.
        sam_change_percent: Change of the mean spectral angle against the truth, in percent of FP32's; None likewise.
        sam_p95_change_percent: The same for the 95th percentile.
        worst_band_rmse: Largest RMSE of a band against the FP32 output, in parts of the frame's peak.
        float_layers: Layers that are computed wider than the graph's precision.
    """

    method: Literal["casts", "minmax", "percentile", "entropy"]
    tiles: int
    tiles_sha256: str
    held_out: int
    psnr_db: float
    psnr_loss_db: float | None = None
    sam_change_percent: float | None = None
    sam_p95_change_percent: float | None = None
    worst_band_rmse: float
    float_layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _want(self.tiles >= 1, "calibration.tiles", self.tiles, "1 or more")
        _want(self.held_out >= 1, "calibration.held_out", self.held_out, "1 or more")
        _want_sha256(self.tiles_sha256, "calibration.tiles_sha256")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network costs, as counted on its modules.

    Attributes:
        parameters: Trained numbers, weight normalisation folded.
        macs_per_px: Multiply-accumulates per HR pixel.
    """

    parameters: int
    macs_per_px: float

    def __post_init__(self) -> None:
        _want(self.parameters >= 1, "cost.parameters", self.parameters, "1 or more")
        _want(self.macs_per_px > 0, "cost.macs_per_px", self.macs_per_px, "a positive number")


@dataclass(frozen=True, kw_only=True)
class Training:
    """Where the weights come from, in words: the data, its licence, the recipe, and the commit that trained it."""

    data: str
    data_licence: str
    recipe: str
    commit: str = ""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Largest differences between torch and ONNX Runtime, of the whole output and per band, with both versions."""

    max_abs: float
    per_band_max_abs: tuple[float, ...]
    torch: str
    onnxruntime: str


@dataclass(frozen=True, kw_only=True)
class File:
    """What a file of the bundle must be: its SHA-256 in lower-case hexadecimal, and its size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that the runtime knows of a model. Making one checks it.

    Attributes:
        schema: Number of this layout.
        name: Of the model, fit for a file name.
        network: A word for the architecture; `regression` is the model without a graph.
        task: `fusion` takes an LR-HSI and an HR-MSI, `single` the LR-HSI alone.
        ratio: LR GSD / HR GSD.
        base: What the runtime makes of the frame for the network: the image to which it adds its residual, the frame's
            components (`subspace`), or nothing (`none`).
        psf_fwhm_px: FWHM, in HR pixels, of the Gaussian that degrades an HR image to the LR grid.
        statistics: None for a network without statistics over the frame.
        graphs: By precision; empty for a model without a graph.
        calibration: How each graph beside `fp32` was made, by precision, and what it loses.
        golden: A small input pair and its FP32 output as `.npz`; None only for a model without a graph.
        advice: When to take this model and when another one, in a sentence.
        accuracy: Measured rows: scene, pair, psnr_db, sam_deg, and what else there is.
        published: Such rows from the network's paper.
        parity: None if it was not measured.
        cost: None for a model without a graph, and where it was not counted.
        files: Every file of the bundle but the manifest, the signature and what lies in `OPEN_FOLDERS`.

    Raises:
        ManifestError: Names the key, its value and what was wanted.
    """

    schema: int = SCHEMA
    name: str
    network: str
    task: Task
    ratio: int
    bands: Bands
    msi: Msi
    input: Input
    base: Base
    psf_fwhm_px: float
    tiling: Tiling
    statistics: Statistics | None = None
    graphs: Mapping[GraphPrecision, Graph] = field(default_factory=dict)
    precision: Precision = Precision()
    calibration: Mapping[GraphPrecision, Calibration] = field(default_factory=dict)
    golden: str | None = None
    training: Training | None = None
    advice: str = ""
    accuracy: tuple[Row, ...] = ()
    published: tuple[Row, ...] = ()
    parity: Parity | None = None
    cost: Cost | None = None
    files: Mapping[str, File] = field(default_factory=dict)

    @property
    def n_bands(self) -> int:
        """Number of bands; 0 is any."""
        return len(self.bands.wavelengths_nm)

    def __post_init__(self) -> None:
        _want(self.schema == SCHEMA, "schema", self.schema, str(SCHEMA))
        name_fits = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name) is not None
        _want(name_fits, "name", self.name, "up to 100 letters, digits, '-', '_' and '.'")
        _want(self.network.strip() != "", "network", self.network, "a word for the architecture")
        _want(1 <= self.ratio <= 64, "ratio", self.ratio, "1 to 64")
        _want(self.psf_fwhm_px > 0, "psf_fwhm_px", self.psf_fwhm_px, "a positive number")
        _check_inputs(self)
        _check_graphs(self)
        _check_files(self.files)


def _check_inputs(manifest: Manifest) -> None:
    msi, n_bands = manifest.msi, manifest.n_bands
    if manifest.task == "single":
        _want(msi.bands == 0, "msi.bands", msi.bands, "0, as task is single")
        _want(manifest.base != "regression", "base", manifest.base, "bilinear, bicubic or none, as task is single")
    elif manifest.graphs:
        _want(msi.bands >= 1, "msi.bands", msi.bands, "1 or more, as task is fusion")
    for index, row in enumerate(msi.srf):
        _want(
            len(row) == n_bands, f"the length of msi.srf[{index}]", len(row), f"that of bands.wavelengths_nm, {n_bands}"
        )


def _check_graphs(manifest: Manifest) -> None:
    if manifest.network in GRAPHLESS:
        task, base = GRAPHLESS[manifest.network]
        reason = f"as network is {manifest.network}"
        _want(not manifest.graphs, "graphs", list(manifest.graphs), f"empty, {reason}")
        _want(manifest.task == task, "task", manifest.task, f"{task}, {reason}")
        _want(manifest.base == base, "base", manifest.base, f"{base}, {reason}")
        _want(manifest.statistics is None, "statistics", manifest.statistics, f"null, {reason}")
        return
    graphless = " and ".join(GRAPHLESS)
    _want("fp32" in manifest.graphs, "graphs", list(manifest.graphs), f"an entry fp32 (only {graphless} have no graph)")
    any_bands = manifest.base == "subspace"
    _want(any_bands or manifest.n_bands > 0, "bands.wavelengths_nm", (), "the band centres, as the graph's are fixed")
    _want(manifest.golden is not None, "golden", None, "the name of an .npz file, as the model has a graph")
    _check_images(manifest)
    narrow = [precision for precision in manifest.graphs if precision != "fp32"]
    calibrated = sorted(manifest.calibration) == sorted(narrow)
    _want(calibrated, "calibration", list(manifest.calibration), f"an entry for each graph beside fp32: {narrow}")
    has_given = manifest.statistics is not None and any(mode != "whole" for mode in manifest.statistics.modes)
    for precision, graph in manifest.graphs.items():
        wanted = "a file, as statistics.modes asks for it" if has_given else "null, as no mode of statistics uses it"
        _want((graph.given is not None) == has_given, f"graphs.{precision}.given", graph.given, wanted)
    if manifest.parity is not None and not any_bands:
        count = len(manifest.parity.per_band_max_abs)
        _want(count == manifest.n_bands, "the length of parity.per_band_max_abs", count, f"{manifest.n_bands}")


def _check_images(manifest: Manifest) -> None:
    images, key = manifest.input.images, "input.images"
    if manifest.base == "subspace":
        _want(images == SUBSPACE_IMAGES, key, images, f"{', '.join(SUBSPACE_IMAGES)}, as base is subspace")
        _want(manifest.task == "fusion", "task", manifest.task, "fusion, as base is subspace")
        _want(manifest.n_bands == 0, "bands.wavelengths_nm", manifest.bands.wavelengths_nm, "none: subspace takes any")
        _want(manifest.msi.bands == 3, "msi.bands", manifest.msi.bands, "3, as base is subspace")
        scaling = manifest.input.lr_scaling
        _want(scaling == "frame_peak", "input.lr_scaling", scaling, "frame_peak, as base is subspace")
        alignment = manifest.tiling.alignment_lr
        _want(alignment == 1, "tiling.alignment_lr", alignment, "1, as base is subspace")
        halo = manifest.tiling.halo_lr
        _want(halo >= PSF_HALO_LR, "tiling.halo_lr", halo, f"{PSF_HALO_LR} or more, as base is subspace")
        return
    _want(not set(images) & set(SUBSPACE_IMAGES), key, images, f"none of {', '.join(SUBSPACE_IMAGES)}")
    if manifest.task == "single":
        _want("hr_msi" not in images, key, images, "no hr_msi, as task is single")
    else:
        _want("hr_msi" in images, key, images, "hr_msi among them, as task is fusion")
    if manifest.base == "none":
        _want("base" not in images, key, images, "no base, as base is none")
    else:
        _want("base" in images, key, images, f"base among them, as base is {manifest.base}")


def _check_files(files: Mapping[str, File]) -> None:
    for name, file in files.items():
        check_name(name, f"files.{name}")
        _want_sha256(file.sha256, f"files.{name}.sha256")
        _want(file.size_bytes >= 0, f"files.{name}.size_bytes", file.size_bytes, "0 or more")
        closed = name.split("/")[0] not in (*OPEN_FOLDERS, "manifest.yaml", "signature")
        _want(closed, f"a name in files, {name},", name, "a file that no tool rewrites, so none of that name")
    total = sum(file.size_bytes for file in files.values())
    _want(total <= MAX_BUNDLE_BYTES, "the sum of the sizes in files", total, f"at most {MAX_BUNDLE_BYTES} bytes")


def check_name(name: str, key: str) -> None:
    """Refuse a file name that could leave the bundle's folder on any system.

    Raises:
        ManifestError: The name is absolute, or has a drive, a backslash, a control character, or an empty, `.` or `..`
            part.
    """
    inside = not any(part in ("", ".", "..") for part in name.split("/"))
    if not inside or re.search(r"[\\:\x00-\x1f]", name):
        raise ManifestError(
            f"{key} is a path that leaves the bundle's folder: {name!r}; wanted a relative path with '/'"
        )


def parse_manifest(data: bytes, source: str = "manifest.yaml") -> Manifest:
    """Read a manifest, strictly.

    Args:
        data: The YAML text, at most `MAX_MANIFEST_BYTES`.
        source: What messages call it.

    Raises:
        ManifestError: Not YAML, a newer schema, an unknown or missing key, a value that does not fit, or a graph or
            golden pair that `files` does not list.
    """
    try:
        plain = plain_from_yaml(data, MAX_MANIFEST_BYTES)
        _check_schema(plain)
        manifest = record_from_plain(Manifest, plain)
        _check_named_files(manifest)
    except ManifestError as err:
        raise ManifestError(f"{source}: {err}") from err
    return manifest


def dump_manifest(manifest: Manifest) -> bytes:
    """The manifest as YAML in the order of its fields; `parse_manifest` gives an equal one."""
    return yaml_from_plain(plain_from_record(manifest))


def _check_schema(plain: object) -> None:
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema is None:
        raise ManifestError(f"there is no key schema, so this is no manifest; wanted a mapping with schema: {SCHEMA}")
    if type(schema) is int and schema > SCHEMA:
        raise ManifestError(
            f"schema {schema} is newer than the newest that this version of hsi_edge knows, {SCHEMA}; "
            "upgrade with: pip install --upgrade hsi-edge"
        )


def _check_named_files(manifest: Manifest) -> None:
    named = {"golden": manifest.golden}
    for precision, graph in manifest.graphs.items():
        named[f"graphs.{precision}.whole"] = graph.whole
        named[f"graphs.{precision}.given"] = graph.given
    for key, name in named.items():
        _want(name is None or name in manifest.files, key, name, f"one of files: {', '.join(manifest.files)}")
