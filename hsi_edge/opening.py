"""Which backend and precision run a bundle's graph on this device."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hsi_edge.backends import BACKENDS, allowed_precisions, native_precisions, open_backend
from hsi_edge.bundle import Bundle
from hsi_edge.errors import EngineLoadError
from hsi_edge.golden import replay_golden
from hsi_edge.network import Network

LEAST_GAIN = 1.2
"""INT8 is taken by itself only where it was measured to be that many times as fast as what it replaces."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A network that was proved on this device.

    Attributes:
        network: On its backend.
        seconds_by_side: Seconds per tile by side in LR pixels.
        fallback: Why this is not what the bundle or the device was made for; None where it is.
    """

    network: Network
    seconds_by_side: dict[int, float]
    fallback: str | None = None


def open_network(bundle: Bundle, backend: str | None, precision: str | None, budget_bytes: int) -> Opened:
    """Open a bundle's graph on the best backend of this device, replay its golden pair, and find its fastest tile.

    Args:
        bundle: With a graph.
        backend: A name; None for the default.
        precision: Of the arithmetic; None for the fastest that the device has and the model's accuracy gates allow.
        budget_bytes: Of memory, for a tile.

    Raises:
        EngineLoadError: The backend cannot run the graph, or the golden pair does not come out as it should.
        InputError: No such backend or precision.
        TilingError: The memory budget holds no tile.
    """
    name, allowed = backend or next(iter(BACKENDS)), allowed_precisions(bundle.manifest)
    wide = _proved(bundle, name, precision, budget_bytes)
    if precision is not None or "int8" not in allowed or "int8" not in native_precisions(name):
        return wide
    try:
        narrow = _proved(bundle, name, "int8", budget_bytes)
    except EngineLoadError as err:
        _log.warning("INT8 is left out: %s", err)
        return wide
    better, worse = (narrow, wide) if _gain(narrow, wide) >= LEAST_GAIN else (wide, narrow)
    worse.network.close()
    return better


def _proved(bundle: Bundle, name: str, precision: str | None, budget_bytes: int) -> Opened:
    network = Network(bundle, open_backend(name, precision, allowed_precisions(bundle.manifest)))
    try:
        return Opened(network, replay_golden(bundle, network, budget_bytes))
    except BaseException:
        network.close()
        raise


def _gain(one: Opened, other: Opened) -> float:
    """How many times as fast one is as the other, each with its fastest tile."""
    per_px = [min(seconds / side**2 for side, seconds in opened.seconds_by_side.items()) for opened in (one, other)]
    return per_px[1] / per_px[0]
