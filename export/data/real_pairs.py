"""Frame pairs of true sensors, registered: what a model's output can be checked against where there is no truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, zoom
from scipy.signal import fftconvolve

from export.demo_pair import FOLDER
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io import read

Float = NDArray[np.float32]

FINE = 4
"""Samples of a photo per HR pixel and side, averaged."""
TREES = ("pair_trees1_shift5px_gaussian_gt", "pair_trees1_shift5px_disk_gt")
TREES_RATIO, TREES_SHIFT, TREES_BORDER_LR = 4, (5, -5), 2
"""The photo lies 5 HR pixels above and 5 to the right of the band (found by comparing both with the ground truth); the
border is what a shift leaves without a photo."""
HYPERION_OFFSET = 13
"""Column of the Hyperion frame beside ALI's nine bands at which the frame beside ALI's PAN band begins."""
PARIS_RATIO = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class RealPair:
    """An LR-HSI as it was measured and a guide on its grid.

    Attributes:
        name: Fit for a file name.
        ratio: HR pixels per LR pixel.
        lr_hsi: The measured bands that are good; physical.
        hr_msi: `(rows * ratio, cols * ratio, 3)` float32 in [0, 1].
        note: How the pair was made, for people.
        degrade: From `(bands, rows * ratio, cols * ratio)` to the LR grid by the sensor's own PSF; None where that is
            not known.
        truth: `(rows * ratio, cols * ratio, bands)`; None where there is none.
        border_lr: LR pixels per side that are not compared, as what lies outside of the frame reaches into them.
    """

    name: str
    ratio: int
    lr_hsi: Cube
    hr_msi: Float
    note: str
    degrade: Callable[[Float], Float] | None = None
    truth: Float | None = None
    border_lr: int = 0


def real_pairs(data: Path, ratio: int) -> Iterator[RealPair]:
    """All pairs whose guide has pixels for that ratio.

    Raises:
        InputError: Names the file that is missing and where it belongs.
    """
    yield salton_sea(ratio)
    if ratio == TREES_RATIO:
        yield paris(data, ratio)
        for name in TREES:
            yield trees(data, name)


def salton_sea(ratio: int) -> RealPair:
    """The demo's pair: AVIRIS and an orthophoto of another day.

    The photo is bent to the frame, and not the frame to the photo, so that the measured spectra stay as they are.
    """
    frame = read(FOLDER / "frame.hdr")
    good = frame if frame.bad_bands is None else frame.select_bands(np.flatnonzero(~frame.bad_bands))
    photo = np.asarray(read(FOLDER / "orthophoto.png").data, np.float32) / 255
    fields = yaml.safe_load((FOLDER / "transform.yaml").read_text(encoding="utf-8"))
    displacement = np.load(FOLDER / fields["displacement"])
    finer = ratio * FINE
    y, x = np.mgrid[: frame.rows * finer, : frame.cols * finer].astype(np.float32)
    points = straightened_points((x + 0.5) / finer, (y + 0.5) / finer, displacement)
    at_x, at_y = np.tensordot(np.array(fields["photo_from_frame"]), np.stack([*points, np.ones_like(x)]), axes=1)
    # Points count from the corner of the first pixel, map_coordinates from its middle.
    fine = [map_coordinates(photo[:, :, k], [at_y - 0.5, at_x - 0.5], order=1, mode="nearest") for k in range(3)]
    return RealPair(
        name="salton-sea",
        ratio=ratio,
        lr_hsi=Cube(data=good.physical(), wavelengths_nm=good.wavelengths_nm, quantity="reflectance"),
        hr_msi=np.stack([_block_means(channel, FINE) for channel in fine], axis=2),
        note="AVIRIS, its 204 good bands, and an RGB orthophoto of another day; published registration",
    )


def straightened_points(x: Float, y: Float, displacement: Float) -> tuple[Float, Float]:
    """Where points of the frame as measured lie in the straightened frame: the inverse of the displacement."""
    at_x, at_y = x, y
    for _ in range(5):  # a contraction: the displacement changes slowly from pixel to pixel
        dx, dy = (
            map_coordinates(displacement[:, :, k], [at_y - 0.5, at_x - 0.5], order=1, mode="nearest") for k in (0, 1)
        )
        at_x, at_y = x - dx, y - dy
    return at_x, at_y


def paris(data: Path, ratio: int) -> RealPair:
    """Hyperion over Paris and ALI's bands 3, 2, 1, sharpened with ALI's own PAN band (Brovey), from space.

    PAN has 3 pixels per Hyperion pixel; the sharpened image is resampled to `ratio` ones.
    """
    file = _load(data, "pair_paris_hyperion_ali")
    lr_hsi, pan = file["hs_pan"], file["pan"]
    rgb = file["ms"][:, HYPERION_OFFSET : HYPERION_OFFSET + lr_hsi.shape[1], [3, 2, 1]]
    coarse_pan = zoom(_block_means(pan, PARIS_RATIO), PARIS_RATIO, order=1, mode="nearest", grid_mode=True)
    sharp = [
        zoom(band, PARIS_RATIO, order=3, mode="nearest", grid_mode=True) * pan / coarse_pan
        for band in np.moveaxis(rgb, 2, 0)
    ]
    factor = ratio / PARIS_RATIO
    guide = np.stack([zoom(band, factor, order=1, mode="nearest", grid_mode=True) for band in sharp], axis=2)
    return RealPair(
        name="paris",
        ratio=ratio,
        lr_hsi=Cube(data=lr_hsi, quantity="reflectance"),
        hr_msi=np.clip(guide / guide.max(), 0, 1).astype(np.float32),
        note=f"Hyperion, 128 bands, and ALI's RGB sharpened with its PAN band; ratio 3 resampled to {ratio}",
    )


def trees(data: Path, name: str) -> RealPair:
    """One noisy band and the RGB photo that it was made from, with the shift between them undone."""
    file = _load(data, name)
    border = slice(TREES_BORDER_LR, -TREES_BORDER_LR)
    hr_border = slice(TREES_BORDER_LR * TREES_RATIO, -TREES_BORDER_LR * TREES_RATIO)
    rgb, truth = (np.roll(file[key], TREES_SHIFT, axis=(0, 1)) for key in ("rgb_hires", "ground_truth"))
    kernel = _centred(file["kernel"])
    reach = len(kernel) // 2

    def degrade(image: Float) -> Float:
        padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="symmetric")
        return np.stack([_block_means(fftconvolve(band, kernel, mode="valid"), TREES_RATIO) for band in padded])

    return RealPair(
        name=name.removeprefix("pair_").removesuffix("_gt").replace("_", "-"),
        ratio=TREES_RATIO,
        lr_hsi=Cube(data=file["data"][border, border, None], quantity="reflectance"),
        hr_msi=rgb[hr_border, hr_border].astype(np.float32) / np.float32(255),
        note="one band with a wide known PSF (9 HR pixels) and an RGB photo; made from a photo, with a known truth",
        degrade=degrade,
        truth=truth[hr_border, hr_border, None],
        border_lr=reach // TREES_RATIO,
    )


def _load(data: Path, name: str) -> dict[str, NDArray[np.float32]]:
    path = data / "sensors" / f"{name}.npz"
    if not path.is_file():
        raise InputError(f"{path} is missing: the sensors' pairs belong into {path.parent}")
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _centred(kernel: Float) -> Float:
    """The kernel moved to the middle of its array by whole pixels: one of the files has the shift in it."""
    middle = (len(kernel) - 1) / 2
    weights = kernel / kernel.sum()
    rows, cols = np.indices(kernel.shape)
    offset = [round(middle - float((weights * axis).sum())) for axis in (rows, cols)]
    return np.roll(weights, offset, axis=(0, 1))


def _block_means(image: Float, side: int) -> Float:
    rows, cols = (length // side for length in image.shape)
    means: Float = image.reshape(rows, side, cols, side).mean(axis=(1, 3)).astype(np.float32)
    return means
