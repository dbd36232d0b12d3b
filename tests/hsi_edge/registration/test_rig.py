from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.errors import InputError, OutputError
from hsi_edge.registration.lens import Lens
from hsi_edge.registration.rig import Rig, read_rig, rig_from_yaml, write_rig, yaml_from_rig

MATRIX = np.array([[10.0, 0.1, 5.0], [-0.1, 10.0, 3.0], [0, 0, 1]])


def rig(**settings):
    return Rig(**{"lr_shape": (4, 6), "msi_shape": (50, 70), "msi_from_lr": MATRIX, **settings})


def some_bend():
    return np.linspace(-1, 1, 48).reshape(4, 6, 2).astype(np.float32)


numbers = st.floats(-1e3, 1e3)


@given(
    shift=st.tuples(numbers, numbers),
    scale=st.floats(0.1, 100),
    lens=st.none()
    | st.builds(Lens, centre_x=numbers, centre_y=numbers, radius_px=st.floats(1, 1e4), k1=numbers, k2=numbers),
    bent=st.booleans(),
    psf_fwhm_lr=st.floats(0.1, 4),
)
def test_a_rig_comes_back_from_its_file_bit_for_bit(shift, scale, lens, bent, psf_fwhm_lr):
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]])
    written = rig(
        msi_from_lr=matrix, lens=lens, bend=some_bend() if bent else None, psf_fwhm_lr=psf_fwhm_lr, std_lr=0.01
    )
    back = rig_from_yaml(yaml_from_rig(written))
    np.testing.assert_array_equal(back.msi_from_lr, written.msi_from_lr)
    assert (back.lr_shape, back.msi_shape, back.lens) == (written.lr_shape, written.msi_shape, written.lens)
    assert (back.psf_fwhm_lr, back.std_lr) == (written.psf_fwhm_lr, written.std_lr)
    if bent:
        np.testing.assert_array_equal(back.bend, written.bend)
    else:
        assert back.bend is None


def test_points_go_through_bend_matrix_and_lens_in_that_order():
    bend = np.zeros((4, 6, 2), np.float32)
    bend[..., 0] = 0.5
    lens = Lens(centre_x=30, centre_y=20, radius_px=40, k1=0.1)
    x, y = 10 * 2.0 + 0.1 * 1.0 + 5, -0.1 * 2.0 + 10 * 1.0 + 3
    stretch = 1 + 0.1 * ((x - 30) ** 2 + (y - 20) ** 2) / 40**2
    wanted = [30 + (x - 30) * stretch, 20 + (y - 20) * stretch]
    np.testing.assert_allclose(rig(bend=bend, lens=lens).msi_points(np.array([[1.5, 1.0]])), [wanted])


def test_a_bend_is_interpolated_between_the_middles_of_pixels():
    bend = np.zeros((4, 6, 2), np.float32)
    bend[1, 2, 1] = 1.0
    points = rig(msi_from_lr=np.eye(3), bend=bend).msi_points(np.array([[2.5, 1.5], [3.0, 1.5], [2.5, 1.75]]))
    np.testing.assert_allclose(points, [[2.5, 2.5], [3.0, 2.0], [2.5, 2.5]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "update hsi-edge"),
        ({"lr_shape": [4]}, "wanted rows and columns"),
        ({"lr_shape": [0, 6]}, "lr_shape is"),
        ({"msi_from_lr": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "line or behind"),
        ({"msi_from_lr": [[1, 0, 0], [0, 1, 0], [-1, 0, 1]]}, "line or behind"),
        ({"msi_from_lr": [[1, 0], [0, 1]]}, "not 3 x 3"),
        ({"std_lr": float("nan")}, "finite number"),
        ({"psf_fwhm_lr": 0}, "psf_fwhm_lr is 0"),
        ({"bend": "AAAA"}, "bend is damaged"),
        ({"bend": "eJwDAAAAAAE="}, "bend holds"),
        ({"tilt": 3}, "unknown key tilt"),
    ],
)
def test_a_file_that_is_no_rig_is_refused_by_what_is_wrong(change, message, tmp_path):
    plain = yaml.safe_load(yaml_from_rig(rig())) | change
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(InputError, match=message):
        read_rig(tmp_path / "rig.yaml")


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="hsi-edge register"):
        read_rig(tmp_path / "none.yaml")


def test_a_rig_is_written_whole_or_not_at_all(tmp_path):
    write_rig(tmp_path / "rig.yaml", rig())
    assert read_rig(tmp_path / "rig.yaml").lr_shape == (4, 6)
    with pytest.raises(OutputError):
        write_rig(tmp_path / "no" / "rig.yaml", rig())
    assert [path.name for path in tmp_path.iterdir()] == ["rig.yaml"]


@pytest.mark.parametrize(
    "settings",
    [{"bend": np.zeros((3, 6, 2))}, {"bend": np.full((4, 6, 2), np.nan)}, {"msi_from_lr": np.full((3, 3), np.inf)}],
)
def test_impossible_rigs_are_refused(settings):
    with pytest.raises(InputError):
        rig(**settings)
