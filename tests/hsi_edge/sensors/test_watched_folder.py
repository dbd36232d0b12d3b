from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, SensorError, SensorTimeout
from hsi_edge.io import write
from hsi_edge.sensors import watched_folder
from hsi_edge.sensors.watched_folder import FolderSettings, FolderSource
from tests.hsi_edge.sensors.fake_time import FakeTime
from tests.hsi_edge.sensors.source_contract import Case

WAVELENGTHS_NM = np.array([450.0, 550.0, 650.0, 750.0])


def cube(value, **changes):
    facts = {"data": np.full((3, 5, 4), value, np.uint16), "wavelengths_nm": WAVELENGTHS_NM, "quantity": "reflectance"}
    return Cube(**facts | changes)


def drop_in(folder, name, value, mtime_s=None, **changes):
    """Write an image elsewhere, and move it in as a careful program does."""
    outside = folder.parent / f"outside-{folder.name}"
    outside.mkdir(exist_ok=True)
    write(outside / name, cube(value, **changes))
    for file in sorted(outside.iterdir(), reverse=True):
        if mtime_s is not None:
            os.utime(file, (mtime_s, mtime_s))
        file.replace(folder / file.name)


def contract_case(folder, stack):
    watched = folder / "watched"
    watched.mkdir()
    count = iter(range(100))

    def feed():
        for _ in range(3):
            number = next(count)
            drop_in(watched, f"frame{number:03}.img", number, mtime_s=1_700_000_000 + number)

    settings = FolderSettings(source="folder", path=str(watched), settle_s=0.05)
    missing = FolderSource(FolderSettings(source="folder", path=str(folder / "nowhere")))
    return Case(source=FolderSource(settings), n_frames=3, ends=False, feed=feed, missing=missing)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "watched").mkdir()
    return tmp_path / "watched"


@pytest.fixture
def fake():
    return FakeTime()


@pytest.fixture
def watch(folder, fake):
    """Opens a source over the folder whose time goes only when it waits."""
    made = []

    def watch(**changes):
        source = FolderSource(FolderSettings(source="folder", path=str(folder), **changes), fake.now, fake.wait)
        source.open()
        made.append(source)
        return source

    yield watch
    for source in made:
        source.close()


def values(source, count):
    return [float(source.read(1).data.flat[0]) for _ in range(count)]


def assert_silent(source, timeout_s=1.0):
    with pytest.raises(SensorTimeout):
        source.read(timeout_s)


def test_an_image_comes_with_its_metadata(watch, folder):
    source = watch()
    drop_in(folder, "a.img", 7, mask=np.arange(15).reshape(3, 5) > 0, nodata=0)
    frame = source.read(1)
    assert frame.data.shape == (3, 5, 4)
    assert frame.quantity == "reflectance"
    assert frame.sequence == 0
    np.testing.assert_array_equal(frame.wavelengths_nm, WAVELENGTHS_NM)
    assert np.isnan(frame.data[0, 0]).all()
    assert frame.data[1, 1, 0] == 7


def test_the_time_is_the_images_own_or_that_of_the_file(watch, folder):
    source = watch()
    drop_in(folder, "a.img", 1, mtime_s=1_700_000_000, timestamp_ns=1_600_000_000_000_000_000)
    drop_in(folder, "b.img", 1, mtime_s=1_700_000_001)
    assert source.read(1).timestamp_ns == 1_600_000_000_000_000_000
    assert source.read(1).timestamp_ns == 1_700_000_001_000_000_000


def test_the_oldest_comes_first_and_each_once(watch, folder):
    source = watch()
    for name, value, mtime_s in (("a.npy", 1, 300), ("b.img", 2, 100), ("c.bil", 3, 200)):
        drop_in(folder, name, value, mtime_s)
    assert values(source, 3) == [2, 3, 1]
    assert_silent(source)


def test_files_from_before_are_left_alone_unless_asked_for(watch, folder):
    drop_in(folder, "old.npy", 1)
    assert_silent(watch())
    source = watch(existing=True)
    assert values(source, 1) == [1]


def test_after_a_restart_only_new_files_come(watch, folder):
    source = watch()
    drop_in(folder, "a.npy", 1)
    assert values(source, 1) == [1]
    source.close()
    source.open()
    drop_in(folder, "b.npy", 2)
    assert values(source, 1) == [2]
    assert_silent(source)


def test_a_file_that_is_still_written_is_waited_for(watch, folder, fake):
    source = watch(settle_s=0.5)
    write(folder.parent / "whole.npy", cube(9))
    data = (folder.parent / "whole.npy").read_bytes()
    path = folder / "a.npy"
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(data), 50):
            file.write(data[start : start + 50])
            os.utime(path, ns=(fake.ns, fake.ns))
            assert_silent(source, 0.3)
    assert values(source, 1) == [9]
    assert source.refused == 0


