"""Spectral files that another program puts into a folder, each taken once it is complete.

Polled: inotify says nothing of files that another machine writes over the network.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from hsi_edge.errors import InputError, SensorError, SensorTimeout
from hsi_edge.host_clock import host_time_ns
from hsi_edge.io import read
from hsi_edge.io.envi import DATA_ENDINGS
from hsi_edge.io.formats import READERS
from hsi_edge.sensors.cube_frames import frame_from_cube
from hsi_edge.sensors.frame import SensorFrame

_log = logging.getLogger(__name__)

_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", "~")
_POLL_S = 0.05
_GIVE_UP_S = 5.0

Stamp = tuple[tuple[str, int, int], ...]  # name, size and mtime_ns of every file of an image


@dataclass(frozen=True, kw_only=True)
class FolderSettings:
    """A folder that spectral files appear in.

    Attributes:
        path: Of the folder.
        pattern: Which names to take, as in a shell: `flight7_*.hdr`.
        existing: Whether to take the files, too, that are there when it is opened.
        settle_s: A file is complete when it has not changed for so long and can be read.
    """

    source: Literal["folder"]
    path: str
    pattern: str = "*"
    existing: bool = False
    settle_s: float = 0.2


@dataclass
class _Candidate:
    """An image that was not taken yet.

    Attributes:
        files: The one to read; for ENVI, the data files, too, that the header may belong to.
        stamp: How they look.
        since_ns: Since when they have looked so.
        failed: Whether reading it failed, as it looks now.
    """

    files: list[Path]
    stamp: Stamp
    since_ns: int
    failed: bool = False


class FolderSource:
    """Files of any format in `hsi_edge.io`, oldest first, each name once. An ENVI image goes by its header's name.

    Hidden files and those with endings of unfinished ones (`.part`, `.tmp`) are left alone, as is everything that is
    no image. A file that has not changed for 5 s and still cannot be read is damaged: it is left out, and its place in
    the sequence stays empty.

    Attributes:
        refused: Damaged files.
        error: The latest one, and why; empty if none.

    Args:
        settings: Which folder and files.
        clock: Gives host time in nanoseconds.
        wait: Waits so many seconds, and says whether it was stopped meanwhile; None for the real time.

    Raises:
        InputError: If the time to settle is negative.
    """

    def __init__(
        self,
        settings: FolderSettings,
        clock: Callable[[], int] = host_time_ns,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        if not settings.settle_s >= 0:
            raise InputError(f"settle_s is {settings.settle_s}; wanted seconds, 0 or more")
        self._settings = settings
        self._folder = Path(settings.path)
        self._clock = clock
        self._given_wait = wait
        self._stop: threading.Event | None = None
        self._done: set[str] = set()
        self._candidates: dict[str, _Candidate] = {}
        self._sequence = 0
        self.refused = 0
        self.error = ""

    def open(self) -> None:
        """Look at what is there.

        Raises:
            SensorError: If the folder is missing, or cannot be listed.
        """
        self.close()
        images = self._images(self._names())
        self._done = set() if self._settings.existing else {file.name for files in images for file in files}
        self._candidates = {}
        self._sequence = 0
        self._stop = threading.Event()

    def read(self, timeout_s: float) -> SensorFrame:
        """Return the next complete file; see `Source`."""
        stop = self._stop
        if stop is None:
            raise SensorError(f"the folder {self._folder} is not open; open it first")
        wait = self._given_wait or stop.wait
        deadline_ns = self._clock() + round(timeout_s * 1e9)
        while True:
            started_s = time.perf_counter()
            frame = self._next_frame()
            if frame is not None:
                return frame
            left_s = (deadline_ns - self._clock()) / 1e9
            if left_s <= 0:
                raise SensorTimeout(self._silence(timeout_s))
            # A folder of many files takes long to list, and must not keep the machine busy.
            pause_s = max(_POLL_S, 5 * (time.perf_counter() - started_s))
            if wait(min(pause_s, left_s)) or stop.is_set():
                raise SensorError(f"the folder {self._folder} is closed; open it first")

    def close(self) -> None:
        """Stop looking."""
        if self._stop is not None:
            self._stop.set()
        self._stop = None

    def _next_frame(self) -> SensorFrame | None:
        """Take the oldest image that is complete, if one is."""
        for candidate in self._settled():
            has_time = self._clock() - candidate.since_ns < _GIVE_UP_S * 1e9
            if candidate.failed and has_time:
                continue
            frame = None
            try:
                frame = self._frame(candidate)
            except InputError as err:
                candidate.failed = True
                if has_time:
                    continue
                self.refused += 1
                self.error = str(err)
                _log.warning("%s; it is left out", err)
            self._sequence += 1
            self._done.update(file.name for file in candidate.files)
            del self._candidates[candidate.files[0].name]
            if frame is not None:
                return frame
        return None

    def _frame(self, candidate: _Candidate) -> SensorFrame:
        path = candidate.files[0]
        try:
            cube = read(path)
            timestamp_ns = _mtime_ns(candidate.stamp) if cube.timestamp_ns is None else cube.timestamp_ns
            frame = frame_from_cube(cube, timestamp_ns=timestamp_ns, sequence=self._sequence, arrival_ns=self._clock())
        except OSError as err:
            raise InputError(f"cannot read {path}: {err}") from err
        if _stamp(candidate.files) != candidate.stamp:
            raise InputError(f"{path} changed while it was read; give every frame a file of its own")
        return frame

    def _settled(self) -> list[_Candidate]:
        """Images that have not changed for a while, oldest first."""
        now_ns = self._clock()
        names = self._names()
        # A name that is gone may come again, as a new file; and what is gone must not be remembered for ever.
        self._done &= names
        candidates: dict[str, _Candidate] = {}
        for files in self._images(names - self._done):
            stamp, known = _stamp(files), self._candidates.get(files[0].name)
            if stamp and known is not None and known.stamp == stamp:
                candidates[files[0].name] = known
            elif stamp:
                candidates[files[0].name] = _Candidate(files, stamp, now_ns)
        self._candidates = candidates
        settled = [each for each in candidates.values() if now_ns - each.since_ns >= self._settings.settle_s * 1e9]
        return sorted(settled, key=lambda each: (_mtime_ns(each.stamp), each.files[0].name))

    def _names(self) -> set[str]:
        try:
            return set(os.listdir(self._folder))  # noqa: PTH208 - a Path for each of some ten thousand takes long
        except OSError as err:
            raise SensorError(
                f"cannot list the folder {self._folder} ({err.strerror}); check that it is there"
            ) from err

    def _images(self, names: set[str]) -> list[list[Path]]:
        """The files of each image among these names, as in `_Candidate.files`."""
        names = {name for name in names if not name.startswith(".") and not name.lower().endswith(_UNFINISHED)}
        owned: dict[str, list[str]] = {}  # by what stands before the .hdr of a header
        for name in sorted(names):
            bare = name[: -len(_ending(name))] if _ending(name) in DATA_ENDINGS else name
            for stem in {name, bare}:
                owned.setdefault(stem, []).append(name)
        images = []
        for name in names:
            is_header = _ending(name) == ".hdr"
            data = owned.get(name[: -len(".hdr")], []) if is_header else []
            is_wanted = any(fnmatch(each, self._settings.pattern) for each in (name, *data))
            if is_wanted and (bool(data) if is_header else _is_image(self._folder / name)):
                images.append([self._folder / each for each in (name, *data)])
        return images

    def _silence(self, timeout_s: float) -> str:
        waiting = ", ".join(sorted(self._candidates)[:3])
        state = f"not complete yet: {waiting}" if waiting else "no new file"
        return f"the folder {self._folder}: {state} within {timeout_s:g} s"


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - names, not paths


def _is_image(path: Path) -> bool:
    ending = _ending(path.name)
    if ending in READERS:
        return ending not in DATA_ENDINGS
    with suppress(OSError):
        return path.is_dir() and any(_ending(name) == ".png" for name in os.listdir(path))  # noqa: PTH208 - as above
    return False


def _mtime_ns(stamp: Stamp) -> int:
    return max(mtime_ns for _, _, mtime_ns in stamp)


def _stamp(files: list[Path]) -> Stamp:
    """Sizes and times of all files, and of the files in a folder; empty if one has just gone, or is empty."""
    found = []
    try:
        for file in (member for path in files for member in _members(path)):
            status = file.stat()
            if status.st_size == 0:
                return ()
            found.append((str(file), status.st_size, status.st_mtime_ns))
    except OSError:
        return ()
    return tuple(sorted(found))


def _members(path: Path) -> Iterator[Path]:
    return (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else iter((path,))
