"""A frame pair in its own few components: what the HR-MSI explains of the spectra, and the strongest of the rest.

Spectra of a scene lie near a subspace of a few dimensions, whatever the number of bands. So a network that works on
components instead of bands serves every sensor and every camera response. The components of a frame are

* the HR-MSI's bands, decorrelated and scaled to unit variance on the LR grid: what they explain of the LR-HSI (least
  squares, as in `hsi_edge.base_image`) comes with their full resolution;
* the `REST` strongest principal components of what they do not explain, at LR resolution, scaled likewise.

An HR-HSI is an offset and a linear mixture of the components. For every pixel of the LR grid, the rest is also fitted
to the HR-MSI within a small window (a guided filter: He, Sun, Tang, "Guided Image Filtering", IEEE TPAMI 2013), since
what the MSI does not explain over the frame it often does within a neighbourhood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.noise import Spectra
from hsi_edge.principal_axes import principal_axes
from hsi_edge.resampling import Float

Matrix = NDArray[np.float64]

GUIDES = 3
"""HR-MSI bands: an RGB camera's."""
REST = 4
"""Components beside the HR-MSI's."""
CHANNELS = GUIDES + REST
FEATURES = REST + GUIDES * REST + GUIDES
CONDITIONS = 2 * GUIDES + REST + 2
MARGIN_LR = 2
"""By how many LR pixels the features reach beyond a tile on every side: what bicubic interpolation needs."""
WINDOW = 5
"""Side of the neighbourhood of the local fit, in LR pixels."""
LOCAL_RIDGE = 0.02
"""Of the local fit, in units of a guide's variance over the frame: it keeps flat neighbourhoods without a fit."""
MOST_SLOPE = 3.0
MOST_DEVIATIONS = 6.0
"""Bounds on what the network is given; only glints and such pass them."""
GUIDE_NOISE, LR_NOISE = (4e-3, 8e-3), (2e-3, 4.5e-3)
"""Noise, in parts of the frame's peak, up to which a network is to leave the components alone, and from which on it is
to act in full: what the guides' noise comes to in the bands, and the LR-HSI's own. Our network, trained on few scenes,
made cleaner pairs of others worse by 0.2 to 0.5 dB; in between, it began to help on the validation scene."""
FAINTEST = 1e-5
"""Components weaker than this, against the whole spectra, are rounding errors, and left out."""


@dataclass(frozen=True, eq=False)
class Subspace:
    """A frame's components.

    Attributes:
        whitening: `(GUIDES, GUIDES)`, and
        guide_mean: `(GUIDES, 1, 1)`: a guide image is `whitening @ (msi - guide_mean)`.
        features: `(FEATURES, h, w)`: the rest; its local slopes, for each component of the rest all guides; the guides
            on the LR grid.
        condition: `(CONDITIONS,)`: noise of every guide and of every component of the rest, in their own units, as
            `x / (1 + x)`; noise of the guides, at most 1; how much change, 0 to 1, the noise calls for in the guides
            and in the rest.
        mixing: `(bands, CHANNELS)` and
        offset: `(bands,)`: an HR-HSI is `offset + mixing @ components`.
    """

    whitening: Float
    guide_mean: Float
    features: Float
    condition: Float
    mixing: Float
    offset: Float

    def guide(self, msi: Float) -> Float:
        """The guides `(GUIDES, rows, cols)` of an MSI `(GUIDES, rows, cols)`."""
        flat = (msi - self.guide_mean).reshape(GUIDES, -1)
        return (self.whitening @ flat).reshape(msi.shape)


def find_subspace(spectra: Spectra, lr_msi: Float, msi_noise: float, keep: NDArray[np.bool_] | None = None) -> Subspace:
    """The components of a frame pair.

    Args:
        spectra: The LR-HSI, denoised.
        lr_msi: `(GUIDES, h, w)`, the HR-MSI degraded to its grid.
        msi_noise: Standard deviation of the HR-MSI's noise.
        keep: `(h, w)`, the LR pixels to fit on; None for all.
    """
    shape = lr_msi.shape[1:]
    used = slice(None) if keep is None else keep.ravel()
    flat = lr_msi.reshape(GUIDES, -1).astype(np.float64)
    mean = flat[:, used].mean(axis=1, keepdims=True)
    whitening, deviations = _whitening(flat[:, used] - mean)
    guides = (whitening @ (flat - mean)).astype(np.float32)
    weights = _explained(spectra, guides, used)
    rest, axes, strengths = _rest(spectra, guides, weights, used)
    guide_noise = msi_noise / deviations
    rest_noise = spectra.noise / np.maximum(strengths, FAINTEST * spectra.noise + np.finfo(np.float64).tiny)
    called_for = _called_for(weights, guide_noise, spectra.noise)
    condition = np.concatenate([_bounded(guide_noise), _bounded(rest_noise), np.minimum(guide_noise, 1), called_for])
    maps, lr_guides = rest.reshape(REST, *shape), guides.reshape(GUIDES, *shape)
    slopes = _local_slopes(maps, lr_guides, guide_noise).reshape(-1, *shape)
    return Subspace(
        whitening=whitening.astype(np.float32),
        guide_mean=mean.astype(np.float32)[:, :, None],
        features=np.concatenate([maps.clip(-MOST_DEVIATIONS, MOST_DEVIATIONS), slopes, lr_guides]).astype(np.float32),
        condition=condition.astype(np.float32),
        mixing=np.concatenate([weights, axes * strengths], axis=1).astype(np.float32),
        offset=spectra.mean.astype(np.float32),
    )


