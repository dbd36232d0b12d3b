"""How the next result is made: of both sensors, or of the spectral frame alone, and why."""

from __future__ import annotations

from dataclasses import dataclass

from hsi_edge.errors import InputError
from hsi_edge.live.result import Mode
from hsi_edge.registration.refine import Refinement


@dataclass(frozen=True, kw_only=True)
class ModeSettings:
    """When to fuse again.

    Attributes:
        good_frames_back: Good RGB frames in a row, after a bad one, of which the last is fused.
    """

    good_frames_back: int = 3

    def __post_init__(self) -> None:
        if self.good_frames_back < 1:
            raise InputError(f"good_frames_back is {self.good_frames_back}; wanted 1 or more")


class ModeChoice:
    """Chooses frame by frame: away from fusion at once, back to it only when the RGB frames stay good.

    Args:
        settings: When to fuse again.
        has_single: Whether there is a model for the spectral frame alone. Without one a bad RGB frame means no result,
            and as there are no two kinds of results to alternate between, the first good one is fused.
    """

    def __init__(self, settings: ModeSettings, *, has_single: bool = True) -> None:
        self._needed = settings.good_frames_back if has_single else 1
        self._otherwise: Mode | None = "single" if has_single else None
        self._good = self._needed

    def choose(self, lack: str, doubts: tuple[str, ...], refinement: Refinement | None) -> tuple[Mode | None, str]:
        """The mode of the next frame, and why it is not fusion (empty where it is).

        Args:
            lack: Why there is no RGB frame; empty where there is one.
            doubts: About the RGB frame.
            refinement: How it lies; None where that was not looked at.

        Returns:
            The mode is None where the RGB frame cannot be used and there is no model that does without.
        """
        reason = lack or "; ".join(doubts) or _unregistered(refinement)
        if reason:
            self._good = 0
            return self._otherwise, reason
        self._good = min(self._good + 1, self._needed)
        if self._good < self._needed:
            return self._otherwise, f"RGB is back: {self._good} of {self._needed} good frames"
        return "fusion", ""


def _unregistered(refinement: Refinement | None) -> str:
    if refinement is None:
        return "RGB is not registered"
    if refinement.trusted:
        return ""
    return ": ".join(("RGB is not registered", *filter(None, ["; ".join(refinement.doubts)])))
