"""The registration table: what is measured, and how the page says it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from export import registration, registration_estimates
from export.cli import main
from export.data.degradation import REALISTIC, Degradation
from export.data.misaligned import Cameras, Misalignment, misaligned_pair
from export.data.registered_pairs import RegisteredPair, pavia, rededge, trees
from export.data.scenes import Scene
from export.registration import CriterionResult, RealResult, Registrations, SimulatedResult
from export.registration_criteria import CRITERIA
from export.registration_estimates import Estimate, drawn_pair, errors_lr
from export.registration_table import registration_markdown, write_registration
from export.registration_trials import AFFINE, HOMOGRAPHY, SIMILARITY, TrialResult, explained_part, trials
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, RegistrationError
from hsi_edge.registration.refiner import Refiner
from hsi_edge.registration.rig import Rig
from hsi_edge.registration.warp import GridWarp
from hsi_edge.resampling import Blur, degrade

RATIO = 4
CLEAN = Degradation()


@pytest.fixture
def scene(rng):
    """Smooth, so that it is the same for every interpolation."""
    y, x = np.mgrid[:64, :80] / 12
    waves = [np.sin(x * a + y * b + c) for a, b, c in rng.uniform(-1.5, 1.5, (5, 3))]
    return (0.5 + 0.4 * np.stack(waves, axis=2)).astype(np.float32)


def cameras(scene, **fields):
    response = np.zeros((3, scene.shape[2]))
    response[(0, 1, 2), (0, 2, 4)] = 1
    return Cameras(ratio=RATIO, response=response, degradation=fields.pop("degradation", CLEAN), **fields)


# -- the simulation ----------------------------------------------------------------------------------------------------


def test_without_misalignment_the_rgb_is_the_scene_and_the_spectral_frame_its_degradation(scene, rng):
    pair = misaligned_pair(scene, cameras(scene), Misalignment(), rng)
    np.testing.assert_allclose(pair.msi, scene[:, :, [0, 2, 4]], atol=1e-5)
    wanted = degrade(np.moveaxis(scene, 2, 0), RATIO, Blur.gaussian(RATIO, RATIO))
    np.testing.assert_allclose(np.moveaxis(pair.lr_hsi, 2, 0)[:, 1:-1, 1:-1], wanted[:, 1:-1, 1:-1], atol=1e-5)
    np.testing.assert_array_equal(pair.truth, scene)


def test_the_transform_says_where_the_rgb_shows_the_scene(scene, rng):
    misalignment = Misalignment(dx_lr=1.3, dy_lr=-0.7, angle_deg=4, scale=1.03)
    pair = misaligned_pair(scene, cameras(scene, margin_lr=3), misalignment, rng)
    # An LR pixel's corner in the middle of the scene is the corner of four HR pixels.
    at = pair.msi_from_lr @ (7, 9, 1)
    x, y = np.floor(at[:2] - 0.5).astype(int)
    rgb = pair.msi[y : y + 2, x : x + 2].mean(axis=(0, 1))
    there = scene[9 * RATIO - 1 : 9 * RATIO + 1, 7 * RATIO - 1 : 7 * RATIO + 1, [0, 2, 4]].mean(axis=(0, 1))
    np.testing.assert_allclose(rgb, there, atol=0.05)
    assert pair.msi.shape == (64 + 24, 80 + 24, 3)


def test_resampling_by_the_true_transform_undoes_the_misalignment(scene, rng):
    misalignment = Misalignment.drawn(rng, shift_lr=2, angle_deg=3, growth=0.03)
    pair = misaligned_pair(scene, cameras(scene, margin_lr=5), misalignment, rng)
    rig = Rig(lr_shape=(16, 20), msi_shape=pair.msi.shape[:2], msi_from_lr=pair.msi_from_lr)
    guide, valid = GridWarp(rig, RATIO).on_grid(pair.msi)
    assert valid is None
    assert np.abs(guide - scene[:, :, [0, 2, 4]]).max() < 0.02


def test_bits_and_noise_are_those_asked_for(scene, rng):
    assert misaligned_pair(scene, cameras(scene), Misalignment(), rng).msi.dtype == np.float32
    noisy = misaligned_pair(scene, cameras(scene, degradation=REALISTIC), Misalignment(), rng)
    clean = misaligned_pair(scene, cameras(scene), Misalignment(), rng)
    assert noisy.msi.dtype == np.uint8
    np.testing.assert_allclose((noisy.lr_hsi - clean.lr_hsi).std(), 0.004, rtol=0.1)


def test_an_rgb_may_be_darker_in_its_corners_and_coded_by_a_gamma(scene, rng):
    light = misaligned_pair(scene, cameras(scene), Misalignment(), rng).msi
    darker = misaligned_pair(scene, cameras(scene, vignetting=0.3), Misalignment(), rng).msi / light
    np.testing.assert_allclose(
        [darker[0, 0], darker[32, 40], darker[0, 40]], [[0.7] * 3, [1] * 3, [0.88] * 3], atol=0.01
    )
    coded = misaligned_pair(scene, cameras(scene, gamma=2.2), Misalignment(), rng).msi
    np.testing.assert_allclose(coded**2.2, light, atol=1e-4)


def test_richer_transforms_leave_the_similarity_as_it_was_drawn(scene):
    plain, richer = (
        drawn_pair(Scene("waves", scene), RATIO, [cameras(scene).response], limits, 3)[0]
        for limits in (SIMILARITY, HOMOGRAPHY)
    )
    assert replace(richer, warp=None) == plain
    matrix = richer.msi_from_lr((16, 20), (104, 120), RATIO)
    depth = matrix[2] @ np.array([[0, 8, 1], [10, 8, 1], [20, 8, 1]]).T
    assert matrix[2, 2] == 1
    assert 0 < abs(depth[2] - depth[0]) / 2 / depth[1] < 0.03


# -- errors ------------------------------------------------------------------------------------------------------------


def rig(shift_px=0.0):
    return Rig(lr_shape=(6, 8), msi_shape=(30, 40), msi_from_lr=np.array([[4, 0, shift_px], [0, 4, 2.0], [0, 0, 1]]))


def test_errors_are_told_in_lr_pixels():
    off = errors_lr(rig(2.0), rig())
    assert off.shape == (48, 2)
    np.testing.assert_allclose(off, [[0.5, 0]] * 48, atol=1e-12)


def estimate(**fields):
    values = {"errors_lr": np.array([[0.01, 0.0], [0.0, -0.03]]), "std_lr": np.array(0.02), "explained": 0.9}
    return Estimate(**(values | {"seconds": 0.5, "loss_db": {"regression": 0.25}} | fields))


def test_the_share_inside_is_counted_over_pixels_and_axes():
    assert estimate().inside(1) == 0.75
    assert estimate().inside(2) == 1
    assert estimate().rms_lr == pytest.approx(np.sqrt(0.0005))


# -- the measurement ---------------------------------------------------------------------------------------------------


def test_simulated_frames_are_measured_with_what_the_refinement_claims(scene, rng, monkeypatch):
    monkeypatch.setattr(registration, "FRAME_DRAWS", 3)
    found = registration._frames(Scene("waves", scene), RATIO, [cameras(scene).response])
    assert len(found.estimates) == 3
    assert max(one.rms_lr for one in found.estimates) < 0.05
    assert found.estimates[0].std_lr.shape == found.estimates[0].errors_lr.shape


def test_a_rig_that_cannot_be_told_is_counted_with_its_reason(scene, monkeypatch):
    monkeypatch.setattr(registration, "DRAWS", 2)

    def refuse(*_args, **_fields):
        raise RegistrationError("no structure")

    monkeypatch.setattr(registration_estimates, "calibrate", refuse)
    found = registration._rigs(Scene("waves", scene), RATIO, (1.0, 1.0), [cameras(scene).response], {})
    assert found.failures == ["no structure"] * 2
    tried = trials([(Scene("waves", scene), RATIO)], [cameras(scene).response])
    assert all("waves, ratio 4: no structure" in one.failures for one in tried)
    truth = Rig(lr_shape=(16, 20), msi_shape=(64, 80), msi_from_lr=np.diag([4.0, 4.0, 1.0]))
    pair = RegisteredPair(name="ours", lr_hsi=scene[::4, ::4], msi=scene, truth=truth, note="made up")
    found = registration._real(pair, {})
    assert found.failure == "no structure"
    assert found.estimate is None


def test_a_trial_says_how_far_off_and_which_model_was_taken(rng, monkeypatch):
    texture = gaussian_filter(rng.normal(size=(3, 128, 160)), (0, 2, 2))
    scene = (0.5 + 3 * np.moveaxis(texture, 0, 2)[:, :, [0, 0, 1, 2, 2]]).astype(np.float32)
    monkeypatch.setattr("export.registration_trials.TRIALS", {"affine": AFFINE})
    monkeypatch.setattr("export.registration_trials.DRAWS", (0,))
    (found,) = trials([(Scene("texture", scene), RATIO)], [cameras(scene).response])
    assert found.models == ["affine"]
    assert found.estimates[0].rms_lr < 0.05


def test_the_true_place_is_explained_better_than_another(scene, rng):
    pair = misaligned_pair(scene, cameras(scene, margin_lr=3), Misalignment(dx_lr=1.2), rng)
    frame = Cube(data=pair.lr_hsi)
    truth = Rig(lr_shape=(16, 20), msi_shape=pair.msi.shape[:2], msi_from_lr=pair.msi_from_lr)
    aside = replace(truth, msi_from_lr=Misalignment().msi_from_lr((16, 20), pair.msi.shape[:2], RATIO))
    assert explained_part(frame, pair.msi, aside) < explained_part(frame, pair.msi, truth) > 0.9


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_every_criterion_finds_a_shift_from_the_same_start(name, rng):
    texture = gaussian_filter(rng.normal(size=(128, 160)), 2)
    scene = np.stack([0.5 + 3 * texture + 0.02 * band for band in range(5)], axis=2).astype(np.float32)
    pair = misaligned_pair(scene, cameras(scene, margin_lr=3), Misalignment(dx_lr=1.2, dy_lr=-0.8), rng)
    truth = Rig(lr_shape=(32, 40), msi_shape=pair.msi.shape[:2], msi_from_lr=pair.msi_from_lr)
    start = replace(truth, msi_from_lr=Misalignment().msi_from_lr((32, 40), pair.msi.shape[:2], RATIO))
    found = CRITERIA[name](pair.lr_hsi, pair.msi, start, True)
    assert np.abs(errors_lr(found, truth)).max() < 0.4 < np.abs(errors_lr(start, truth)).max()


# -- the page ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def results(scene):
    pair = RegisteredPair(name="ours", lr_hsi=scene, msi=scene, truth=rig(), note="made up")
    good = SimulatedResult(scene="waves", ratio=4, psf_fwhm_lr=(1.0, 1.0), estimates=[estimate()], failures=[])
    return Registrations(
        real=[
            RealResult(pair=pair, explained_by_truth=0.875, estimate=estimate()),
            RealResult(pair=replace(pair, name="theirs"), explained_by_truth=0.875, estimate=None, failure="too dark"),
        ],
        rigs=[good, replace(good, psf_fwhm_lr=(0.8, 1.6), estimates=[], failures=["slid off"])],
        frames=[good],
        trials=[
            TrialResult(name="affine", estimates=[estimate()] * 3, models=["affine"] * 2 + ["similarity"], failures=[]),
            TrialResult(name="homography", estimates=[], models=[], failures=["waves: slid on"]),
        ],
        criteria=[CriterionResult(kind="shift", criterion="ECC", errors_lr=[0.1, 0.3], seconds=[0.01, 0.03])],
    )


def test_the_page_tells_errors_claims_losses_and_failures(results):
    page = registration_markdown(results, {"cpu": "one"})
    for wanted in (
        "| ours",
        "0.022",
        "| failed",
        "theirs: made up. **Failed**: too dark",
        "0.8 to 1.6",
        "slid off",
        "0.875",
        "    67 |",
        "waves: slid on",
        "ECC",
        "0.3000",
    ):
        assert wanted in page
    assert "0.25, 0.25" in page


def test_page_and_json_are_written_together(results, tmp_path):
    write_registration(tmp_path / "docs", results, {"cpu": "one"})
    assert sorted(file.name for file in (tmp_path / "docs").iterdir()) == [
        "registration-table.json",
        "registration-table.md",
    ]


def test_missing_research_data_is_named(tmp_path, capsys):
    assert main(["registration", "--data", str(tmp_path), "-o", str(tmp_path / "docs")]) == 2
    assert "is missing" in capsys.readouterr().err


# -- the real pairs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "fwhm_lr"), [(pavia, 1.0), (lambda data: trees(data, NAME), 2.25)])
def test_the_true_transform_leaves_nothing_to_refine(shared_data, make, fwhm_lr):
    pair = make(shared_data)
    guide, valid = GridWarp(pair.truth, 4).on_grid(pair.msi)
    left = Refiner(4, 4 * fwhm_lr).refine(pair.lr_hsi, guide, valid)
    assert np.hypot(left.dx_lr, left.dy_lr) < 0.02


NAME = "pair_trees1_shift5px_gaussian_gt"


def test_the_cameras_of_the_rededge_look_past_each_other_as_its_file_says(shared_data):
    pairs = {pair.name: pair for pair in rededge(shared_data)}
    assert len(pairs) == 4
    blue = pairs["RedEdge, blue on green"]
    guide, valid = GridWarp(blue.truth, 4).on_grid(blue.msi)
    left = Refiner(4, 4.0).refine(blue.lr_hsi, guide, valid)
    # The ground is near: the parallax of two lenses some centimetres apart.
    assert 0.5 < np.hypot(left.dx_lr, left.dy_lr) < 2
    assert left.explained > 0.9


def test_a_missing_pair_is_named_with_its_place(tmp_path):
    with pytest.raises(InputError, match=r"pair_pavia_sim_misreg\.npz is missing: the sensors' pairs belong into"):
        pavia(tmp_path)
