"""A simulated camera moves over a real photograph: the Salton Sea's, which comes with the project."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hsi_edge.errors import InputError
from hsi_edge.io import read
from hsi_edge.live.rgb_health import RgbHealth, RgbHealthSettings
from hsi_edge.sensors.frame import SensorFrame

PHOTO = Path(__file__).parents[3] / "apps" / "samples" / "salton_sea" / "orthophoto.png"
SHAPE = (320, 400)

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photo() -> NDArray[np.float32]:
    return np.asarray(read(PHOTO).data, np.float32)


class Camera:
    """Flies over the photograph, some pixels per exposure, with noise; counts its exposures."""

    def __init__(self, photo: NDArray[np.float32]) -> None:
        self._photo = photo
        self._rng = np.random.default_rng(1)
        self._count = 0

    def picture(self, gain: float = 1.0, blur: int = 1) -> Picture:
        top, left = self._count % 200, 2 * (self._count % 160)
        view = self._photo[top : top + SHAPE[0], left : left + SHAPE[1]]
        for shift in range(1, blur):
            view = view + np.roll(self._photo, shift, 1)[top : top + SHAPE[0], left : left + SHAPE[1]]
        noisy = view * (gain / blur) + self._rng.normal(0, 1.5, view.shape)
        return np.clip(np.round(noisy), 0, 255).astype(np.uint8)

    def frame(self, data: NDArray[Any] | None = None) -> SensorFrame:
        self._count += 1
        data = self.picture() if data is None else data
        return SensorFrame(data=data, sequence=self._count, timestamp_ns=self._count * 10**8, arrival_ns=0)


@pytest.fixture
def camera(photo: NDArray[np.float32]) -> Camera:
    return Camera(photo)


@pytest.fixture
def health(camera: Camera) -> RgbHealth:
    """Has seen some good frames."""
    seen = RgbHealth(RgbHealthSettings(), SHAPE)
    for _ in range(5):
        assert seen.judge(camera.frame()) == ()
    return seen


def only(doubts: tuple[str, ...]) -> str:
    (doubt,) = doubts
    return doubt


def test_a_flight_with_slowly_changing_light_raises_no_doubt(camera: Camera) -> None:
    health = RgbHealth(RgbHealthSettings(), SHAPE)
    for number in range(100):
        assert health.judge(camera.frame(camera.picture(gain=1 + 0.3 * np.sin(number / 9)))) == ()


def test_a_cap_and_too_short_an_exposure_are_black(health: RgbHealth, camera: Camera) -> None:
    assert "black" in only(health.judge(camera.frame(camera.picture(gain=0))))
    assert "black" in only(health.judge(camera.frame(camera.picture(gain=0.03))))
    assert health.judge(camera.frame()) == ()


def test_too_long_an_exposure_is_overexposed(health: RgbHealth, camera: Camera) -> None:
    assert "overexposed" in only(health.judge(camera.frame(camera.picture(gain=6))))
    assert health.judge(camera.frame()) == ()


def test_a_picture_that_stays_while_the_clock_runs_is_frozen_until_it_moves(health: RgbHealth, camera: Camera) -> None:
    stuck = camera.picture()
    doubts = [health.judge(camera.frame(stuck.copy())) for _ in range(5)]
    assert doubts[:2] == [(), ()]
    assert "frozen: 3 exposures" in only(doubts[2])
    assert "frozen: 5 exposures" in only(doubts[4])
    assert health.judge(camera.frame()) == ()


def test_one_pixel_that_differs_is_a_live_picture(health: RgbHealth, camera: Camera) -> None:
    picture = camera.picture()
    for number in range(5):
        picture = picture.copy()
        picture[7, number, 0] += 1
        assert health.judge(camera.frame(picture)) == ()


def test_an_exposure_that_is_paired_twice_is_not_frozen(health: RgbHealth, camera: Camera) -> None:
    frame = camera.frame()
    assert [health.judge(frame) for _ in range(6)] == [()] * 6
    dark = camera.frame(camera.picture(gain=0))
    assert health.judge(dark) == health.judge(dark) != ()


def test_motion_blur_is_seen_against_the_frames_before_and_passes(health: RgbHealth, camera: Camera) -> None:
    for _ in range(40):  # nor does it become the new normal
        assert "blurred" in only(health.judge(camera.frame(camera.picture(blur=9))))
    assert health.judge(camera.frame()) == ()


def test_a_first_frame_has_nothing_to_be_blurred_against(camera: Camera) -> None:
    health = RgbHealth(RgbHealthSettings(), SHAPE)
    assert health.judge(camera.frame(camera.picture(blur=9))) == ()


def test_a_scene_without_texture_is_neither_blurred_nor_a_reference(health: RgbHealth, camera: Camera) -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        lake = np.round(rng.normal(90, 1.5, (*SHAPE, 3))).astype(np.uint8)
        assert health.judge(camera.frame(lake)) == ()
    assert "blurred" in only(health.judge(camera.frame(camera.picture(blur=9))))


def test_another_size_is_named_and_does_not_disturb_what_is_remembered(health: RgbHealth, camera: Camera) -> None:
    assert only(health.judge(camera.frame(camera.picture()[:100]))) == (
        "the RGB frame has 100 x 400 pixels; the rig was calibrated for 320 x 400"
    )
    assert health.judge(camera.frame()) == ()


def numbers(picture: Picture) -> Iterator[tuple[NDArray[Any], float | None]]:
    yield picture.astype(np.float32) / np.float32(255), None
    yield picture.astype(np.uint16) * 16, 4080.0


def test_every_number_type_has_its_full_scale(camera: Camera) -> None:
    for (bright, scale), (dark, _) in zip(numbers(camera.picture()), numbers(camera.picture(gain=0)), strict=True):
        health = RgbHealth(RgbHealthSettings(full_scale=scale), SHAPE)
        assert health.judge(camera.frame(bright)) == ()
        assert "black" in only(health.judge(camera.frame(dark)))


def test_values_that_are_not_finite_are_a_doubt(camera: Camera) -> None:
    picture = next(numbers(camera.picture()))[0].copy()
    picture[3, 4] = np.nan
    assert "not finite" in only(RgbHealth(RgbHealthSettings(), SHAPE).judge(camera.frame(picture)))


@pytest.mark.parametrize("garbage", [0, 255])
def test_what_lies_in_pixels_that_were_not_measured_is_not_judged(camera: Camera, garbage: int) -> None:
    health = RgbHealth(RgbHealthSettings(), SHAPE)
    mask = np.ones(SHAPE, np.bool_)
    mask[:, : SHAPE[1] * 6 // 10] = False
    for number in range(8):
        picture = camera.picture(gain=1 if number < 7 else 0)
        picture[~mask] = garbage
        doubts = health.judge(replace(camera.frame(picture), mask=mask))
        assert doubts == () if number < 7 else "black" in only(doubts)


def test_a_frame_without_any_measurement_is_judged_without_failing(camera: Camera) -> None:
    picture = np.full((*SHAPE, 3), np.nan, np.float32)
    frame = replace(camera.frame(picture), mask=np.zeros(SHAPE, np.bool_))
    assert RgbHealth(RgbHealthSettings(), SHAPE).judge(frame) == ()


def test_the_tiniest_frames_are_judged_without_blur(rng: np.random.Generator) -> None:
    health = RgbHealth(RgbHealthSettings(), (3, 2))
    for number in range(6):
        data = rng.integers(50, 200, (3, 2, 1)).astype(np.uint8)
        frame = SensorFrame(data=data, sequence=number, timestamp_ns=number, arrival_ns=0)
        assert health.judge(frame) == ()


@pytest.mark.parametrize(
    "wrong", [{"black": 0.0}, {"saturated": 1.5}, {"sharpness": -1.0}, {"frozen_frames": 1}, {"full_scale": 0.0}]
)
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="wanted"):
        RgbHealthSettings(**wrong)


def test_a_grey_picture_is_doubted_where_the_model_takes_three_channels(camera: Camera) -> None:
    health = RgbHealth(RgbHealthSettings(), SHAPE, channels=3)
    (doubt,) = health.judge(camera.frame(camera.picture()[:, :, :1]))
    assert "1 channels; the model takes 3" in doubt
    assert health.judge(camera.frame()) == ()
