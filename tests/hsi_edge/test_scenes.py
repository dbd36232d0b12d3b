from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io import write
from hsi_edge.png import encode_png
from hsi_edge.scenes import read_scenes
from tests.tiny_bundles import BANDS, fusion_manifest, lr_manifest


def lay(folder, **images):
    folder.mkdir(parents=True)
    for name, image in images.items():
        write(folder / name.replace("__", "."), Cube(data=image))
    return folder


def test_scenes_come_by_name_with_the_truth_where_it_is_known(tmp_path, rng):
    lr, msi, truth = rng.random((4, 4, BANDS)), rng.random((8, 8, 3)), rng.random((8, 8, BANDS))
    lay(tmp_path / "field", lr_hsi__npy=lr, hr_msi__npy=msi)
    lay(tmp_path / "airport", lr_hsi__hdr=lr, hr_hsi__npy=truth)
    (tmp_path / "airport" / "hr_msi.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    (tmp_path / "notes").mkdir()
    airport, field = read_scenes(tmp_path, fusion_manifest(2))
    assert (airport.name, field.name) == ("airport", "field")
    assert airport.hr_hsi is not None
    np.testing.assert_array_equal(airport.hr_hsi.data, truth)
    np.testing.assert_array_equal(np.asarray(airport.lr_hsi.data[...]), lr)
    assert airport.hr_msi is not None
    assert airport.hr_msi.data.shape == (8, 8, 3)
    assert field.hr_hsi is None


def test_a_single_image_model_reads_no_photograph(tmp_path, rng):
    lay(tmp_path / "field", lr_hsi__npy=rng.random((4, 4, BANDS)))
    (scene,) = read_scenes(tmp_path, lr_manifest(("lr_hsi",)))
    assert scene.hr_msi is None


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({}, "holds no scene; wanted SCENES/NAME/lr_hsi.hdr, hr_msi.png"),
        ({"hr_msi__npy": 3}, "holds no scene"),
        ({"lr_hsi__npy": BANDS}, "field has no hr_msi, which this model fuses; wanted SCENES/NAME"),
        ({"lr_hsi__npy": BANDS, "lr_hsi__hdr": BANDS, "lr_hsi__tif": BANDS}, None),
        (
            {"lr_hsi__npy": BANDS, "lr_hsi__tif": BANDS},
            r"holds 2 files called lr_hsi: lr_hsi.npy, lr_hsi.tif; keep one",
        ),
    ],
)
def test_what_is_no_scene_is_named_with_the_layout(tmp_path, rng, images, message):
    lay(tmp_path / "field", **{name: rng.random((4, 4, bands)) for name, bands in images.items()})
    if message is None:
        # An ENVI image is its header, whatever else lies there.
        message = "field has no hr_msi"
    with pytest.raises(InputError, match=message):
        read_scenes(tmp_path, fusion_manifest(2))


def test_a_missing_folder_says_what_was_wanted(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder of scenes at .*nowhere; wanted SCENES/NAME"):
        read_scenes(tmp_path / "nowhere", fusion_manifest(2))
