from __future__ import annotations

import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pytest

from hsi_edge.errors import InputError, OutputError, RecordingError
from hsi_edge.live import replay
from hsi_edge.live.assembly import open_live
from hsi_edge.live.digest import digest
from hsi_edge.live.flight import Flight, read_flight
from hsi_edge.live.frame_files import FrameFiles
from hsi_edge.live.recorder import RecorderSettings
from hsi_edge.live.recording import Recording
from tests.hsi_edge.live.flights import BUNDLES, SMALL, Kept, fault, flight_file, flown, made_flight, slow_down
from tests.hsi_edge.live.live_results import wait_until

pytestmark = pytest.mark.usefixtures("no_thread_left")


def arguments(recording: Path, *more: str) -> Namespace:
    parser = ArgumentParser()
    replay.add_arguments(parser)
    return parser.parse_args([str(recording), *more])


def replayed(recording: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[Kept, int]:
    """The results of a replay, and its exit code."""
    kept = Kept()
    original = replay.open_replay

    def watched(flight: Flight, arrivals: object, wanted: object, *, sinks: list) -> object:
        return original(flight, arrivals, wanted, sinks=[*sinks, kept])  # type: ignore[arg-type]

    monkeypatch.setattr(replay, "open_replay", watched)
    return kept, replay.run(arguments(recording, *more))


def assert_same(flown: Kept, again: Kept) -> None:
    assert [r.pair.spectral.sequence for r in flown.results] == [r.pair.spectral.sequence for r in again.results]
    for one, other in zip(flown.results, again.results, strict=True):
        assert (one.mode, one.reason, one.timestamp_ns) == (other.mode, other.reason, other.timestamp_ns)
        assert one.refinement == other.refinement
        np.testing.assert_array_equal(one.hr_hsi.data, other.hr_hsi.data)


@pytest.mark.parametrize("kinds", [(), ("rgb_black", "rgb_duplicated"), ("rgb_clock_jump",), ("spectral_wrong_size",)])
def test_a_recorded_flight_gives_the_same_bits_again(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kinds: tuple
) -> None:
    kept = Kept()
    flown(made_flight(ground, faults=[fault(kind) for kind in kinds], record_to=tmp_path), kept, record=True)
    again, code = replayed(tmp_path, monkeypatch)
    assert_same(kept, again)
    assert code == 0
    count = len(kept.results)
    assert f"{count} results; {count} were made in flight\n{count} are the same bit for bit, 0 differ" in (
        capsys.readouterr().out
    )


def test_a_flight_in_real_time_gives_the_same_bits_for_the_pairs_that_it_had_time_for(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept()
    with monkeypatch.context() as patch:
        slow_down(patch, 0.1)
        flight = made_flight(ground, seconds=1.0, paced=True, fps=20.0, record_to=tmp_path)
        _, status = flown(flight, kept, record=True)
    assert status.skipped > 0
    again, code = replayed(tmp_path, monkeypatch)
    by_sequence = {one.pair.spectral.sequence: one for one in again.results}
    assert len(again.results) == status.results
    for one in kept.results:
        np.testing.assert_array_equal(one.hr_hsi.data, by_sequence[one.pair.spectral.sequence].hr_hsi.data)
    assert code == 0
    assert f"{status.results} are the same bit for bit, 0 differ" in capsys.readouterr().out


@pytest.mark.parametrize(("paced", "fps", "seconds"), [(False, 2.0, 20.0), (True, 15.0, 1.5)])
def test_a_recording_that_began_in_mid_flight_gives_the_same_bits(
    ground: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    paced: bool,
    fps: float,
    seconds: float,
) -> None:
    kept = Kept()
    with open_live(
        made_flight(ground, seconds=seconds, paced=paced, fps=fps, record_to=tmp_path), sinks=[kept]
    ) as live:
        wait_until(lambda: len(kept.results) > 5)
        live.set_recording(True)
        live.wait()
    again, code = replayed(tmp_path, monkeypatch)
    assert len(again.results) > 5
    assert again.results[0].pair.spectral.sequence > 0
    flown_then = {one.pair.spectral.sequence: one for one in kept.results}
    for one in again.results:
        np.testing.assert_array_equal(one.hr_hsi.data, flown_then[one.pair.spectral.sequence].hr_hsi.data)
    assert code == 0
    assert "0 differ" in capsys.readouterr().out


def test_pairs_that_failed_in_flight_fail_again_and_leave_the_others_as_they_were(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept()
    flight = made_flight(
        ground, faults=[fault("rgb_black"), fault("rgb_frozen", 3.2)], record_to=tmp_path, single_bundle=None
    )
    _, status = flown(flight, kept, record=True)
    assert status.failed > 0
    again, code = replayed(tmp_path, monkeypatch)
    assert_same(kept, again)
    assert code == 0
    assert f"{status.failed} pairs gave no result (no result without the RGB camera" in capsys.readouterr().out


def test_other_bits_are_told_and_fail_the_command(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flown(made_flight(ground, seconds=2.0, record_to=tmp_path), record=True)
    monkeypatch.setattr(replay, "digest", lambda result: digest(result) ^ (result.number == 1))
    _, code = replayed(tmp_path, monkeypatch)
    assert code == 1
    said = capsys.readouterr().out
    assert "3 are the same bit for bit, 1 differ" in said
    assert "another model" in said


def test_a_recording_of_raw_frames_alone_is_fused_afterwards_and_written(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flight = made_flight(ground, seconds=2.0, record_to=tmp_path / "r")
    flown(flight, record=True)
    monkeypatch.setattr(Recording, "results", lambda self: iter(()))
    again, code = replayed(tmp_path / "r", monkeypatch, "-o", str(tmp_path / "new" / "results"))
    assert len(again.results) == 4
    assert code == 0
    assert "4 could not be compared" in capsys.readouterr().out
    assert len(list((tmp_path / "new" / "results").glob("*.hdr"))) == 4


def test_all_pairs_can_be_asked_for_and_are_compared_with_none(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, status = flown(made_flight(ground, seconds=0.5, paced=True, fps=60.0, record_to=tmp_path), record=True)
    again, code = replayed(tmp_path, monkeypatch, "--all")
    assert len(again.results) == status.results + status.skipped
    assert code == 0
    assert "differ" not in capsys.readouterr().out


@pytest.fixture(scope="module")
def recording(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short flight with models of its own."""
    folder = tmp_path_factory.mktemp("moved")
    for name in ("regression-x8", "interpolation-x8"):
        shutil.copytree(BUNDLES / name, folder / name)
    flight = made_flight(
        ground,
        seconds=1.0,
        record_to=folder / "recordings",
        bundle=str(folder / "regression-x8"),
        single_bundle=str(folder / "interpolation-x8"),
    )
    flown(flight, record=True)
    for name in ("regression-x8", "interpolation-x8"):
        shutil.rmtree(folder / name)
    return folder / "recordings"


def test_a_model_that_is_no_longer_there_can_be_named_anew(recording: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(recording, tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"the model was at .*regression-x8 in flight .* --bundle"):
        replay.run(arguments(moved))
    bundle = ("--bundle", str(BUNDLES / "regression-x8"))
    with pytest.raises(InputError, match=r"interpolation-x8 in flight .* --single-bundle"):
        replay.run(arguments(moved, *bundle))
    assert replay.run(arguments(moved, *bundle, "--single-bundle", str(BUNDLES / "interpolation-x8"))) == 0


def test_a_model_or_rig_that_is_not_where_the_command_says_is_told(recording: Path) -> None:
    with pytest.raises(InputError, match="there is no nowhere, which --bundle names"):
        replay.run(arguments(recording, "--bundle", "nowhere"))
    with pytest.raises(InputError, match="there is no nowhere, which --rig names"):
        replay.run(arguments(recording, "--rig", "nowhere"))


def test_results_that_cannot_be_written_fail_the_command(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flown(made_flight(ground, seconds=1.0, record_to=tmp_path / "r"), record=True)

    def full(self: FrameFiles, result: object) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr(FrameFiles, "take", full)
    with pytest.raises(OutputError, match="2 results were not written: no space left"):
        replay.run(arguments(tmp_path / "r", "-o", str(tmp_path / "results")))


def test_another_model_under_the_old_name_is_told(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(BUNDLES / "regression-x8", tmp_path / "regression-x8")
    manifest = other / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("advice: 'nothing learned", "advice: 'something else"))
    replay.run(arguments(recording, "--bundle", str(other), "--single-bundle", str(BUNDLES / "interpolation-x8")))
    told = capsys.readouterr().err
    assert "regression-x8 is another model than regression-x8 was in flight" in told
    assert "interpolation-x8 is another" not in told


def test_what_is_no_recording_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no recording"):
        replay.run(arguments(tmp_path / "none.mcap"))
    with pytest.raises(RecordingError):
        replay.run(arguments(tmp_path))
    (tmp_path / "text.mcap").write_text("no recording")
    with pytest.raises(RecordingError):
        replay.run(arguments(tmp_path / "text.mcap"))


def test_a_place_that_cannot_be_written_is_told_before_the_replay(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="it is a file; choose another folder"):
        replay.run(arguments(recording, "-o", str(tmp_path / "file")))
    with pytest.raises(OutputError, match="cannot write to"):
        replay.run(arguments(recording, "-o", str(tmp_path / "file" / "results")))


def test_a_recording_whose_end_is_missing_is_replayed_as_far_as_it_goes(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flown(made_flight(ground, record_to=tmp_path), record=True)
    file = next(tmp_path.glob("*.mcap"))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    again, code = replayed(tmp_path, monkeypatch)
    said = capsys.readouterr()
    assert "warning" in said.err
    assert code == 0
    assert again.results == [] or "0 differ" in said.out


def test_the_flight_file_on_the_disk_may_be_gone_as_the_recording_has_its_own(ground: Path, tmp_path: Path) -> None:
    path = flight_file(tmp_path / "flight.yaml", made_flight(ground, seconds=1.0), record={"folder": "r"} | SMALL)
    flight = read_flight(path)
    assert flight.record == RecorderSettings(folder=str(tmp_path / "r"), **SMALL)
    flown(flight, record=True)
    path.unlink()
    assert replay.run(arguments(tmp_path / "r")) == 0
