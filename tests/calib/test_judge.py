from __future__ import annotations

import numpy as np
import pytest

from calib.judge import MOST_DB, Judge
from calib.runner import Runner, openvino
from calib.tiles import frames_to_judge
from hsi_edge.errors import CalibrationError
from hsi_edge.quality import psnr_db, sam_deg
from hsi_edge.scenes import read_scenes
from tests.calib.chain import chain, manifest, write_scenes


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = write_scenes(tmp_path_factory.mktemp("judge") / "scenes", 2)
    return frames_to_judge(manifest(), read_scenes(folder, manifest()))


def runner(change=lambda array: array):
    """FP32, with its output changed."""

    def compiled(graph, shapes):
        run = openvino(graph, shapes)
        return lambda inputs: {"hr_hsi": change(np.array(run(inputs)["hr_hsi"]))}

    return Runner(manifest(), {"whole": chain()}, compiled)


def test_the_same_graph_loses_nothing(frames):
    scores = Judge(frames, runner()).scores(runner())
    assert scores.truth is not None
    assert (scores.psnr_db, scores.worst_band_rmse, scores.truth.psnr_loss_db) == (MOST_DB, 0.0, 0.0)
    assert scores.truth.sam_change_percent == 0.0


def test_the_worst_band_is_told_in_parts_of_the_peak(frames):
    def offset(array):
        array[:, 3] += 0.02
        return array

    scores = Judge(frames, runner()).scores(runner(offset))
    assert scores.worst_band_rmse == pytest.approx(0.02, rel=1e-3)
    assert scores.psnr_db == pytest.approx(-10 * np.log10(0.02**2 / 5), abs=0.01)


def test_the_truth_scores_are_those_of_the_metrics(frames):
    judge = Judge(frames, runner())
    outputs = [runner().fuse(frame) for frame in frames]
    wanted = [psnr_db(o, f.truth, peak=float(f.truth.max())) for o, f in zip(outputs, frames, strict=True)]
    assert judge.fp32_truth is not None
    assert judge.fp32_truth.psnr_db == pytest.approx(np.mean(wanted))
    angles = [sam_deg(o, f.truth) for o, f in zip(outputs, frames, strict=True)]
    assert judge.fp32_truth.sam_deg == pytest.approx(np.mean(angles))


def test_noise_shows_as_loss_and_as_a_wider_angle(frames):
    rng = np.random.default_rng(3)
    noisy = runner(lambda array: array + rng.normal(0, 0.2, array.shape).astype(np.float32))
    scores = Judge(frames, runner()).scores(noisy)
    assert scores.truth is not None
    assert scores.truth.psnr_loss_db > 0.1
    assert scores.truth.sam_change_percent > 1
    assert set(scores.psnr_loss_by_scene_db) == {"scene-0", "scene-1"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_number_that_is_not_finite_is_found_and_its_scene_named(frames, value):
    def broken(array):
        array[0, 0, 1, 1] = value
        return array

    scores = Judge(frames, runner()).scores(runner(broken))
    assert scores.overflowed == ("scene-0", "scene-1")


def test_an_fp32_graph_that_is_not_finite_is_no_reference(frames):
    with pytest.raises(CalibrationError, match="the FP32 graph itself gives NaN or infinity on the scene scene-0"):
        Judge(frames, runner(lambda array: array * np.float32(np.nan)))
