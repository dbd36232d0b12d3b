from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.reference_scenes import write_reference_scenes
from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError
from hsi_edge.resampling import Blur, degrade
from hsi_edge.scenes import read_scenes

BUNDLES = Path(__file__).parents[2] / "engines" / "bundles"


def test_written_scenes_are_read_back_as_the_pairs_that_every_comparison_uses(shared_data, tmp_path):
    written = list(write_reference_scenes(tmp_path / "scenes", shared_data, 16, "test"))
    scenes = read_scenes(tmp_path / "scenes", Bundle.open(BUNDLES / "fieldfuse-x16").manifest)
    assert [path.name for path in sorted(written)] == [scene.name for scene in scenes]
    clean = next(scene for scene in scenes if scene.name == "samson-clean")
    assert clean.hr_hsi is not None
    truth = np.moveaxis(np.asarray(clean.hr_hsi.data[...]), 2, 0)
    blur = Blur.gaussian(16.0, 16)
    lr_hsi = np.moveaxis(np.asarray(clean.lr_hsi.data[...]), 2, 0)
    # Away from the border, where nothing has to be assumed of what lies beyond it.
    np.testing.assert_allclose(
        lr_hsi[:, 1:-1, 1:-1], degrade(np.ascontiguousarray(truth), 16, blur)[:, 1:-1, 1:-1], atol=2e-3
    )
    assert clean.lr_hsi.wavelengths_nm is not None
    assert clean.lr_hsi.wavelengths_nm[[0, -1]].tolist() == [400, 700]


def test_missing_research_data_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere"):
        list(write_reference_scenes(tmp_path / "scenes", tmp_path / "nowhere", 8, "test"))
