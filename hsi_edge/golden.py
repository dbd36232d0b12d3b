"""Opening a model on a device for the first time: replay its golden pair, find its fastest tile, remember both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge._version import __version__
from hsi_edge.backends import FixedSizes, open_backend
from hsi_edge.bundle import Bundle
from hsi_edge.device_facts import recall, remember
from hsi_edge.errors import EngineLoadError
from hsi_edge.frame import Frame
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import Manifest
from hsi_edge.network import Network
from hsi_edge.preparation import prepare_frame
from hsi_edge.resampling import Float

Array = NDArray[Any]

TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 2e-2, "int8": 1e-1}
"""Largest allowed difference from the golden output, relative to its largest value. FP32 differs by the order of sums;
FP16 has 11 bits of mantissa, BF16 8, INT8 256 steps, and what they lose on real scenes is the accuracy gates' matter:
here it shows that a device computes what it should."""


def replay_golden(bundle: Bundle, network: Network, budget_bytes: int, plans: str = "") -> dict[int, float]:
    """Check the graph on this device unless that was done before.

    Args:
        bundle: With a golden pair.
        network: Of it, on the backend to check.
        budget_bytes: Of memory, for a tile.
        plans: What an engine is made of, so that another one of the same graph is checked anew.

    Returns:
        Seconds per tile by side in LR pixels, measured or remembered.

    Raises:
        EngineLoadError: The output differs from the golden one.
        TilingError: The memory budget holds no tile.
    """
    backend = network.backend
    key = " ".join(
        (bundle.fingerprint, __version__, backend.name, backend.precision, backend.device, str(budget_bytes), plans)
    )
    if known := recall(key).get("seconds_by_side"):
        return {int(side): float(seconds) for side, seconds in known.items()}
    _replay(bundle, network)
    measured = network.fastest_sides(budget_bytes)
    remember(key, {"model": bundle.manifest.name, "seconds_by_side": measured})
    return measured


def _replay(bundle: Bundle, network: Network) -> None:
    golden = bundle.golden()
    pair: dict[str, Array] = {name: golden[name] for name in ("lr_hsi", "hr_msi") if name in golden}
    if network.backend.fixed is not None:
        _replay_at(network.backend.fixed, bundle, network, pair)
        return
    frame = _frame(bundle.manifest, pair)
    images = frame.window(frame.grid).images
    wanted = golden["hr_hsi"].astype(np.float32)
    _compare(network, "the graph", frame.hr_hsi_from(network.refine(images, None)), wanted)
    if _has_given(bundle.manifest):
        given_output = network.refine(images, network.measure(images))
        _compare(network, "the graph with given statistics", frame.hr_hsi_from(given_output), wanted)


def _replay_at(sizes: FixedSizes, bundle: Bundle, network: Network, pair: Mapping[str, Array]) -> None:
    """Replay on a backend that runs given sizes alone: the golden pair, mirrored until it fills them.

    What should come out is computed by the default backend in FP32, which the golden pair itself has proved.
    """
    manifest = bundle.manifest
    reference = Network(bundle, open_backend(None, "fp32"))
    try:
        _replay(bundle, reference)
        frame = _frame(manifest, _filling(pair, sizes.tile_lr, manifest.ratio))
        images = frame.window(frame.grid).images
        statistics = None
        if sizes.sample_lr is not None:
            sample = _frame(manifest, _filling(pair, sizes.sample_lr, manifest.ratio))
            sampled = sample.window(sample.grid).images
            statistics = reference.measure(sampled)
            _compare(network, "the graph's statistics", network.measure(sampled), statistics)
        wanted = frame.hr_hsi_from(reference.refine(images, statistics))
        _compare(network, "the graph", frame.hr_hsi_from(network.refine(images, statistics)), wanted)
    finally:
        reference.close()


def _frame(manifest: Manifest, pair: Mapping[str, Array]) -> Frame:
    return prepare_frame(manifest, check_inputs(manifest, pair["lr_hsi"], pair.get("hr_msi"), resample=False))


def _filling(pair: Mapping[str, Array], lr_shape: tuple[int, int], ratio: int) -> dict[str, Array]:
    """The pair, mirrored as often as it takes and cut, so that its LR-HSI has that many rows and columns."""
    filled = {}
    for name, image in pair.items():
        sides = [side if name == "lr_hsi" else side * ratio for side in lr_shape]
        more = [(0, max(0, side - length)) for side, length in zip(sides, image.shape[:2], strict=True)]
        filled[name] = np.pad(image, (*more, (0, 0)), mode="symmetric")[: sides[0], : sides[1]]
    return filled


def _has_given(manifest: Manifest) -> bool:
    return manifest.graphs["fp32"].given is not None


def _compare(network: Network, what: str, output: Float, wanted: Float) -> None:
    backend = network.backend
    if output.shape != wanted.shape:
        raise EngineLoadError(
            f"golden replay failed: {what} gives {output.shape}, and the bundle's golden output is {wanted.shape}: "
            "they are not of one model. Export the bundle anew"
        )
    off = float(np.abs(output - wanted).max() / np.abs(wanted).max())
    # A NaN fails too.
    if not off <= TOLERANCE[backend.precision]:
        raise EngineLoadError(
            f"golden replay failed: {what} on {backend.name} {backend.precision} ({backend.device}) differs from the "
            f"bundle's golden output by {off:.2g} of its largest value; at most {TOLERANCE[backend.precision]:g} is "
            "allowed. Try another backend or precision, and report this device"
        )
