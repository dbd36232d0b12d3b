from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from export.protocol import METRICS, PROTOCOLS, ScoreProtocol, score
from hsi_edge.quality import compare

PLAIN = ScoreProtocol()


@pytest.fixture
def truth(rng):
    return 0.2 + 0.6 * rng.random((16, 16, 3))


def flat(*bands):
    return np.broadcast_to(np.array(bands, np.float64), (16, 16, len(bands)))


def test_every_paper_scores_all_metrics(truth):
    for protocol in PROTOCOLS.values():
        assert tuple(score(protocol, truth + 0.01, truth, 4)) == METRICS


def test_without_a_peculiarity_the_metrics_are_those_of_the_runtime(truth, rng):
    estimate = truth + 0.05 * rng.standard_normal(truth.shape)
    found, wanted = score(PLAIN, estimate, truth, 4), compare(estimate, truth, ratio=4)
    assert found == {
        "psnr_db": wanted.psnr_db,
        "ssim": wanted.ssim_gaussian,
        "sam_deg": wanted.sam_deg,
        "ergas": wanted.ergas,
        "rmse": wanted.rmse,
        "cc": wanted.cc,
    }


def test_ssrnet_takes_one_error_of_the_whole_cube():
    estimate, truth = flat(0.5, 0.5), flat(0.4, 0.8)
    # Squares of 0.01 and 0.09, their mean 0.05; by bands it would be (20 + 10.46) / 2 dB.
    assert score(PROTOCOLS["ssrnet"], estimate, truth, 4)["psnr_db"] == pytest.approx(-10 * math.log10(0.05))
    assert score(PLAIN, estimate, truth, 4)["psnr_db"] == pytest.approx((20 - 10 * math.log10(0.09)) / 2)


def test_ssrnet_cuts_the_estimate_to_0_to_1():
    estimate, truth = flat(1.5, -0.5), flat(0.9, 0.1)
    assert score(PROTOCOLS["ssrnet"], estimate, truth, 4)["rmse"] == pytest.approx(0.1)
    assert score(PLAIN, estimate, truth, 4)["rmse"] == pytest.approx(0.6)
    assert estimate[0, 0, 0] == 1.5


def test_ssrnet_counts_black_pixels_which_others_leave_out():
    estimate, truth = np.ones((16, 16, 2)), np.ones((16, 16, 2))
    truth[:, :8] = (1, 0)
    truth[0, 8:] = estimate[0, 8:] = 0
    # 128 pixels are off by 45 degrees; black on black is an angle of 0 or none at all.
    assert score(PROTOCOLS["ssrnet"], estimate, truth, 4)["sam_deg"] == pytest.approx(45 * 128 / 256)
    assert score(PLAIN, estimate, truth, 4)["sam_deg"] == pytest.approx(45 * 128 / 248)
    # White on black has an angle only if black is taken for a very dark grey.
    truth[1, 8:] = 0
    assert score(PROTOCOLS["ssrnet"], estimate, truth, 4)["sam_deg"] == pytest.approx(45 * 128 / 256)


@pytest.mark.parametrize("ratio", [4, 8])
def test_gelin_divides_its_ergas_by_4_at_every_ratio(ratio):
    estimate, truth = flat(0.5, 0.6), flat(0.4, 0.8)
    relative = math.sqrt(((0.1 / 0.4) ** 2 + (0.2 / 0.8) ** 2) / 2)
    assert score(PROTOCOLS["gelin"], estimate, truth, ratio)["ergas"] == pytest.approx(100 / 4 * relative)
    assert score(PLAIN, estimate, truth, ratio)["ergas"] == pytest.approx(100 / ratio * relative)


def test_pzres_divides_by_the_means_of_the_estimate():
    estimate, truth = flat(0.5, 0.6), flat(0.4, 0.8)
    relative = math.sqrt(((0.1 / 0.5) ** 2 + (0.2 / 0.6) ** 2) / 2)
    assert score(PROTOCOLS["pzres"], estimate, truth, 8)["ergas"] == pytest.approx(100 / 8 * relative, rel=1e-3)


def test_pzres_truncates_to_65535_levels():
    step = 1 / 65535
    truth = flat(1000 * step + 0.4 * step)
    found = score(PROTOCOLS["pzres"], flat(1003 * step + 0.9 * step), truth, 8)
    assert found["rmse"] == pytest.approx(3 * step)
    assert score(PROTOCOLS["pzres"], truth, flat(1000 * step + 0.9 * step), 8)["rmse"] == pytest.approx(0, abs=1e-12)
    # Towards zero on both sides, as a cast to integers does.
    assert score(PROTOCOLS["pzres"], flat(-0.7 * step), flat(0.7 * step), 8)["rmse"] == 0


def test_pzres_tells_ssim_a_range_of_2_which_flatters():
    # Without any structure SSIM is its first factor alone, (2 a b + c) / (a^2 + b^2 + c) with c = (0.01 range)^2.
    a, b = 0.02, 0.04
    found = [
        score(replace(PROTOCOLS["pzres"], levels=0, ssim_peak=peak), flat(a), flat(b), 8)["ssim"] for peak in (1.0, 2.0)
    ]
    wanted = [(2 * a * b + (0.01 * peak) ** 2) / (a**2 + b**2 + (0.01 * peak) ** 2) for peak in (1.0, 2.0)]
    assert found == pytest.approx(wanted)
    assert PROTOCOLS["pzres"].ssim_peak == 2.0
    assert found[1] > found[0]


def test_gelin_and_pzres_have_the_uniform_window_and_the_others_the_gaussian_one(truth, rng):
    estimate = truth + 0.1 * rng.standard_normal(truth.shape)
    wanted = compare(estimate, truth, ratio=4)
    assert score(PROTOCOLS["gelin"], estimate, truth, 4)["ssim"] == wanted.ssim_uniform
    assert score(PROTOCOLS["msssf"], estimate, truth, 4)["ssim"] == wanted.ssim_gaussian
    assert wanted.ssim_uniform != wanted.ssim_gaussian


def test_msssf_has_its_rmse_in_steps_of_255():
    assert score(PROTOCOLS["msssf"], flat(0.52), flat(0.5), 16)["rmse"] == pytest.approx(0.02 * 255)
