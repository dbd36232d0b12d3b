"""RGB pixels that hold no measurement, through the whole pipeline: holes in the result, and nothing else."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hsi_edge.live import replay
from hsi_edge.live.assembly import open_live
from hsi_edge.live.jobs import UNMEASURED
from hsi_edge.live.result import LiveResult
from hsi_edge.live.status import Status
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.simulated import SimulatedPair
from hsi_edge.sensors.stream import Stream
from tests.hsi_edge.live.flights import flown, made_flight

PATCH = slice(60, 80), slice(70, 85)
RGB_PX_PER_HR_PX = 1.2
"""As the simulation has it."""


@pytest.fixture
def fly(ground: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Flies with a part of every RGB frame overwritten, and masked if that is asked for."""

    def fly(fill: float | None, *, masked: bool, where: Any = PATCH, **flight: Any) -> tuple[list[LiveResult], Status]:
        arrivals = SimulatedPair.arrivals

        def spoiled(self: SimulatedPair) -> Iterator[tuple[Stream, SensorFrame]]:
            for stream, frame in arrivals(self):
                yield stream, _spoiled(frame, fill, where, masked) if stream == "rgb" else frame

        with monkeypatch.context() as patch:
            patch.setattr(SimulatedPair, "arrivals", spoiled)
            return flown(made_flight(ground, seconds=2.0, **flight), record="record_to" in flight)

    return fly


def _spoiled(frame: SensorFrame, fill: float | None, where: Any, masked: bool) -> SensorFrame:
    data, mask = frame.data.copy(), np.ones(frame.data.shape[:2], np.bool_)
    if fill is not None:
        data[where] = fill
    mask[where[:2] if isinstance(where, tuple) else where] = not masked
    return replace(frame, data=data, mask=mask if masked else None)


def radiometry(folder: Path, text: str) -> str:
    path = folder / "radiometry.yaml"
    path.write_text(text)
    return str(path)


def holes(result: LiveResult) -> NDArray[np.bool_]:
    missing: NDArray[np.bool_] = ~np.isfinite(result.hr_hsi.data).all(axis=2)
    return missing


def assert_holes_alone(results: list[LiveResult], status: Status) -> None:
    """Each result is fused, agrees with its inputs, and lacks about the patch and the pixels that it touches."""
    rows, cols = ((part.stop - part.start) / RGB_PX_PER_HR_PX for part in PATCH)
    assert len(results) == 4
    for result in results:
        assert (result.mode, result.check.flagged, result.check.reasons) == ("fusion", False, ())
        missing = holes(result)
        assert rows * cols < missing.sum() < (rows + 3) * (cols + 3)
        assert np.ptp(np.argwhere(missing), axis=0).max() < max(rows, cols) + 3
        assert result.report.masked_msi_px == missing.sum()
    assert status.unmeasured_rgb_px == holes(results[-1]).sum()


def test_what_lies_in_masked_rgb_pixels_never_reaches_the_result(fly: Any) -> None:
    dark, status = fly(0, masked=True)
    assert_holes_alone(dark, status)
    bright, _ = fly(255, masked=True)
    for one, other in zip(dark, bright, strict=True):
        np.testing.assert_array_equal(one.hr_hsi.data, other.hr_hsi.data)
        assert one.refinement == other.refinement
        assert one.check.rgb == other.check.rgb


def test_saturated_rgb_pixels_are_holes_where_the_saturation_level_is_known(fly: Any, tmp_path: Path) -> None:
    assert_holes_alone(*fly(255, masked=False, rgb_radiometry=radiometry(tmp_path, "saturation_level: 255\n")))


def test_a_saturation_of_one_band_is_a_hole_too(fly: Any, tmp_path: Path) -> None:
    level = radiometry(tmp_path, "saturation_level: 255\n")
    assert_holes_alone(*fly(255, masked=False, where=(*PATCH, 1), rgb_radiometry=level))


def test_a_mask_and_radiometry_work_together(fly: Any, tmp_path: Path) -> None:
    level = radiometry(tmp_path, "saturation_level: 255\n")
    assert_holes_alone(*fly(17, masked=True, rgb_radiometry=level))


def test_a_dead_rgb_pixel_costs_the_pixels_that_it_touches(fly: Any, tmp_path: Path) -> None:
    dead = radiometry(tmp_path, "dark: {dark: level, level: [2]}\nbad_pixels: [[70, 75], [90, 40, 1]]\n")
    results, _ = fly(None, masked=False, rgb_radiometry=dead)
    for result in results:
        assert not result.check.flagged
        assert 2 <= holes(result).sum() <= 12


@pytest.mark.parametrize("masked", [True, False])
def test_a_replay_gives_the_same_holes_bit_for_bit(
    fly: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], masked: bool
) -> None:
    level = radiometry(tmp_path, "saturation_level: 255\n")
    results, _ = fly(255, masked=masked, record_to=tmp_path / "r", rgb_radiometry=level)
    assert holes(results[0]).any()
    parser = ArgumentParser()
    replay.add_arguments(parser)
    assert replay.run(parser.parse_args([str(tmp_path / "r")])) == 0
    assert "4 are the same bit for bit, 0 differ" in capsys.readouterr().out


def test_a_glint_over_a_third_of_the_ground_is_one_large_hole(fly: Any, tmp_path: Path) -> None:
    level = radiometry(tmp_path, "saturation_level: 255\n")
    results, status = fly(255, masked=False, where=slice(0, 70), rgb_radiometry=level)
    for result in results:
        assert result.mode == "fusion"
        assert not result.check.flagged
        assert 0.3 < holes(result).mean() < 0.6
        assert not holes(result)[-32:].any()
    assert status.failed == 0


@pytest.mark.parametrize(("where", "reason"), [(..., UNMEASURED), (slice(0, 150), "RGB is not registered")])
def test_where_too_little_was_measured_the_spectral_frame_goes_on_alone(fly: Any, where: Any, reason: str) -> None:
    results, status = fly(None, masked=True, where=where)
    assert len(results) == 4
    for result in results:
        assert (result.mode, result.hr_msi) == ("single", None)
        assert reason in result.reason
        assert not holes(result).any()
    assert (status.failed, status.unmeasured_rgb_px) == (0, 0)


def test_a_frame_without_unmeasured_pixels_has_no_mask(ground: Path) -> None:
    with open_live(made_flight(ground, seconds=1.0)) as live:
        live.wait()
        result, status = live.latest(), live.status()
    assert result is not None
    assert (result.hr_hsi.mask, status.unmeasured_rgb_px) == (None, 0)
