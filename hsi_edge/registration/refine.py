"""How far one RGB frame lies off where the rig's calibration puts it: a shift and a change of scale, per frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """What is to be added to the rig's calibration for one frame, in LR pixels.

    A point `p = (x, y)` of the LR frame, counted from its corner, shows what the calibration puts at
    `centre + scale * (p - centre) + (dx_lr, dy_lr)`, where `centre` is the middle of the LR frame.

    Attributes:
        dx_lr, dy_lr: Shift to the right and down, in LR pixels.
        scale: Change of scale, 1 for none.
        dx_std_lr, dy_std_lr, scale_std: Standard errors of these.
        explained: Part of the LR-HSI's variance in the RGB's range that the RGB frame explains, 0 to 1.
        trusted: Whether to fuse with it.
        doubts: Why not, in words (no texture, blur, parallax, does not fit).
    """

    dx_lr: float = 0.0
    dy_lr: float = 0.0
    scale: float = 1.0
    dx_std_lr: float = 0.0
    dy_std_lr: float = 0.0
    scale_std: float = 0.0
    explained: float = 1.0
    trusted: bool = True
    doubts: tuple[str, ...] = ()

    def largest_move_lr(self, lr_shape: tuple[int, int]) -> float:
        """How far it moves a corner of a frame of so many rows and columns, the one that it moves most, in LR pixels.

        Below a fiftieth of an LR pixel there is nothing to gain from resampling the RGB frame again.
        """
        rows, cols = lr_shape
        growth = abs(self.scale - 1) / 2
        return float(np.hypot(abs(self.dx_lr) + growth * cols, abs(self.dy_lr) + growth * rows))


def combined(first: Refinement, then: Refinement) -> Refinement:
    """What a frame is off in all, if `then` was found on an RGB frame that had been brought to the grid with `first`.

    How well it is known, and what speaks against it, is told by `then`: its frame corrects the errors of the first.
    """
    return replace(
        then,
        dx_lr=first.dx_lr + first.scale * then.dx_lr,
        dy_lr=first.dy_lr + first.scale * then.dy_lr,
        scale=first.scale * then.scale,
        dx_std_lr=first.scale * then.dx_std_lr,
        dy_std_lr=first.scale * then.dy_std_lr,
        scale_std=first.scale * then.scale_std,
    )
