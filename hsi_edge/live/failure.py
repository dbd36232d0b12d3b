"""An error of any kind as one of this package's, for the status, the log and whoever waits for the stream."""

from __future__ import annotations

from hsi_edge.errors import HSIEdgeError


def failure(err: Exception) -> HSIEdgeError:
    """The error itself where it was raised on purpose; otherwise one that names its kind."""
    return err if isinstance(err, HSIEdgeError) else HSIEdgeError(f"unexpected {in_words(err)}")


def in_words(err: Exception) -> str:
    """One line, never empty."""
    words = " ".join(str(err).split())
    if isinstance(err, HSIEdgeError) and words:
        return words
    return f"{type(err).__name__}: {words or 'no details'}"
