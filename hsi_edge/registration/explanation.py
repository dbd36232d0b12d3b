"""How well the degraded RGB frame explains the bands, and which move of it would explain them better.

The bands are regressed on the RGB frame's channels; a wrong pose leaves a residual that its derivatives explain.
Variable projection (Golub, Pereyra, SIAM Journal on Numerical Analysis 1973; Kaufman's simplification, BIT 1975) solves
for the pose with the regression inside. Bands are weighted with the inverse covariance of what stays unexplained
(generalised least squares): only as many combinations of the bands matter as the RGB frame has channels, so all bands
count and none needs an image of its own.

What the RGB does not explain, such as the near infrared of a field, is alike over many pixels, and would pull at the
slopes of the field's edge. So each pixel counts by how it differs from the mean of its surroundings, in both frames,
which leaves errors that are nearly independent (without it, over fields and shrubs, errors were 8 times larger, three
times what the standard errors claimed).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import require
from hsi_edge.resampling import Float, multiply

Matrix = NDArray[np.float64]

RIDGE = 1e-6
"""Of a covariance's trace, added to its diagonal."""
NOTHING = 1e-30
"""Keeps frames without any texture, all black for one, from dividing by zero."""
SHRINK = 0.1
"""Part of the mean variance of what is unexplained that is added to every band's: the bands that seem to fit best fit
too well, and a spectrometer does not see all bands at one place (without it, errors grew from 0.004 to 0.04 LR px)."""
SURROUNDINGS_PX = 7
"""Side of the window of LR pixels whose mean is taken away. A smaller one leaves less of the land, and more noise."""
CLUSTER_PX = 3
"""Side of the windows of LR pixels within which what is unexplained is taken to be alike."""


class Seen:
    """The pixels that both frames see, and each one's surroundings among them.

    Args:
        where: `(h, w)`, which pixels these are.

    Raises:
        MissingPackageError: OpenCV is not installed.
    """

    def __init__(self, where: NDArray[np.bool_]) -> None:
        self.where = where
        self.at = np.flatnonzero(where)
        self._share = np.float32(1) / np.maximum(_window_sums(where[None].astype(np.float32)), np.float32(1))

    def contrast(self, image: Float) -> Float:
        """Of `(n, h, w)` what differs from the mean of the surroundings, `(n, pixels)`, centred."""
        image = np.where(self.where, image, np.float32(0))
        image -= _window_sums(image) * self._share
        return self.plain(image)

    def plain(self, image: Float) -> Float:
        """`(n, h, w)` over these pixels, centred, `(n, pixels)`."""
        values = image.reshape(len(image), -1).take(self.at, axis=1)
        values -= values.mean(axis=1, keepdims=True)
        return values


@dataclass(frozen=True, eq=False)
class Spectra:
    """The spectral frame over the pixels that both frames see.

    Attributes:
        seen: Which pixels these are.
        values: `(bands, pixels)`, their contrast.
        scatter: `(bands, bands)`, sums of their products.
    """

    seen: Seen
    values: Float
    scatter: Matrix

    @classmethod
    def of(cls, bands: Float, seen: Seen) -> Spectra:
        """From `(bands, h, w)`, finite where they are seen."""
        values = seen.contrast(bands)
        return cls(seen, values, products(values, values))


@dataclass(frozen=True, eq=False)
class Explanation:
    """The bands as the RGB frame explains them from one pose.

    Attributes:
        spectra: The bands.
        weighted: `(channels, pixels)`, what is unexplained, in the combinations of bands that tell of the pose.
        metric: `(channels, channels)`, how much an error of a channel matters.
        guide: `(channels, pixels)`, the degraded RGB frame's contrast.
        inverse_gram: `(channels, channels)`, of the guide.
    """

    spectra: Spectra
    weighted: Float
    metric: Matrix
    guide: Float
    inverse_gram: Matrix

    def unexplained(self, images: Float) -> Float:
        """What the guide does not already give of `(n, h, w)`, over the pixels: the regression follows."""
        values = self.spectra.seen.contrast(images)
        known = products(values, self.guide) @ self.inverse_gram
        values -= multiply(known.astype(np.float32), self.guide)
        return values

    @property
    def fitted(self) -> int:
        """How many bands and channels there are."""
        return len(self.spectra.values) + len(self.guide)


