"""The calibration of a rig from what it sees: no targets, one or more pairs of frames over ground with structure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, RegistrationError
from hsi_edge.registration.bending import bent
from hsi_edge.registration.certainty import FLOOR_LR, mean_distance_lr, misfit_lr, standard_error_lr
from hsi_edge.registration.evidence import FINE_PX, Evidence, evidence_from_pair
from hsi_edge.registration.fitting import (
    Fit,
    Freedom,
    Model,
    explained_under,
    fit,
)
from hsi_edge.registration.rig import Rig
from hsi_edge.registration.search import LARGEST_ROTATION_DEG, SCALES, candidates

Image = Cube | NDArray[Any]
Choice = Literal["auto", "similarity", "affine", "homography"]

SIMPLEST: Model = "similarity"
RICHER: tuple[dict[str, Any], ...] = ({"model": "affine"}, {"model": "homography"})
"""What is tried beyond it, one after the other."""
FIRST_FWHM_LR = 1.0
MOST_PIXELS = 1 << 14
"""Of a spectral frame that are fitted to; a larger frame is reduced first. So many pixels leave other errors than
noise."""
COARSE_SIDE_PX = 64
"""Longer side to which a larger spectral frame is reduced for the first fits."""
COARSELY, COARSE_PX = 0.02, 2.5
"""Where they rest, and RGB pixels per pixel that are enough for them (see `fit` and `FINE_PX`)."""
APART_LR = 2.0
"""Corners farther apart, relative to the reduced frame's pixels, are another place."""
REACH_LR, REACH = 8.0, 0.05
"""How far from a start the rig may be: LR pixels, or part of the frame's longer side if that is more."""
LEAST_LEAD = 2.0
"""How much more log-likelihood the place found must gain than any other place."""
LEAST_LEAD_OF_START = 1.2
"""The same beside a start, where fewer places can be mistaken for each other."""
CLEARLY = 1.5
"""How many of its own standard errors a richer model must move the pixels by."""
LEAST_GAIN_PER_PIXEL = 0.15
LEAST_EXPLAINED = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """A rig as estimated.

    Attributes:
        rig: The estimate.
        model: "similarity", "affine" or "homography".
        explained: Part of the spectral frames' variance, in the RGB's range, that the RGB explains.
        overlap: Part of the spectral frame that the RGB covers.
        rival: Log-likelihood gained by the best other place, relative to the one found.
    """

    rig: Rig
    model: Model
    explained: float
    overlap: float
    rival: float


def calibrate(
    pairs: Sequence[tuple[Image, Image]],
    *,
    model: Choice = "auto",
    bend: bool = False,
    start: Rig | None = None,
) -> Calibration:
    """Estimate where on the RGB each pixel of the spectral frame is.

    The RGB, blurred and sampled as the spectral sensor would, must explain the bands in its range by a linear
    regression; the transform under which it does best is found from coarse to fine, with the width of the spectral
    sensor's blur.

    Args:
        pairs: Spectral frame `(rows, cols, bands)` and RGB `(msi_rows, msi_cols, channels)` of the same moment, all by
            the same rig. More pairs make it more exact.
        model: Of the transform; "auto" takes the simplest from which richer ones do not differ clearly, and a lens's
            distortion only where that does. With a bend, "auto" is a similarity.
        bend: Whether to look for a smooth local displacement beyond it, such as a moving line scanner's.
        start: A rig that is right to 8 LR pixels, or a twentieth of the frame's side; None searches scales (the RGB
            shows between three quarters and twice of the frame's side), rotations up to 15 degrees and all offsets.

    Raises:
        InputError: There is no pair, or arrays of different sizes or without measurements.
        MissingPackageError: OpenCV is not installed.
        RegistrationError: The pairs do not tell; says what was found and the way out.
    """
    evidence, shapes = _evidence(pairs)
    if start is not None:
        _check_start(start, shapes)
    places = _places(evidence[0], shapes) if start is None else _places_around(start)
    place, rival = _found_place(evidence[0], places, start)
    fine = _with_planes_for(evidence, place)
    simplest = Freedom(SIMPLEST if model == "auto" else model, lens=start is not None and start.lens is not None)
    # A bend takes up what richer models would, and lets go of it only step by step.
    richer = [] if bend else [*(RICHER if model == "auto" else []), {"lens": True}]
    chosen = _chosen(fine, fit(_coarse(evidence, place), place, simplest, COARSELY).rig, simplest, richer)
    _check_found(chosen, rival, start)
    rig, std_lr = chosen.rig, standard_error_lr(fine, chosen)
    if bend:
        rig, bend_std_lr = bent(fine, replace(rig, bend=None))
        std_lr = math.hypot(std_lr, bend_std_lr)
    std_lr = math.hypot(std_lr, misfit_lr(fine, rig, plain=bend), FLOOR_LR)
    found = [explained_under(pair, rig, Freedom("none", plain=True)) for pair in fine]
    return Calibration(
        rig=replace(rig, std_lr=std_lr),
        model=chosen.freedom.model,
        explained=float(np.mean([one.part for one in found])),
        overlap=float(np.mean([np.isfinite(one.losses).mean() for one in found])),
        rival=rival,
    )


