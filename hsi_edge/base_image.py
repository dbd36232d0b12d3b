"""The base image: the upsampled LR-HSI that a fusion network adds its residual to.

`bilinear` and `bicubic` interpolate the LR-HSI alone. `regression` first explains the LR-HSI by the MSI: on the LR
grid, every band is fitted as a linear combination of the spatially degraded MSI (ridge least squares); the combination
is applied to the full-resolution MSI, and what it left unexplained is interpolated and added. It has no learned part,
needs no spectral response, and is a fusion model of its own. (The idea is that of component-substitution pansharpening
with regression, e.g. Aiazzi et al., "Improving Component Substitution Pansharpening Through Multivariate Regression of
MS+Pan Data", IEEE TGRS 2007.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hsi_edge.resampling import LARGEST_UNSHARED, Float, Kernel, upsample_window

BaseKind = Literal["bilinear", "bicubic", "regression"]
RIDGE = 1e-4
"""Ridge weight relative to the mean variance of the degraded MSI: keeps the fit finite for constant or grey frames."""


@dataclass(frozen=True, eq=False)
class BaseImage:
    """A base image that is computed window by window; a window holds the same numbers as the whole.

    Attributes:
        remainder: `(bands, h, w)`, what is interpolated: the LR-HSI, less what the MSI explains.
        ratio: HR pixels per LR pixel.
        kernel: How the remainder is interpolated.
        weights: `(bands, msi_bands)`, what the MSI explains of every band; None where the MSI takes no part.
    """

    remainder: Float
    ratio: int
    kernel: Kernel
    weights: Float | None = None

    def window(self, rows: tuple[int, int], cols: tuple[int, int], msi: Float | None) -> Float:
        """The HR window `rows` x `cols` (half-open), `(bands, rows, cols)`.

        Args:
            rows: First and last + 1 row on the HR grid.
            cols: First and last + 1 column on the HR grid.
            msi: `(msi_bands, rows, cols)`, the MSI in the same window; not used without weights.
        """
        image = upsample_window(self.remainder, rows, cols, self.ratio, self.kernel)
        if self.weights is not None and msi is not None:
            _add_explained(image, self.weights, msi)
        return image


def _add_explained(image: Float, weights: Float, msi: Float) -> None:
    """Add `weights @ msi` in place, in parts that stay on the calling thread and in its cache."""
    flat, guide = image.reshape(image.shape[0], -1), msi.reshape(msi.shape[0], -1)
    step = LARGEST_UNSHARED // weights.size
    for left in range(0, flat.shape[1], step):
        flat[:, left : left + step] += weights @ guide[:, left : left + step]


def make_base_image(
    kind: BaseKind, lr_hsi: Float, lr_msi: Float | None, ratio: int, valid: NDArray[np.bool_] | None = None
) -> BaseImage:
    """Prepare the base image of one frame.

    Args:
        kind: Which base image.
        lr_hsi: `(bands, h, w)`, finite.
        lr_msi: `(msi_bands, h, w)`, the MSI degraded to the LR grid; needed for `regression` alone.
        ratio: HR pixels per LR pixel.
        valid: `(h, w)`, the LR pixels to fit on; None for all.
    """
    if kind != "regression":
        return BaseImage(lr_hsi, ratio, kind)
    if lr_msi is None:
        raise TypeError("the regression base needs the degraded MSI")
    weights = fit_bands(lr_hsi, lr_msi, valid)
    remainder = lr_hsi.copy()
    _add_explained(remainder, -weights, lr_msi)
    return BaseImage(remainder, ratio, "bicubic", weights)


def fit_bands(lr_hsi: Float, lr_msi: Float, valid: NDArray[np.bool_] | None = None) -> Float:
    """Least-squares weights `(bands, msi_bands)` of every LR-HSI band over the degraded MSI and a constant.

    The constant is fitted and dropped: it stays in the remainder, which interpolation keeps unchanged.
    """
    keep = slice(None) if valid is None else valid.ravel()
    x = lr_msi.reshape(lr_msi.shape[0], -1)[:, keep].astype(np.float64)
    x -= x.mean(axis=1, keepdims=True)
    gram = x @ x.T
    # The bands need no centring beside a centred x; one at a time, so that only one of them is held in double.
    cross = np.stack([x @ band.ravel()[keep].astype(np.float64) for band in lr_hsi], axis=1)
    # The tiny constant only matters where the MSI is constant: weights are then zero instead of NaN.
    ridge = RIDGE * np.trace(gram) / len(gram) + np.finfo(np.float64).tiny
    weights: Float = np.linalg.solve(gram + ridge * np.eye(len(gram)), cross).T.astype(np.float32)
    return weights
