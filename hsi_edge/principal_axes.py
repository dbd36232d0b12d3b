"""Eigenvalues and eigenvectors of covariances and Gram matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def principal_axes(gram: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix without negative ones, as of `np.linalg.eigh`.

    By SVD, which is the same for such a matrix: OpenBLAS splits eigh's divide and conquer (dlaed3) over threads, and on
    a busy machine it was seen to wait there forever. Each axis has a sign of its own, its last number is not negative:
    an eigensolver may return either, networks that see components do not give the same for both, and shipped bundles
    were made with this one.
    """
    axes, powers, _ = np.linalg.svd(gram)
    axes *= np.where(axes[-1] < 0, -1.0, 1.0)
    return powers[::-1], axes[:, ::-1]
