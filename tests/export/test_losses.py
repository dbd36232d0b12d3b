from __future__ import annotations

import math

import pytest
import torch

from export.losses import LOSSES, final_image, gelin, gradient_difference, l1, level_mse, relative, spectral_angle
from export.networks.fieldfuse import FieldFuseOutput
from export.networks.gelin import GELINOutput
from export.networks.msssf import MSSSFOutput
from export.networks.pzres import PZResOutput


def image(*pixels):
    """`(1, bands, 1, pixels)` from spectra."""
    return torch.tensor(pixels, dtype=torch.float32).T[None, :, None, :]


def pzres(coarse, refined):
    return PZResOutput(coarse, refined, torch.zeros(1, 1))


def value(loss):
    return pytest.approx(float(loss), abs=1e-6)


def test_l1_is_the_mean_absolute_error():
    assert value(l1(image([1, 2], [3, 4]), image([1, 0], [0, 5]))) == (0 + 2 + 3 + 1) / 4


def test_the_spectral_angle_is_the_mean_over_the_pixels_in_units_of_pi():
    # A right angle and one of 45 degrees; lengths do not count.
    angle = spectral_angle(image([1, 0], [2, 2]), image([0, 3], [5, 0]))
    assert float(angle) == pytest.approx((0.5 + 0.25) / 2, abs=1e-5)


def test_the_spectral_angle_of_opposite_and_of_equal_spectra_is_cut_off_before_the_slope_is_infinite():
    limit = math.acos(1 - 1e-6) / math.pi
    equal, opposite = image([0.5, 0.5]), -image([0.5, 0.5])
    assert float(spectral_angle(equal, equal)) == pytest.approx(limit, rel=0.05)
    assert float(spectral_angle(equal, opposite)) == pytest.approx(1 - limit, rel=1e-3)


def test_a_black_pixel_counts_a_right_angle_and_leaves_the_slopes_finite():
    estimate = image([0, 0], [1, 1]).requires_grad_()
    truth = image([0, 0], [0, 1])
    loss = spectral_angle(estimate, truth)
    loss.backward()
    assert loss.item() == pytest.approx((0.5 + 0.25) / 2, abs=1e-5)
    assert torch.isfinite(estimate.grad).all()


def test_the_gradient_is_taken_along_rows_columns_and_bands():
    # Ramps with steps of 2 along the bands, 3 along the rows and 6 along the columns: length 7 everywhere.
    b, y, x = torch.meshgrid(torch.arange(3.0), torch.arange(4.0), torch.arange(5.0), indexing="ij")
    ramp = (2 * b + 3 * y + 6 * x)[None]
    assert float(gradient_difference(ramp, torch.zeros_like(ramp))) == pytest.approx(7 - 1e-3, abs=1e-4)
    assert float(gradient_difference(ramp, ramp + 5)) == pytest.approx(0, abs=1e-5)


def test_the_gradient_leaves_out_the_first_index_of_each_axis():
    truth = torch.zeros(1, 2, 2, 2)
    for band, row, col in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)):
        estimate = truth.clone()
        estimate[0, band, row, col] = 3.0
        # None of them is next to the last corner, the only voxel with all three neighbours before it.
        assert float(gradient_difference(estimate, truth)) == pytest.approx(0, abs=1e-6)
    estimate = truth.clone()
    estimate[0, 1, 1, 0] = 4.0
    assert float(gradient_difference(estimate, truth)) == pytest.approx(4 - 1e-3, abs=1e-4)


def test_gelin_adds_a_third_of_the_angle_and_a_tenth_of_the_gradient():
    torch.manual_seed(0)
    estimate, truth = torch.rand(2, 1, 3, 4, 4)
    wanted = l1(estimate, truth) + 0.3 * spectral_angle(estimate, truth) + 0.1 * gradient_difference(estimate, truth)
    assert float(gelin(estimate, truth)) == pytest.approx(float(wanted))
    assert float(LOSSES["gelin"](GELINOutput(estimate, torch.zeros(1, 1)), truth)) == pytest.approx(float(wanted))