def _whitening(centred: Matrix) -> tuple[Matrix, Matrix]:
    """The matrix that decorrelates the guides, strongest first, and their standard deviations before scaling."""
    powers, axes = principal_axes(centred @ centred.T / centred.shape[1])
    powers, axes = powers[::-1], axes[:, ::-1]
    # Without a sign of its own, an axis might turn from frame to frame, and the network's rounding with it.
    axes = axes * np.where(axes.sum(axis=0) < 0, -1, 1)
    deviations = np.sqrt(np.maximum(powers, 1e-7 * powers[0] + 1e-12))
    return (axes / deviations).T, deviations


def _explained(spectra: Spectra, guides: Float, used: slice | NDArray[np.bool_]) -> Matrix:
    """The weights `(bands, GUIDES)` of the guides, each shrunk by what noise alone would give."""
    count = guides[:, used].shape[1]
    weights = (spectra.centred[:, used] @ guides[:, used].T).astype(np.float64) / count
    energy = np.square(weights).sum(axis=0)
    by_noise = len(weights) * spectra.noise**2 / count
    shrunk: Matrix = weights * (energy / np.maximum(energy + by_noise, np.finfo(np.float64).tiny))
    return shrunk


def _rest(
    spectra: Spectra, guides: Float, weights: Matrix, used: slice | NDArray[np.bool_]
) -> tuple[Float, Matrix, Matrix]:
    """The strongest components of what the guides leave: values of unit variance, axes, standard deviations."""
    left = spectra.centred - weights.astype(np.float32) @ guides
    fitted = left[:, used]
    powers, axes = principal_axes((fitted @ fitted.T).astype(np.float64) / fitted.shape[1])
    count = min(REST, len(powers))
    strongest = np.arange(len(powers))[::-1][:count]
    strengths, axes = np.sqrt(np.maximum(powers[strongest], 0)), axes[:, strongest]
    whole = np.sqrt(np.square(weights).sum() + np.square(strengths).sum())
    strengths[strengths < FAINTEST * whole] = 0
    scale = np.divide(1, strengths, out=np.zeros_like(strengths), where=strengths > 0)
    values = (axes * scale).T.astype(np.float32) @ left
    missing = REST - count
    return (
        np.pad(values, ((0, missing), (0, 0))),
        np.pad(axes, ((0, 0), (0, missing))),
        np.pad(strengths, (0, missing)),
    )


def _bounded(noise: Matrix) -> Matrix:
    return noise / (1 + noise)


def _called_for(weights: Matrix, guide_noise: Matrix, lr_noise: float) -> Matrix:
    in_bands = np.sqrt(np.square(weights * guide_noise).sum(axis=1).mean())
    guides = _ramp(float(in_bands), GUIDE_NOISE)
    # The local slopes bring the guides' noise into the rest.
    return np.array([guides, max(guides, _ramp(lr_noise, LR_NOISE))])


def _ramp(value: float, limits: tuple[float, float]) -> float:
    return float(np.clip((value - limits[0]) / (limits[1] - limits[0]), 0, 1))


def _local_slopes(rest: Float, guides: Float, guide_noise: Matrix) -> Float:
    """`(REST, GUIDES, h, w)`: how the rest goes with the guides around every LR pixel."""
    mean_rest, mean_guides = _box_mean(rest), _box_mean(guides)
    own = _box_mean(_products(guides, guides)) - _products(mean_guides, mean_guides)
    cross = _box_mean(_products(guides, rest)) - _products(mean_guides, mean_rest)
    gram = np.moveaxis(own.reshape(GUIDES, GUIDES, *rest.shape[1:]), (0, 1), (2, 3)).astype(np.float64)
    gram += np.diag(LOCAL_RIDGE + np.square(guide_noise))
    wanted = np.moveaxis(cross.reshape(GUIDES, REST, *rest.shape[1:]), (0, 1), (2, 3))
    slopes = np.linalg.solve(gram, wanted)
    return np.moveaxis(slopes, (2, 3), (1, 0)).clip(-MOST_SLOPE, MOST_SLOPE).astype(np.float32)


def _products(left: Float, right: Float) -> Float:
    products: Float = (left[:, None] * right[None]).reshape(-1, *left.shape[1:])
    return products


def _box_mean(image: Float) -> Float:
    """The mean over `WINDOW` x `WINDOW` pixels; at the border, the outermost are repeated."""
    reach = WINDOW // 2
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (reach, reach)
        padded, length = np.moveaxis(np.pad(image, pad, mode="edge"), axis, 0), image.shape[axis]
        mean = sum(padded[k : k + length] for k in range(WINDOW)) / np.float32(WINDOW)
        image = np.moveaxis(mean, 0, axis)
    return image
