from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from hsi_edge.errors import OutputError
from hsi_edge.io import read
from hsi_edge.live.frame_files import FrameFiles
from tests.hsi_edge.live.live_results import made_result

needs_rasterio = pytest.mark.skipif(
    importlib.util.find_spec("rasterio") is None, reason="rasterio is not installed, which writes GeoTIFF"
)


@pytest.mark.parametrize(("kind", "ending"), [("envi", ".img"), pytest.param("geotiff", ".tif", marks=needs_rasterio)])
def test_each_result_is_an_image_named_by_its_time_and_number_with_its_telemetry_beside_it(tmp_path, kind, ending):
    sink = FrameFiles(tmp_path, kind)
    for number in (0, 1):
        sink.take(made_result(number))
    sink.close()
    images = sorted(tmp_path.glob(f"*{ending}"))
    assert [image.stem for image in images] == ["20270115T080000.000Z-000000", "20270115T080000.100Z-000001"]
    result, cube = made_result(1), read(images[1])
    np.testing.assert_array_equal(cube.physical()[result.hr_hsi.mask], result.hr_hsi.data[result.hr_hsi.mask])
    np.testing.assert_array_equal(cube.wavelengths_nm, result.hr_hsi.wavelengths_nm)
    assert json.loads(images[1].with_suffix(".json").read_text())["number"] == 1


def test_a_folder_that_is_not_there_is_an_error_that_the_pipeline_can_count(tmp_path):
    sink = FrameFiles(tmp_path / "missing")
    for _ in range(2):
        with pytest.raises(OutputError, match="does not exist; create it first"):
            sink.take(made_result())


def test_a_result_that_could_not_be_written_leaves_nothing_half_done(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        FrameFiles(tmp_path).take(made_result())
    assert list(tmp_path.iterdir()) == []