def test_pzres_code_adds_the_errors_of_both_images():
    truth = image([1, 1], [1, 1])
    output = pzres(truth + 0.5, truth - 0.25)
    assert value(LOSSES["pzres-code"](output, truth)) == 0.75


def test_pzres_paper_forgives_the_coarse_image_its_level():
    truth = image([1, 1], [2, 2])
    assert value(LOSSES["pzres-paper"](pzres(truth + 0.5, truth - 0.25), truth)) == 0.25
    # Half up and half down is no level: the mean over the frame of each band is the same.
    tilted = truth + image([0.5, 0.5], [-0.5, -0.5])
    assert value(LOSSES["pzres-paper"](pzres(tilted, truth), truth)) == 0.5


def test_level_mse_adds_the_mean_squares_of_all_levels():
    truth = torch.full((2, 3, 8, 8), 0.5)
    output = MSSSFOutput(truth + 0.1, (torch.full((2, 3, 2, 2), 0.2),))
    assert float(level_mse(output, truth)) == pytest.approx(0.1**2 + 0.3**2)


def test_a_level_is_compared_with_the_truth_reduced_to_its_size():
    # Bicubic reduction keeps a ramp, away from the borders.
    truth = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    level = truth.reshape(1, 1, 16, 4, 16, 4).mean(dim=(3, 5))
    assert float(level_mse(MSSSFOutput(truth, (level,)), truth)) < 1e-6
    assert float(level_mse(MSSSFOutput(truth, (level.flip(3),)), truth)) > 0.1


def components(refined, start):
    """`(1, 2, 9, 9)` each, of which the relative loss sees one pixel with these spectra."""
    images = (torch.tensor(spectrum)[None, :, None, None].expand(1, 2, 9, 9).clone() for spectrum in (refined, start))
    return FieldFuseOutput(*images)


def test_the_relative_loss_is_the_log_of_errors_and_angle_against_those_of_the_start():
    truth = torch.ones(1, 2, 9, 9)
    output = components(refined=[1.0, 0.5], start=[1.0, 0.0])
    # One band is right in both; of the other the mean square falls to a quarter. 45 degrees become 18.4.
    errors = (0 + math.log(0.25)) / 2 / 2
    angles = math.log((math.pi / 4 - math.atan(0.5) + 1e-3) / (math.pi / 4 + 1e-3)) / 2
    assert float(LOSSES["relative"](output, truth)) == pytest.approx(errors + angles, abs=1e-5)


def test_the_relative_loss_of_the_start_itself_is_nothing_and_of_a_worse_image_more():
    truth = torch.ones(1, 2, 9, 9)
    assert float(relative(components([0.7, 0.9], [0.7, 0.9]), truth)) == pytest.approx(0, abs=1e-6)
    assert float(relative(components([0.4, 0.9], [0.7, 0.9]), truth)) > 0.5


def test_the_relative_loss_leaves_out_the_frame_s_edge():
    truth = torch.ones(1, 2, 9, 9)
    output = components([0.9, 0.8], [0.7, 0.9])
    wanted = float(relative(output, truth))
    for image in output:
        centre = image[:, :, 4, 4].clone()
        image[:] = torch.rand(image.shape)
        image[:, :, 4, 4] = centre
    assert float(relative(output, truth)) == pytest.approx(wanted, abs=1e-6)


def test_the_relative_loss_has_finite_slopes_where_nothing_is_left_to_improve():
    truth = torch.rand(1, 3, 10, 10)
    refined = truth.clone().requires_grad_()
    relative(FieldFuseOutput(refined, truth), truth).backward()
    assert torch.isfinite(refined.grad).all()


def test_the_final_image_is_found_in_what_each_network_returns():
    last, other = torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    for output in (
        last,
        pzres(other, last),
        GELINOutput(last, other),
        MSSSFOutput(last, (other,)),
        FieldFuseOutput(last, other),
    ):
        assert final_image(output) is last
