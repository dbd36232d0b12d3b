"""A rig is found from a recording."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from hsi_edge.errors import RecordingError, RegistrationError
from hsi_edge.io import read
from hsi_edge.live.assembly import open_live
from hsi_edge.live.recorded_pairs import PAIRS, recorded_pairs
from hsi_edge.registration import command
from hsi_edge.registration.rig import read_rig
from hsi_edge.sensors.simulated import SimulatedPair
from tests.hsi_edge.live.flights import fault, made_flight


def recorded(ground: Path, folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    with open_live(made_flight(ground, record_to=folder, **changes), record=True) as live:
        live.wait()
    return folder


def test_the_rig_of_a_recorded_flight_is_found(ground: Path, tmp_path: Path) -> None:
    folder = recorded(ground, tmp_path / "recording")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(folder), "-o", str(tmp_path / "rig.yaml"), "--model", "similarity"]))
    simulation = made_flight(ground).simulation
    assert simulation is not None
    true = SimulatedPair(read(ground), simulation.sensors, paced=False).rig
    found = read_rig(tmp_path / "rig.yaml")
    middles = np.stack(np.meshgrid(np.arange(16) + 0.5, np.arange(16) + 0.5), axis=-1)
    off_lr = (found.msi_points(middles) - true.msi_points(middles)) / true.msi_px_per_lr_px
    # The sensors move between their exposures by some hundredths.
    assert np.abs(off_lr).max() < 0.1


def test_the_pairs_are_spread_over_the_recording(ground: Path, tmp_path: Path) -> None:
    pairs = recorded_pairs(recorded(ground, tmp_path / "long", seconds=20.0))
    times = [lr_hsi.timestamp_ns for lr_hsi, _ in pairs]
    assert len(pairs) == PAIRS
    assert times == sorted(set(times))
    assert times[-1] - times[0] > 10_000_000_000


def test_a_recording_without_pairs_is_told(ground: Path, tmp_path: Path) -> None:
    alone = recorded(ground, tmp_path / "alone", seconds=2.0, faults=[fault("rgb_unplugged", 0.0, 9.0)])
    with pytest.raises(RegistrationError, match="record both sensors"):
        recorded_pairs(alone)
    with pytest.raises(RecordingError):
        recorded_pairs(tmp_path / "none.mcap")
