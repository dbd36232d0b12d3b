"""A flight file together with all that it names, as a recording carries them, so that it can be replayed anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hsi_edge.errors import InputError, RecordingError
from hsi_edge.live.flight import Flight, read_flight, with_paths
from hsi_edge.live.viewer.settings import ViewerSettings
from hsi_edge.radiometry import read_radiometry
from hsi_edge.records import plain_from_record, yaml_from_plain
from hsi_edge.registration.rig import Rig, yaml_from_rig
from hsi_edge.sensors.images import ImagesSettings
from hsi_edge.sensors.mosaic_calibration import read_mosaic
from hsi_edge.sensors.watched_folder import FolderSettings

FLIGHT, RIG = "flight.yaml", "rig.yaml"
_READERS: Mapping[str, Callable[[Path], Any]] = {
    "mosaic": read_mosaic,
    "rgb_radiometry": read_radiometry,
    "spectral_radiometry": read_radiometry,
}


def packed(flight: Flight, rig: Rig | None) -> dict[str, bytes]:
    """The files by name, `flight.yaml` first; bundles are named in it and not carried.

    What the flight file says of its sensors and of who may watch is left out: a replay needs neither, and both may hold
    passwords.
    """
    files: dict[str, bytes] = {} if rig is None else {RIG: yaml_from_rig(rig)}
    carried: dict[str, str] = {}
    for key, reader in _READERS.items():
        path = getattr(flight, key)
        if path is not None:
            files.update(_with_what_it_names(key, reader(Path(path))))
            carried[key] = f"{key}.yaml"
    bare = replace(
        with_paths(flight, lambda path: str(Path(path).resolve())),
        rgb=ImagesSettings(source="images", folder="."),
        spectral=FolderSettings(source="folder", path="."),
        rig=None if rig is None else RIG,
        simulation=None,
        record=None,
        frame_files=None,
        shared_memory=None,
        view=ViewerSettings(),
    )
    plain = cast("dict[str, object]", plain_from_record(bare)) | carried
    return {FLIGHT: yaml_from_plain(plain), **files}


def unpacked(files: Mapping[str, bytes], folder: Path) -> Flight:
    """The flight that was packed; what it names is written into an empty folder.

    Raises:
        RecordingError: A file is missing, or its name leads out of the folder.
    """
    if FLIGHT not in files:
        raise RecordingError("the recording holds no flight file, so it cannot be replayed; another tool made it")
    for name, content in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise RecordingError(f"the recording holds a file named {name!r}, which leads elsewhere; do not use it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as err:
            raise RecordingError(f"cannot unpack {name!r} of the recording into {folder}: {err.strerror}") from err
    return read_flight(folder / FLIGHT)


def _with_what_it_names(key: str, settings: Any) -> dict[str, bytes]:
    """A calibration file, rewritten so that what it names lies beside it."""
    named: dict[str, bytes] = {}
    number = itertools.count()

    def carry(path: str) -> str:
        # Files of one name may come from two folders.
        folder = f"{key}/{next(number)}"
        for part in _parts(Path(path)):
            named[f"{folder}/{part.name}"] = _content(part)
        return f"{folder}/{Path(path).name}"

    beside = with_paths(settings, carry)
    return {f"{key}.yaml": yaml_from_plain(plain_from_record(beside)), **named}


def _parts(path: Path) -> list[Path]:
    """A file, and those beside it that share its name up to the first dot: an image may lie beside its header."""
    start = path.name.split(".")[0]
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return [path, *sorted(one for one in beside if one != path and one.is_file() and one.name.split(".")[0] == start)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise InputError(f"cannot read {path}, which a recording has to carry ({err.strerror}); check it") from err