def _evidence(pairs: Sequence[tuple[Image, Image]]) -> tuple[list[Evidence], Rig]:
    """What the pairs show, and a rig of their sizes that knows nothing yet."""
    if not pairs:
        raise InputError("there is no pair to calibrate from; give a spectral frame and the RGB that was taken with it")
    sizes = [tuple(_shape(image) for image in pair) for pair in pairs]
    for number, size in enumerate(sizes):
        if size != sizes[0]:
            raise InputError(
                f"pair {number} has sizes {size[0]} and {size[1]}, the first {sizes[0][0]} and {sizes[0][1]}; give "
                "frames of one rig, with the same settings"
            )
    lr_shape, msi_shape = sizes[0]
    step = math.ceil(math.sqrt(lr_shape[0] * lr_shape[1] / MOST_PIXELS))
    evidence = [evidence_from_pair(lr_hsi, hr_msi).reduced(step) for lr_hsi, hr_msi in pairs]
    return evidence, Rig(lr_shape=lr_shape, msi_shape=msi_shape, msi_from_lr=np.eye(3), psf_fwhm_lr=FIRST_FWHM_LR)


def _shape(image: Image) -> tuple[int, int]:
    shape = (image.data if isinstance(image, Cube) else np.asarray(image)).shape
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"an image is (rows, cols, bands), not empty; got shape {tuple(shape)}")
    return int(shape[0]), int(shape[1])


def _check_start(rig: Rig, shapes: Rig) -> None:
    if (rig.lr_shape, rig.msi_shape) != (shapes.lr_shape, shapes.msi_shape):
        raise InputError(
            f"the rig to start from is of frames of {rig.lr_shape} and {rig.msi_shape} pixels, the pairs have "
            f"{shapes.lr_shape} and {shapes.msi_shape}; leave it out, or take that of this rig"
        )


def _places(pair: Evidence, shapes: Rig) -> list[Rig]:
    """Where the frame may be on the RGB, from nothing but the pair."""
    return [replace(shapes, msi_from_lr=candidate.msi_from_lr) for candidate in candidates(pair)]


def _places_around(start: Rig) -> list[Rig]:
    """The start, and places to all sides of it, which must explain less."""
    aside = np.array([[x, y] for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]) * _reach_lr(start)
    places = [start]
    for off in aside:
        shift = np.eye(3)
        shift[:2, 2] = off
        places.append(replace(start, msi_from_lr=start.msi_from_lr @ shift))
    return places


def _reach_lr(start: Rig) -> float:
    """How far from a start the rig may be."""
    return max(REACH_LR, REACH * max(start.lr_shape))


