"""Finding a reflectance panel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.errors import InputError
from hsi_edge.radiometry.panel import find_panel
from hsi_edge.radiometry.settings import PanelRegion


def ground(rng, bands=3):
    return rng.normal(100, 20, (120, 160, bands)).astype(np.float32)


@given(top=st.integers(0, 79), left=st.integers(0, 109), height=st.integers(20, 40), width=st.integers(20, 50))
def test_the_rectangle_lies_within_the_panel_and_covers_most_of_it(top, left, height, width):
    rng = np.random.default_rng(5)
    data = ground(rng)
    panel = data[top : top + height, left : left + width]
    panel[:] = 600 + rng.normal(0, 6, panel.shape)
    region = find_panel(data)
    assert top <= region.first_row < region.end_row <= top + height
    assert left <= region.first_col < region.end_col <= left + width
    covered = (region.end_row - region.first_row) * (region.end_col - region.first_col)
    assert covered > 0.5 * panel.shape[0] * panel.shape[1]


def test_what_is_bright_in_one_band_alone_is_no_panel(rng):
    data = ground(rng)
    data[10:60, 10:60, 2] = 1000
    data[70:100, 100:140] = 600
    region = find_panel(data)
    assert region.first_row >= 70
    assert region.first_col >= 100


def test_a_saturated_surface_is_no_panel(rng):
    data = ground(rng)
    data[10:60, 10:60] = np.nan
    data[70:100, 100:140] = 600
    assert find_panel(data).first_row >= 70


def test_a_frame_without_a_panel_is_told(rng):
    with pytest.raises(InputError, match=r"no panel was found.*white\.regions"):
        find_panel(ground(rng))


def test_an_even_frame_has_no_panel():
    with pytest.raises(InputError, match="no panel was found"):
        find_panel(np.full((64, 64, 2), 500, np.float32))


def test_a_region_counts_its_end_out():
    data = np.full((64, 64, 1), 10, np.float32)
    data[20:40, 20:40] = 100
    assert find_panel(data) == PanelRegion(first_row=22, end_row=38, first_col=22, end_col=38)