@pytest.mark.parametrize("first", ["a.hdr", "a.img"])
def test_an_envi_image_is_taken_when_both_of_its_files_are_there(watch, folder, first):
    source = watch()
    outside = folder.parent
    write(outside / "a.img", cube(4))
    second = "a.img" if first == "a.hdr" else "a.hdr"
    shutil.copy(outside / first, folder / first)
    assert_silent(source)
    shutil.copy(outside / second, folder / second)
    assert values(source, 1) == [4]
    assert_silent(source)


def test_an_envi_image_whose_pixels_grow_slowly_is_waited_for(watch, folder):
    source = watch()
    write(folder.parent / "a.img", cube(4))
    shutil.copy(folder.parent / "a.hdr", folder / "a.hdr")
    data = (folder.parent / "a.img").read_bytes()
    (folder / "a.img").write_bytes(data[:40])
    assert_silent(source, 2.0)
    (folder / "a.img").write_bytes(data)
    assert values(source, 1) == [4]
    assert source.refused == 0


def test_hidden_and_unfinished_names_and_other_files_are_left_alone(watch, folder):
    source = watch()
    write(folder.parent / "a.npy", cube(4))
    for name in (".a.npy", "a.npy.part", "b.npy.tmp", "c.npy~", "notes.txt", "a.json"):
        shutil.copy(folder.parent / "a.npy", folder / name)
    (folder / "empty").mkdir()
    (folder / "zero.npy").touch()
    assert_silent(source, 8.0)
    (folder / "a.npy.part").rename(folder / "a.npy")
    assert values(source, 1) == [4]
    assert source.refused == 0


def test_a_damaged_file_is_counted_once_and_does_not_stop_the_stream(watch, folder, caplog):
    source = watch()
    (folder / "bad.npy").write_bytes(b"\x93NUMPY" + bytes(50))
    drop_in(folder, "good.npy", 5)
    assert values(source, 1) == [5]
    assert_silent(source, 10.0)
    assert_silent(source, 10.0)
    assert source.refused == 1
    assert "bad.npy" in source.error
    assert caplog.text.count("bad.npy") == 1
    drop_in(folder, "next.npy", 6)
    frame = source.read(1)
    assert frame.sequence == 2


def test_a_file_that_changes_while_it_is_read_is_read_again(watch, folder, monkeypatch):
    source = watch()
    whole = watched_folder.read
    drop_in(folder, "a.npy", 5)

    def read_and_change(path):
        monkeypatch.setattr(watched_folder, "read", whole)
        found = whole(path)
        os.utime(path, (1_800_000_000, 1_800_000_000))
        return found

    monkeypatch.setattr(watched_folder, "read", read_and_change)
    frame = source.read(2)
    assert frame.timestamp_ns == 1_800_000_000_000_000_000
    assert source.refused == 0


def test_the_pattern_chooses_by_the_name_of_header_or_pixels(watch, folder):
    source = watch(pattern="*.bil")
    drop_in(folder, "a.bil", 1)
    drop_in(folder, "b.npy", 2)
    assert values(source, 1) == [1]
    assert_silent(source)


def test_a_name_that_went_away_may_come_again(watch, folder):
    source = watch()
    drop_in(folder, "a.npy", 1)
    assert values(source, 1) == [1]
    (folder / "a.npy").unlink()
    assert_silent(source)
    drop_in(folder, "a.npy", 2)
    assert values(source, 1) == [2]


def test_zarr_and_band_stacks_are_folders_that_are_images(watch, folder):
    pytest.importorskip("zarr", reason="reading Zarr needs zarr")
    import cv2

    source = watch()
    drop_in(folder, "a.zarr", 3, mtime_s=100)
    assert values(source, 1) == [3]
    stack = folder.parent / "stack"
    stack.mkdir()
    for band in range(3):
        cv2.imwrite(str(stack / f"band_{band}.png"), np.full((3, 5), band + 1, np.uint8))
    stack.rename(folder / "stack")
    frame = source.read(1)
    assert frame.data[0, 0].tolist() == [1, 2, 3]


def test_bands_are_put_in_the_order_of_their_wavelengths_and_types_fit(watch, folder):
    source = watch()
    data = np.arange(60, dtype=np.int16).reshape(3, 5, 4)
    drop_in(folder, "a.img", 0, data=data, wavelengths_nm=WAVELENGTHS_NM[::-1])
    frame = source.read(1)
    np.testing.assert_array_equal(frame.wavelengths_nm, WAVELENGTHS_NM)
    assert frame.data.dtype == np.float32
    np.testing.assert_array_equal(frame.data, data[:, :, ::-1])
    drop_in(folder, "b.img", 0, data=np.full((3, 5, 4), 2**30, np.int32))
    assert_silent(source, 10.0)
    assert "beyond 16777216" in source.error


def test_a_folder_that_goes_away_is_a_lost_sensor(watch, folder):
    source = watch()
    folder.rmdir()
    with pytest.raises(SensorError, match="cannot list the folder"):
        source.read(1)


def test_a_negative_time_to_settle_is_refused():
    with pytest.raises(InputError, match="settle_s"):
        FolderSource(FolderSettings(source="folder", path=".", settle_s=-1.0))
