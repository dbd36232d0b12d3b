from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, ManifestError, SensorEnded, SensorError, SensorTimeout
from hsi_edge.live.pairing import Intake
from hsi_edge.records import plain_from_record, plain_from_yaml, record_from_plain, yaml_from_plain
from hsi_edge.registration.refine import Refinement
from hsi_edge.registration.warp import GridWarp
from hsi_edge.resampling import Blur, degrade
from hsi_edge.sensors import simulated
from hsi_edge.sensors.simulated import SimulatedPair
from hsi_edge.sensors.simulated_faults import Fault
from hsi_edge.sensors.simulated_schedule import Timing
from hsi_edge.sensors.simulated_settings import Misalignment, SimulationSettings
from hsi_edge.sensors.simulated_world import World
from tests.hsi_edge.sensors.source_contract import Case

RATIO = 4
WAVELENGTHS_NM = np.linspace(420, 690, 7)


def textured_cube(rows=96, cols=112, bands=7, seed=3):
    """Smooth patches with some detail, all bands different, in reflectance."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols]
    waves = [
        np.sin(rng.uniform(0.05, 0.5) * x + rng.uniform(-0.5, 0.5) * y + rng.uniform(0, 6)) for _ in range(3 * bands)
    ]
    mixed = np.stack(waves, -1) @ rng.uniform(-1, 1, (3 * bands, bands))
    mixed = (mixed - mixed.min()) / (mixed.max() - mixed.min())
    return Cube(data=mixed.astype(np.float32), wavelengths_nm=WAVELENGTHS_NM[:bands], quantity="reflectance")


CUBE = textured_cube()
CALM = SimulationSettings(
    ratio=RATIO,
    lr_rows=14,
    lr_cols=16,
    right_lr_per_s=0.0,
    down_lr_per_s=0.0,
    misalignment=Misalignment(),
    rgb=Timing(fps=10.0),
    spectral=Timing(fps=2.0, first_s=0.01),
    vignetting=0.0,
    rgb_noise_dn=0.0,
    spectral_noise=0.0,
    seconds=3.0,
)
"""Nothing moves, and nothing is between the world and the frames."""
MISALIGNED = Misalignment(rotation_deg=0.8, scale=1.02, right_lr=0.7, down_lr=-0.45)
SRF = np.array([[0, 0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0]], np.float32) / 2


def flight(*faults, paced=False, **changes):
    return SimulatedPair(CUBE, replace(CALM, faults=faults, **changes), paced=paced, srf=SRF)


def frames(pair, stream):
    return [frame for name, frame in pair.arrivals() if name == stream]


def displacement_lr(image, truth):
    """How far `image` lies off `truth`, both `(rows, cols, c)`, by the gradients, in LR pixels of `RATIO` each."""
    inner = (slice(2 * RATIO, -2 * RATIO), slice(2 * RATIO, -2 * RATIO))
    down, right = np.gradient(truth.astype(np.float64), axis=(0, 1))
    columns = [part[inner].ravel() for part in (right, down, truth, np.ones_like(truth))]
    found, *_ = np.linalg.lstsq(np.stack(columns, -1), image[inner].ravel(), rcond=None)
    return np.hypot(found[0], found[1]) / abs(found[2]) / RATIO


class TestTruth:
    def test_the_true_rig_brings_the_rgb_to_where_the_world_is(self):
        pair = flight(misalignment=MISALIGNED)
        on_grid, valid = GridWarp(pair.rig, RATIO).on_grid(frames(pair, "rgb")[0].data)
        world = CUBE.data[: 14 * RATIO, : 16 * RATIO] @ SRF.T
        assert displacement_lr(on_grid, world) < 0.005
        inner = (slice(8, -8), slice(8, -8))
        assert np.corrcoef(on_grid[inner].ravel(), world[inner].ravel())[0, 1] > 0.999
        assert valid is None or valid[inner].all()

    def test_without_the_rig_it_is_not_there(self):
        pair = flight(misalignment=MISALIGNED)
        aligned = GridWarp(flight().rig, RATIO)
        on_grid, _ = aligned.on_grid(frames(pair, "rgb")[0].data)
        assert displacement_lr(on_grid, CUBE.data[: 14 * RATIO, : 16 * RATIO] @ SRF.T) > 0.2

    def test_the_true_refinement_is_what_motion_and_vibration_add(self):
        pair = flight(
            misalignment=MISALIGNED, right_lr_per_s=1.5, down_lr_per_s=-1.0, vibration_lr=0.2, rgb=Timing(fps=8.0)
        )
        warp = GridWarp(pair.rig, RATIO)
        rgb, spectral = frames(pair, "rgb"), frames(pair, "spectral")
        for number in (1, 3, 5):
            at_spectral, near = spectral[number], rgb[4 * number]
            true = pair.true_refinement(at_spectral, near)
            right, down = round(number * 1.5 * RATIO / 2), round(-number * RATIO / 2)
            rows = np.arange(down, down + 14 * RATIO)
            world = CUBE.data[np.where(rows < 0, -1 - rows, rows)][:, right : right + 16 * RATIO] @ SRF.T
            assert displacement_lr(warp.on_grid(near.data, true)[0], world) < 0.01
            assert displacement_lr(warp.on_grid(near.data, Refinement())[0], world) > 0.05

    def test_between_two_spectral_frames_the_sensors_move_evenly(self):
        pair = flight(right_lr_per_s=2.0, down_lr_per_s=1.0, rgb=Timing(fps=4.0, first_s=0.01))
        halfway, first = frames(pair, "rgb")[1], frames(pair, "spectral")[0]
        true = pair.true_refinement(first, halfway)
        assert (true.dx_lr, true.dy_lr) == pytest.approx((-0.5, -0.25))
        on_grid, _ = GridWarp(pair.rig, RATIO).on_grid(halfway.data)
        world = CUBE.data[RATIO // 4 :][: 14 * RATIO, RATIO // 2 :][:, : 16 * RATIO] @ SRF.T
        assert displacement_lr(on_grid, world) < 0.01

    def test_the_spectral_frame_is_the_world_blurred_and_decimated(self):
        pair = flight()
        data = frames(pair, "spectral")[0].data / pair.dn_per_unit
        window = np.moveaxis(CUBE.data[: 16 * RATIO, : 18 * RATIO], 2, 0)
        expected = np.moveaxis(degrade(window, RATIO, Blur.gaussian(RATIO, RATIO)), 0, 2)[2:12, 2:14]
        np.testing.assert_allclose(data[2:12, 2:14], expected, atol=1 / pair.dn_per_unit)

    def test_noise_is_as_strong_as_told(self):
        noisy = flight(rgb_noise_dn=2.0, spectral_noise=0.01)
        for stream, std in (("rgb", 2.0), ("spectral", 400.0)):
            one, other = frames(noisy, stream)[:2]
            left = one.data.astype(np.float64) - other.data
            assert left.std() == pytest.approx(math.sqrt(2) * std, rel=0.1)

    def test_vignetting_darkens_the_corners_alone(self):
        clear, shaded = frames(flight(), "rgb")[0].data, frames(flight(vignetting=0.4), "rgb")[0].data
        rows, cols, _ = clear.shape
        assert shaded[0, 0].mean() == pytest.approx(0.6 * clear[0, 0].mean(), abs=2)
        np.testing.assert_allclose(shaded[rows // 2, cols // 2], clear[rows // 2, cols // 2], atol=1)

    def test_a_real_scene_can_be_flown_over(self, shared_data):
        with np.load(shared_data / "train" / "cave_balloons_256_31b.npz") as stored:
            cube = Cube(data=stored["cube"], wavelengths_nm=np.arange(400.0, 701.0, 10.0))
        pair = SimulatedPair(cube, SimulationSettings(lr_rows=16, lr_cols=16, seconds=1.0), paced=False)
        spectral, rgb = frames(pair, "spectral")[0], frames(pair, "rgb")[0]
        assert spectral.data.shape == (16, 16, 31)
        assert spectral.data.dtype == np.uint16
        assert rgb.data.dtype == np.uint8
        assert rgb.data.std() > 10


@hypothesis_settings(max_examples=40)
@given(
    right_px=st.integers(-200, 400),
    down_px=st.integers(-200, 400),
    ratio=st.integers(1, 5),
    size=st.tuples(st.integers(9, 20), st.integers(9, 20)),
)
def test_the_world_goes_on_mirrored_without_end(right_px, down_px, ratio, size):
    cube = textured_cube(*size, bands=2)
    world = World(cube, ratio=ratio, lr_shape=(3, 4), psf_fwhm_px=1.2 * ratio)
    blur = Blur.gaussian(1.2 * ratio, ratio)
    indices = []
    for position, lr_side, side in ((down_px, 3, size[0]), (right_px, 4, size[1])):
        taps = np.arange(position + blur.offset, position + lr_side * ratio - blur.offset)
        indices.append(np.minimum(taps % (2 * side), 2 * side - 1 - taps % (2 * side)))
    around = np.moveaxis(cube.data[indices[0][:, None], indices[1]], 2, 0)
    shifted = Blur(blur.taps, 0)
    margin = -(2 * blur.offset // ratio)
    padded = np.pad(around, ((0, 0), (0, margin * ratio), (0, margin * ratio)))
    whole = padded[:, : padded.shape[1] // ratio * ratio, : padded.shape[2] // ratio * ratio]
    expected = degrade(whole, ratio, shifted)[:, :3, :4]
    np.testing.assert_allclose(world.spectral(right_px, down_px), np.moveaxis(expected, 0, 2), atol=1e-5)


class TestTime:
    def test_two_flights_of_the_same_settings_are_the_same(self):
        settings = replace(SimulationSettings(), ratio=RATIO, lr_rows=6, lr_cols=6, seconds=2.0, vibration_lr=0.1)
        one, other = (list(SimulatedPair(CUBE, settings, paced=False).arrivals()) for _ in range(2))
        assert len(one) == 24
        for (stream, frame), (other_stream, other_frame) in zip(one, other, strict=True):
            assert (stream, frame.timestamp_ns, frame.arrival_ns) == (
                other_stream, other_frame.timestamp_ns, other_frame.arrival_ns,
            )  # fmt: skip
            np.testing.assert_array_equal(frame.data, other_frame.data)

    def test_what_is_read_is_what_arrives(self):
        pair = flight(
            Fault(kind="spectral_duplicated", at_s=0, for_s=2), Fault(kind="spectral_reordered", at_s=2, for_s=1)
        )
        pair.spectral.open()
        read = [pair.spectral.read(1.0) for _ in range(10)]
        with pytest.raises(SensorEnded):
            pair.spectral.read(1.0)
        assert [frame.arrival_ns for frame in read] == [frame.arrival_ns for frame in frames(pair, "spectral")]

    def test_clocks_run_with_their_offset_and_skew_and_arrivals_have_their_delay(self):
        timing = Timing(fps=10.0, offset_s=700.0, skew_ppm=100.0, latency_ms=30.0, jitter_ms=5.0)
        sent = frames(flight(rgb=timing, seconds=20.0), "rgb")
        stamps_s = np.array([frame.timestamp_ns for frame in sent]) / 1e9
        np.testing.assert_allclose(stamps_s, 700 + np.arange(200) / 10 * (1 + 1e-4), atol=1e-6)
        arrivals_s = np.array([frame.arrival_ns - simulated.UNPACED_START_NS for frame in sent]) / 1e9
        delays_ms = 1e3 * (arrivals_s - np.arange(200) / 10)
        assert delays_ms.min() >= 30
        assert delays_ms.mean() == pytest.approx(35, abs=1.5)

    def test_a_timeout_passes_no_more_time_than_told(self):
        pair = flight(spectral=Timing(fps=0.5, first_s=1.0))
        pair.spectral.open()
        for _ in range(3):
            with pytest.raises(SensorTimeout):
                pair.spectral.read(0.3)
        assert pair.spectral.read(0.3).sequence == 0

    def test_a_slow_reader_gets_the_newest_and_sees_what_it_missed(self, monkeypatch):
        now_ns = [5_000_000_000]
        monkeypatch.setattr(simulated, "host_time_ns", lambda: now_ns[0])
        pair = flight(paced=True, rgb=Timing(fps=10.0, first_s=0.05))
        pair.rgb.open()
        now_ns[0] += 100_000_000
        assert pair.rgb.read(1.0).sequence == 0
        now_ns[0] += 1_000_000_000
        newest = pair.rgb.read(1.0)
        assert newest.sequence == 10
        assert newest.arrival_ns == 5_000_000_000 + 1_050_000_000

    def test_intake_pairs_the_frames_that_belong_together(self):
        settings = replace(SimulationSettings(), ratio=RATIO, lr_rows=4, lr_cols=4, seconds=40.0, rgb_px_per_hr_px=1.0)
        pair = SimulatedPair(CUBE, settings, paced=False)
        intake = Intake()
        pairs = [made for stream, frame in pair.arrivals() for made in intake.arrive(stream, frame)] + intake.finish()
        assert [made.rgb and made.rgb.sequence for made in pairs] == [5 * k for k in range(80)]


class TestFaults:
    def of(self, stream, *faults, **changes):
        pair = flight(*faults, **changes)
        return {frame.sequence: frame for frame in frames(pair, stream)}, {
            frame.sequence: frame for frame in frames(flight(**changes), stream)
        }

    @pytest.mark.parametrize("stream", ["rgb", "spectral"])
    def test_an_unplugged_sensor_fails_to_read_and_open_until_it_is_back(self, stream):
        pair = flight(Fault(kind=f"{stream}_unplugged", at_s=0.9, for_s=1.0))
        source = getattr(pair, stream)
        source.open()
        for _ in range({"rgb": 9, "spectral": 2}[stream]):
            before = source.read(1.0)
        with pytest.raises(SensorError, match="was unplugged") as caught:
            source.read(1.0)
        assert not isinstance(caught.value, (SensorTimeout, SensorEnded))
        source.close()
        for _ in range(4):  # a quarter second each
            with pytest.raises(SensorError, match="is unplugged"):
                source.open()
        source.open()
        after = source.read(1.0)
        assert after.timestamp_ns - before.timestamp_ns > 1e9
        assert after.sequence > before.sequence + 1

    def test_a_stall_is_silence(self):
        pair = flight(Fault(kind="spectral_stall", at_s=0.4, for_s=1.5))
        pair.spectral.open()
        pair.spectral.read(1.0)
        with pytest.raises(SensorTimeout):
            pair.spectral.read(1.0)
        assert pair.spectral.read(1.0).sequence == 4

    def test_a_frozen_camera_shows_one_picture_under_a_running_clock(self):
        fault = Fault(kind="rgb_frozen", at_s=1.0, for_s=1.0)
        sent, well = self.of("rgb", fault, right_lr_per_s=2.0, rgb_noise_dn=1.0)
        for k in range(10, 20):
            np.testing.assert_array_equal(sent[k].data, well[10].data)
            assert sent[k].timestamp_ns == well[k].timestamp_ns
        for k in (9, 20):
            np.testing.assert_array_equal(sent[k].data, well[k].data)

    def test_a_black_camera_sees_nothing_but_noise(self):
        sent, _ = self.of("rgb", Fault(kind="rgb_black", at_s=1.0, for_s=1.0), rgb_noise_dn=1.0)
        assert sent[15].data.max() < 10
        assert sent[20].data.max() > 100

    def test_a_blurred_camera_loses_detail(self):
        sent, well = self.of("rgb", Fault(kind="rgb_blurred", at_s=1.0, for_s=1.0))
        detail = [np.abs(np.diff(frame.data.astype(float), axis=1)).mean() for frame in (sent[15], well[15])]
        assert detail[0] < 0.8 * detail[1]

    def test_a_shifted_camera_is_off_by_the_amount_and_the_truth_says_so(self):
        pair = flight(Fault(kind="rgb_shifted", at_s=1.0, for_s=1.0, amount=1.25))
        rgb, spectral = frames(pair, "rgb"), frames(pair, "spectral")
        assert pair.true_refinement(spectral[2], rgb[10]).dx_lr == pytest.approx(1.25)
        assert pair.true_refinement(spectral[0], rgb[0]).dx_lr == 0
        on_grid, _ = GridWarp(pair.rig, RATIO).on_grid(rgb[10].data, Refinement(dx_lr=1.25))
        assert displacement_lr(on_grid, CUBE.data[: 14 * RATIO, : 16 * RATIO] @ SRF.T) < 0.01

    def test_stale_pictures_come_late_with_true_stamps_and_in_order(self):
        fault = Fault(kind="rgb_stale", at_s=1.0, for_s=1.5, amount=700.0)
        sent, well = self.of("rgb", fault)
        for k in (10, 14):
            assert sent[k].arrival_ns - well[k].arrival_ns == pytest.approx(700e6, abs=10)
            assert sent[k].timestamp_ns == well[k].timestamp_ns
        ordered = frames(flight(fault), "rgb")
        assert all(one.sequence < other.sequence for one, other in itertools.pairwise(ordered))

    def test_nan_and_saturation_fill_the_upper_part(self):
        sent, _ = self.of("spectral", Fault(kind="spectral_nan", at_s=0, for_s=1, amount=0.5))
        assert np.isnan(sent[0].data[:7]).all()
        assert np.isfinite(sent[0].data[7:]).all()
        sent, _ = self.of("spectral", Fault(kind="spectral_saturated", at_s=0, for_s=1, amount=0.5))
        assert (sent[0].data[:7] == 65535).all()
        assert (sent[0].data[7:] < 65535).all()

    @pytest.mark.parametrize("stream", ["rgb", "spectral"])
    def test_a_frame_of_the_wrong_size_has_half_the_rows(self, stream):
        sent, well = self.of(stream, Fault(kind=f"{stream}_wrong_size", at_s=0, for_s=1))
        assert sent[0].data.shape[0] == well[0].data.shape[0] // 2

    @pytest.mark.parametrize("stream", ["rgb", "spectral"])
    def test_repeated_overtaken_and_jumping_frames_are_counted_by_the_intake(self, stream):
        pair = flight(
            Fault(kind=f"{stream}_duplicated", at_s=0, for_s=5),
            Fault(kind=f"{stream}_reordered", at_s=10, for_s=5),
            Fault(kind=f"{stream}_clock_jump", at_s=20, for_s=5),
            seconds=30.0,
        )
        intake = Intake()
        pairs = [made for name, frame in pair.arrivals() for made in intake.arrive(name, frame)] + intake.finish()
        fps = {"rgb": 10, "spectral": 2}[stream]
        counts = getattr(intake.counts, stream)
        assert counts.refused == 5 * fps + 5 * fps // 2
        assert counts.clock_jumps == 2
        # A clock that steps may leave its first frame without a partner; no frame gets a wrong one.
        assert all(made.rgb is None or made.rgb.sequence == 5 * made.spectral.sequence for made in pairs)


class TestSettings:
    def test_they_are_a_section_of_a_file(self):
        settings = replace(CALM, faults=(Fault(kind="rgb_black", at_s=1.0, for_s=2.0),))
        text = yaml_from_plain(plain_from_record(settings))
        assert record_from_plain(SimulationSettings, plain_from_yaml(text, 10_000)) == settings

    def test_an_unknown_fault_is_told_with_the_known_ones(self):
        with pytest.raises(ManifestError, match=r"faults\[0\]\.kind is 'rgb_tired'; wanted one of rgb_unplugged"):
            record_from_plain(SimulationSettings, {"faults": [{"kind": "rgb_tired", "at_s": 1.0, "for_s": 2.0}]})

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: replace(CALM, ratio=0), "ratio is 0"),
            (lambda: replace(CALM, psf_fwhm_lr=0.0), "psf_fwhm_lr is 0"),
            (lambda: replace(CALM, vignetting=1.0), "vignetting is 1"),
            (lambda: replace(CALM, rgb_noise_dn=-1.0), "rgb_noise_dn is -1"),
            (lambda: replace(CALM, seconds=0.0), "seconds is 0"),
            (lambda: Timing(fps=0.0), "fps is 0"),
            (lambda: Timing(fps=1.0, latency_ms=-1.0), "latency_ms is -1"),
            (lambda: Misalignment(scale=0.0), "scale"),
            (lambda: Fault(kind="rgb_black", at_s=-1.0, for_s=1.0), "rgb_black"),
            (lambda: Fault(kind="rgb_black", at_s=1.0, for_s=1.0, amount=2.0), "no amount"),
        ],
    )
    def test_impossible_ones_are_named(self, make, message):
        with pytest.raises(InputError, match=message):
            make()

    def test_a_world_with_gaps_is_refused(self):
        data = CUBE.data.copy()
        data[3, 4, 5] = np.nan
        with pytest.raises(InputError, match="not finite"):
            SimulatedPair(Cube(data=data), CALM)

    def test_a_black_world_is_refused(self):
        with pytest.raises(InputError, match="black"):
            SimulatedPair(Cube(data=np.zeros((20, 20, 3), np.float32)), CALM)

    def test_a_camera_response_of_other_bands_is_refused(self):
        with pytest.raises(InputError, match=r"wanted \(3, 7\)"):
            SimulatedPair(CUBE, CALM, srf=np.ones((3, 5), np.float32))

    def test_a_world_without_wavelengths_is_seen_in_thirds(self):
        for bands in (1, 2, 3, 7):
            pair = SimulatedPair(Cube(data=textured_cube(bands=bands).data), CALM, paced=False)
            assert frames(pair, "rgb")[0].data.std() > 5


def contract_case(folder, stack):
    settings = replace(CALM, spectral=Timing(fps=4.0, first_s=0.05), seconds=0.5)
    gone = replace(settings, faults=(Fault(kind="spectral_unplugged", at_s=0.0, for_s=1e6),))
    return Case(
        source=SimulatedPair(CUBE, settings).spectral, n_frames=2, ends=True, missing=SimulatedPair(CUBE, gone).spectral
    )