@dataclass(frozen=True, eq=False)
class Score:
    """A linear model of the pose about where it is.

    Attributes:
        normal: `(n, n)`, the information on n parameters.
        per_pixel: `(n, h, w)`, each pixel's part of the gradient; 0 where it is not seen.
        pixels: How many are seen.
        fitted: Bands and channels that were fitted to them.
    """

    normal: Matrix
    per_pixel: Matrix
    pixels: int
    fitted: int

    @functools.cached_property
    def _inverse(self) -> Matrix:
        """Of the information; the parameters have different units."""
        units = np.sqrt(np.diag(self.normal)) + NOTHING
        return _inverse(self.normal / np.outer(units, units)) / np.outer(units, units)

    @property
    def step(self) -> Matrix:
        """The move that explains the bands best, `(n,)`."""
        best: Matrix = self._inverse @ self.per_pixel.sum(axis=(1, 2))
        return best

    def covariance(self) -> Matrix:
        """Of the step, `(n, n)`.

        The larger, per parameter, of what the covariance of the unexplained says (which is right for noise) and what
        the scores themselves say (White, Econometrica 1980), summed over windows as neighbours are alike (Conley,
        Journal of Econometrics 1999: a pair of pixels counts by how much of their windows is common).
        """
        inverse = self._inverse
        covariance: Matrix = inverse * np.outer(*[np.sqrt(self.inflation)] * 2)
        covariance[np.diag_indices_from(covariance)] = np.where(np.diag(self.normal) > 0, np.diag(covariance), np.inf)
        return covariance

    @functools.cached_property
    def inflation(self) -> Matrix:
        """By how much variances are larger than what the covariance of the unexplained says, `(n,)`."""
        inverse = self._inverse
        sums = window_sums(self.per_pixel, CLUSTER_PX).reshape(len(self.normal), -1) / CLUSTER_PX
        sandwich = np.diag(inverse @ (sums @ sums.T) @ inverse)
        factors: Matrix = self.spare * np.maximum(1, sandwich / np.maximum(np.diag(inverse), np.finfo(np.float64).tiny))
        return factors

    @property
    def spare(self) -> float:
        """What was fitted has taken its part of the residual away, and the weights of the bands fit it too well."""
        return (self.pixels / max(1, self.pixels - self.fitted - len(self.normal))) ** 2

    @property
    def plain_errors(self) -> Matrix:
        """Standard errors by noise alone, `(n,)`: to be compared with an effect that would add to all others."""
        errors: Matrix = np.sqrt(self.spare * np.maximum(np.diag(self._inverse), 0))
        return errors

    def first(self, count: int) -> Score:
        """The same for the first parameters alone, the others held."""
        return replace(self, normal=self.normal[:count, :count], per_pixel=self.per_pixel[:count])


def explain(spectra: Spectra, image: Float) -> Explanation:
    """Regress the bands on the degraded RGB frame, `(channels, h, w)`."""
    guide, wanted = spectra.seen.contrast(image), spectra.values
    count, total = len(spectra.seen.at), float(np.trace(spectra.scatter))
    inverse_gram = _inverse(products(guide, guide))
    common = products(wanted, guide)
    weights = common @ inverse_gram  # (bands, channels)
    noise = (spectra.scatter - weights @ common.T) / max(1, count - len(guide) - 1)
    floor = SHRINK * np.trace(noise) + RIDGE * total / count + NOTHING
    filters = np.linalg.solve(noise + floor / len(noise) * np.eye(len(noise)), weights).T  # (channels, bands)
    metric = filters @ weights
    weighted = multiply(filters.astype(np.float32), wanted) - multiply(metric.astype(np.float32), guide)
    return Explanation(spectra, weighted, metric, guide, inverse_gram)


def explained_share(bands: Float, image: Float, seen: Seen) -> float:
    """Part of the bands' variance, `(bands, h, w)`, that the degraded RGB frame explains: 0 to 1."""
    wanted, guide = seen.plain(bands), seen.plain(image)
    total = float(np.square(wanted, dtype=np.float64).sum())
    common = products(wanted, guide)
    known = float(((common @ _inverse(products(guide, guide))) * common).sum())
    return min(1.0, max(0.0, known / total)) if total > 0 else 0.0


def score(explanation: Explanation, slopes: Sequence[Float]) -> Score:
    """How the explanation changes with each of several moves.

    Args:
        explanation: At the pose.
        slopes: The image's derivatives with respect to the moves, `(channels, h, w)` each.
    """
    seen, count = explanation.spectra.seen, len(slopes)
    moves = explanation.unexplained(np.concatenate(slopes)).reshape(count, len(explanation.guide), -1)
    flat = multiply(explanation.metric.astype(np.float32), moves).reshape(count, -1)
    normal = products(flat, moves.reshape(count, -1))
    per_pixel = np.zeros((count, seen.where.size))
    per_pixel[:, seen.at] = (moves * explanation.weighted).sum(axis=1)
    return Score(normal, per_pixel.reshape(-1, *seen.where.shape), len(seen.at), explanation.fitted)


def products(left: Float, right: Float) -> Matrix:
    """`left @ right.T`, sums over many pixels."""
    sums: Matrix = multiply(left, right.T).astype(np.float64)
    return sums


def _window_sums(image: Float) -> Float:
    """Sums of `(n, h, w)` over the window around each pixel; beyond the border is nothing."""
    cv2 = require("cv2", feature="registration of frames", extra="opencv")
    count, rows, cols = image.shape
    apart = np.pad(image, ((0, 0), (0, SURROUNDINGS_PX // 2), (0, 0))).reshape(-1, cols)  # all images in one pass
    window = (SURROUNDINGS_PX, SURROUNDINGS_PX)
    sums = cv2.boxFilter(apart, cv2.CV_32F, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums).reshape(count, -1, cols)[:, :rows]


def window_sums(maps: Matrix, side: int) -> Matrix:
    """Sums of `(n, h, w)` over all windows of `side x side` pixels that touch the frame."""
    for axis in (1, 2):
        around = [(0, 0)] * 3
        around[axis] = (side, side - 1)
        running = np.cumsum(np.pad(maps, around), axis=axis)
        length = running.shape[axis]
        maps = running.take(range(side, length), axis) - running.take(range(length - side), axis)
    return maps


def _inverse(gram: Matrix) -> Matrix:
    inverse: Matrix = np.linalg.inv(gram + (RIDGE * np.trace(gram) / len(gram) + NOTHING) * np.eye(len(gram)))
    return inverse