def _found_place(pair: Evidence, places: Sequence[Rig], start: Rig | None) -> tuple[Rig, float]:
    """A rig that is right to about an LR pixel, and how likely the best other place is, relative to it."""
    tried = [one for place in places if (one := _tried(pair, place)) is not None]
    if not tried:
        raise RegistrationError(_unlike("no place of the spectral frame on the RGB is better than others", start))
    best = max(tried, key=lambda one: one.gain)
    apart = APART_LR * max(1.0, max(best.rig.lr_shape) / COARSE_SIDE_PX)
    rivals = [one.gain for one in tried if _distance_lr(one.rig, best.rig) > apart]
    return best.rig, max([0.0, *rivals]) / best.gain if best.gain > 0 else 1.0


def _tried(pair: Evidence, place: Rig) -> Fit | None:
    try:
        return fit(_coarse([pair], place), place, Freedom(SIMPLEST), COARSELY)
    except RegistrationError:  # the fit slid off the RGB
        return None


def _distance_lr(rig: Rig, other: Rig) -> float:
    rows, cols = rig.lr_shape
    corners = np.array([[0.0, 0.0], [cols, 0.0], [0.0, rows], [cols, rows]])
    return float(np.abs(rig.msi_points(corners) - other.msi_points(corners)).max()) / other.msi_px_per_lr_px


def _with_planes_for(pairs: Sequence[Evidence], rig: Rig, enough_px: float = FINE_PX) -> list[Evidence]:
    block = max(1, int(rig.msi_px_per_lr_px * pairs[0].step / enough_px))
    return [pair.coarse_planes(block) for pair in pairs]


def _coarse(pairs: Sequence[Evidence], rig: Rig) -> list[Evidence]:
    step = max(1, max(pairs[0].image.shape[1:]) // COARSE_SIDE_PX)
    return _with_planes_for([pair.reduced(step) for pair in pairs], rig, COARSE_PX)


def _chosen(pairs: Sequence[Evidence], rig: Rig, simplest: Freedom, richer: Sequence[dict[str, Any]]) -> Fit:
    """Fit the simplest freedom from which richer ones differ by no more than they may be off themselves."""
    best = fit(pairs, rig, simplest)
    for change in richer:
        freedom = replace(best.freedom, **change)
        if freedom == best.freedom:
            continue
        other = fit(pairs, best.rig, freedom)
        if mean_distance_lr(best.rig, other.rig) > CLEARLY * standard_error_lr(pairs, other):
            best = other
    return best


def _check_found(found: Fit, rival: float, start: Rig | None) -> None:
    pixels = sum(int((one.trust > 0).sum()) for one in found.found)
    here = f"in the best place, the RGB explains {found.part:.0%} of what the spectral frame shows"
    if start is not None and (slid := _distance_lr(found.rig, start)) > _reach_lr(start):
        raise RegistrationError(
            _unlike(
                f"the fit slid {slid:.0f} LR pixels from its start, more than {_reach_lr(start):.0f}; {here}", start
            )
        )
    if rival > 1 / (LEAST_LEAD if start is None else LEAST_LEAD_OF_START):
        raise RegistrationError(
            _unlike(f"another place explains the frame {rival:.0%} as well as the best one; {here}", start)
        )
    if found.part < LEAST_EXPLAINED or found.gain < LEAST_GAIN_PER_PIXEL * pixels:
        raise RegistrationError(_unlike(here, start))


def _unlike(what: str, start: Rig | None) -> str:
    if start is not None:
        way = "give a rig to start from that is closer, or none"
    else:
        least, most = 1 / SCALES[1], 1 / SCALES[0]
        way = (
            f"the RGB must show {least:.2g} to {most:.2g} times the frame's side and be turned by at most "
            f"{LARGEST_ROTATION_DEG:.0f} degrees; or give a rig to start from"
        )
    return (
        f"the RGB and the spectral frame do not tell how they lie: {what}. Give a pair over ground with structure, "
        f"taken together; {way}"
    )
