"""Means over a frame: measured on the input, or those of another pass, so that a tile sees what its frame does."""

from __future__ import annotations

import torch
from torch import Tensor


class SpatialMeans:
    """Each channel's mean over the frame, measured or given.

    A tile has other means than its frame. So the means of a pass are collected in one vector `(N, size)`, in the order
    of use, and can be handed to another pass, whose result is then the same for a tile as for the frame.
    """

    def __init__(self, given: Tensor | None) -> None:
        self._given = given
        self._used = 0
        self._measured: list[Tensor] = []

    def of(self, x: Tensor) -> Tensor:
        """The mean of `x` `(N, C, H, W)` over rows and columns, `(N, C, 1, 1)`."""
        if self._given is None:
            mean = x.mean(dim=(2, 3), keepdim=True)
            self._measured.append(mean)
            return mean
        channels = x.shape[1]
        mean = self._given[:, self._used : self._used + channels, None, None]
        self._used += channels
        return mean

    def subtract(self, x: Tensor) -> Tensor:
        """`x` `(N, C, H, W)` less its mean over rows and columns: zero-centring ("ZM")."""
        return x - self.of(x)

    def vector(self) -> Tensor:
        """The means used, `(N, size)`."""
        if self._given is not None:
            return self._given
        return torch.cat(self._measured, dim=1).flatten(1)
