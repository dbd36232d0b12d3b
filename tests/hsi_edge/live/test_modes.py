from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.errors import InputError
from hsi_edge.live.modes import ModeChoice, ModeSettings
from hsi_edge.registration.refine import Refinement

LIES_WELL = Refinement()
LIES_BADLY = Refinement(trusted=False, doubts=("no texture",))

Look = tuple[str, tuple[str, ...], Refinement | None]
GOOD: Look = ("", (), LIES_WELL)
bad = st.sampled_from(
    [
        ("no RGB frame near in time", (), None),
        ("", ("the RGB frame is black",), None),
        ("", ("the RGB frame is blurred", "frozen"), LIES_WELL),
        ("", (), LIES_BADLY),
        ("", (), Refinement(trusted=False)),
        ("", (), None),
    ]
)
looks = st.lists(st.one_of(st.just(GOOD), bad), max_size=30)


@given(looks, st.integers(1, 5), st.booleans())
def test_a_frame_is_fused_exactly_when_it_is_good_and_so_were_those_since_the_last_bad_one(
    frames: list[Look], needed: int, has_single: bool
) -> None:
    modes = ModeChoice(ModeSettings(good_frames_back=needed), has_single=has_single)
    needed = needed if has_single else 1
    good_in_a_row = needed  # at the start there is nothing to come back from
    for frame in frames:
        mode, reason = modes.choose(*frame)
        good_in_a_row = good_in_a_row + 1 if frame == GOOD else 0
        assert (mode == "fusion") == (good_in_a_row >= needed)
        assert (reason == "") == (mode == "fusion")
        assert mode in ("fusion", "single" if has_single else None)


@given(looks)
def test_the_mode_changes_at_most_once_in_so_many_frames_as_it_waits(frames: list[Look]) -> None:
    modes = ModeChoice(ModeSettings(good_frames_back=4))
    made = [modes.choose(*frame)[0] for frame in frames]
    back = [n for n in range(1, len(made)) if made[n] == "fusion" != made[n - 1]]
    assert all(later - earlier >= 4 for earlier, later in pairwise(back))


def test_the_reason_says_what_is_the_matter_and_how_far_the_way_back_is() -> None:
    modes = ModeChoice(ModeSettings())
    assert modes.choose("RGB is lost", (), None) == ("single", "RGB is lost")
    assert modes.choose("", ("black", "frozen"), None) == ("single", "black; frozen")
    assert modes.choose("", (), LIES_BADLY) == ("single", "RGB is not registered: no texture")
    assert modes.choose("", (), None) == ("single", "RGB is not registered")
    assert modes.choose(*GOOD) == ("single", "RGB is back: 1 of 3 good frames")
    assert modes.choose(*GOOD) == ("single", "RGB is back: 2 of 3 good frames")
    assert modes.choose(*GOOD) == ("fusion", "")


def test_without_a_single_image_model_a_bad_frame_means_no_result_and_the_next_good_one_is_fused() -> None:
    modes = ModeChoice(ModeSettings(), has_single=False)
    assert modes.choose("RGB is lost", (), None) == (None, "RGB is lost")
    assert modes.choose(*GOOD) == ("fusion", "")


def test_zero_good_frames_are_refused() -> None:
    with pytest.raises(InputError, match="wanted 1 or more"):
        ModeSettings(good_frames_back=0)
