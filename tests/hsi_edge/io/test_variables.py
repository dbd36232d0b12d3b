from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.errors import InputError
from hsi_edge.io.variables import choose_cube, find_wavelengths, wavelengths_nm_from


def test_the_only_array_with_three_axes_is_the_cube():
    assert choose_cube({"labels": (4, 5), "anything": (4, 5, 6)}) == "anything"


def test_of_several_the_best_known_name_is_the_cube():
    assert choose_cube({"rgb": (8, 8, 3), "data": (4, 5, 6), "HSI": (4, 5, 6)}) == "HSI"


def test_several_unknown_names_are_listed_with_their_shapes():
    with pytest.raises(InputError, match=r"several arrays have 3 axes.*a \(4, 5, 6\), b \(4, 5, 3\).*'cube'"):
        choose_cube({"a": (4, 5, 6), "b": (4, 5, 3)})


def test_a_file_without_a_cube_lists_what_it_has():
    with pytest.raises(InputError, match=r"no array has 3 axes.*labels \(4, 5\)"):
        choose_cube({"labels": (4, 5)})
    with pytest.raises(InputError, match="numeric arrays in the file: none"):
        choose_cube({})


@pytest.mark.parametrize("shape", [(31,), (1, 31), (31, 1)])
def test_a_vector_of_the_right_length_and_name_holds_the_wavelengths(shape):
    assert find_wavelengths({"cube": (4, 5, 31), "Wavelength": shape}, 31) == "Wavelength"


def test_a_vector_of_another_length_or_name_does_not():
    assert find_wavelengths({"wavelength": (30,), "weights": (31,), "bands": (31, 2)}, 31) is None


def test_a_name_that_states_its_unit_counts_at_any_length():
    assert find_wavelengths({"raw": (4, 960, 1280), "wavelength_nm": (4,)}, 1280) == "wavelength_nm"


def test_the_name_may_state_the_unit_of_wavelengths():
    assert np.array_equal(wavelengths_nm_from("wavelength_nm", [[50.0, 60.0]]), [50.0, 60.0])
    assert np.array_equal(wavelengths_nm_from("wl", [0.45, 0.55]), [450.0, 550.0])
    assert wavelengths_nm_from("bands", np.arange(1, 32, dtype=np.uint8)) is None
