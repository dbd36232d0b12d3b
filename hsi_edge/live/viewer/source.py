"""What the viewer asks of the pipeline."""

from __future__ import annotations

from typing import Protocol

from hsi_edge.live.result import LiveResult
from hsi_edge.live.status import Status


class ViewerSource(Protocol):
    """The pipeline, as the viewer sees it. Called from the viewer's threads, so every method must be safe for that."""

    def wait_newer(self, number: int, timeout_s: float) -> LiveResult | None:
        """The newest result whose number is above `number`, waiting for it at most so long; None if there was none."""

    def status(self) -> Status:
        """The pipeline at this moment."""

    def set_recording(self, on: bool) -> None:
        """Start or stop the recorder; to ask for what is already so is no error.

        Raises:
            HSIEdgeError: It cannot be done, and why: shown to whoever pressed the button.
        """
