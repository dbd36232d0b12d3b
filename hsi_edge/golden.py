"""Opening a model on a device for the first time: replay its golden pair, find its fastest tile, remember both."""

from __future__ import annotations

import numpy as np

from hsi_edge._version import __version__
from hsi_edge.bundle import Bundle
from hsi_edge.device_facts import recall, remember
from hsi_edge.errors import EngineLoadError
from hsi_edge.inputs import check_inputs
from hsi_edge.network import Network
from hsi_edge.preparation import prepare_frame
from hsi_edge.resampling import Float

TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
"""Largest allowed difference from the golden output, relative to its largest value. FP32 differs by the order of sums;
BF16 has 8 bits of mantissa, and what it loses on real scenes is the accuracy gate's matter, not this one's."""


def replay_golden(bundle: Bundle, network: Network, budget_bytes: int) -> dict[int, float]:
    """Check the graph on this device unless that was done before.

    Returns:
        Seconds per tile by side in LR pixels, measured or remembered.

    Raises:
        EngineLoadError: The output differs from the golden one.
        TilingError: The memory budget holds no tile.
    """
    backend = network.backend
    key = " ".join(
        (bundle.fingerprint, __version__, backend.name, backend.precision, backend.device, str(budget_bytes))
    )
    if known := recall(key).get("seconds_by_side"):
        return {int(side): float(seconds) for side, seconds in known.items()}
    _replay(bundle, network)
    measured = network.fastest_sides(budget_bytes)
    remember(key, {"model": bundle.manifest.name, "seconds_by_side": measured})
    return measured


def _replay(bundle: Bundle, network: Network) -> None:
    golden = bundle.golden()
    manifest = bundle.manifest
    given = check_inputs(manifest, golden["lr_hsi"], golden.get("hr_msi"), resample=False)
    frame = prepare_frame(manifest, given)
    images = frame.window(frame.grid).images
    wanted = golden["hr_hsi"].astype(np.float32)
    _compare(network, "the graph", frame.hr_hsi_from(network.refine(images, None)), wanted)
    if manifest.statistics is not None and manifest.graphs["fp32"].given is not None:
        given_output = network.refine(images, network.measure(images))
        _compare(network, "the graph with given statistics", frame.hr_hsi_from(given_output), wanted)


def _compare(network: Network, what: str, output: Float, wanted: Float) -> None:
    backend = network.backend
    if output.shape != wanted.shape:
        raise EngineLoadError(
            f"golden replay failed: {what} gives {output.shape} (rows, cols, bands), and the bundle's golden output is "
            f"{wanted.shape}: they are not of one model. Export the bundle anew"
        )
    off = float(np.abs(output - wanted).max() / np.abs(wanted).max())
    # A NaN fails too.
    if not off <= TOLERANCE[backend.precision]:
        raise EngineLoadError(
            f"golden replay failed: {what} on {backend.name} {backend.precision} ({backend.device}) differs from the "
            f"bundle's golden output by {off:.2g} of its largest value; at most {TOLERANCE[backend.precision]:g} is "
            "allowed. Try another backend or precision, and report this device"
        )
