from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.io.wavelengths import in_nm, nm_per_unit, wavelengths_nm_from_names


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("nm", 1.0),
        ("Nanometers", 1.0),
        ("nanometre", 1.0),
        ("Micrometers", 1000.0),
        ("µm", 1000.0),
        ("um", 1000.0),
        (" microns ", 1000.0),
        ("Angstroms", 0.1),
        ("m", 1e9),
    ],
)
def test_units_are_known_in_their_usual_spellings(unit, factor):
    assert nm_per_unit(unit, [1.0]) == factor


@pytest.mark.parametrize("unit", ["Index", "Wavenumber", "GHz"])
def test_a_unit_that_is_no_length_gives_no_wavelengths(unit):
    assert nm_per_unit(unit, [500.0, 600.0]) is None


@pytest.mark.parametrize(
    ("values", "factor"),
    [
        ([400.0, 2500.0], 1.0),
        ([0.4, 2.5], 1000.0),
        ([8.1, 11.9], 1000.0),
        ([1.0, 2.0, 3.0], None),
        ([90.0, 110.0], None),
        ([0.0, 0.5], None),
        ([float("nan"), 500.0], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("unit", ["", "Unknown"])
def test_without_a_unit_the_size_tells_nanometres_from_micrometres_and_band_numbers(unit, values, factor):
    assert nm_per_unit(unit, values) == factor


def test_micrometres_become_clean_nanometres():
    assert in_nm([0.5537, 0.55], 1000.0).tolist() == [553.7, 550.0]


@pytest.mark.parametrize(
    ("name", "wavelength_nm"),
    [
        ("550.0 nm", 550.0),
        ("Band 12 (0.55 Micrometers)", 550.0),
        ("b3: 612.5nm", 612.5),
        ("1.2e3 Nanometers", 1200.0),
        ("0.8 µm", 800.0),
    ],
)
def test_a_band_name_tells_its_wavelength(name, wavelength_nm):
    assert np.array_equal(wavelengths_nm_from_names([name]), [wavelength_nm])


def test_names_are_left_alone_unless_each_holds_a_wavelength():
    assert wavelengths_nm_from_names(["550 nm", "alpha"]) is None
    assert wavelengths_nm_from_names(["B2 (10 m)", "B3 (10 m)"]) is None
    assert wavelengths_nm_from_names([]) is None
