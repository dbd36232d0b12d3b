"""The files of one recording, one after the other, and what a crash left in their folder."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone
from io import FileIO
from pathlib import Path

from hsi_edge.errors import RecordingError
from hsi_edge.host_clock import host_time_ns
from hsi_edge.io.atomic import flush_folder
from hsi_edge.live.mcap_file import McapFile, Stored
from hsi_edge.live.repair import finished, lock, repair
from hsi_edge.live.setup import Setup

ENDING = ".mcap"


def utc_name(time_ns: int) -> str:
    """A moment as a part of a file's name that sorts by time: `20260417T093015.250Z`."""
    moment = datetime.fromtimestamp(time_ns // 10**9, timezone.utc)
    return f"{moment:%Y%m%dT%H%M%S}.{time_ns // 10**6 % 1000:03d}Z"


class FileSeries:
    """Writes a recording into files of limited size, each of which can be read by itself.

    Args:
        folder: Where they go; it exists.
        setup: What each begins with.
        file_bytes: The size beyond which the next one is begun.

    Raises:
        OSError: If the first file cannot be created.
    """

    def __init__(self, folder: Path, setup: Setup, file_bytes: int) -> None:
        self._folder = folder
        self._setup = setup
        self._file_bytes = file_bytes
        self._name = utc_name(host_time_ns())
        self._number = 0
        self._finished_bytes = 0
        self._open_next()

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self._path

    @property
    def n_bytes(self) -> int:
        """Bytes in all files."""
        return self._finished_bytes + self._mcap.size

    def add(self, message: Stored) -> None:
        """Add a message; it is on the disk after the next `sync`.

        Raises:
            OSError: From the disk; only `close` may follow.
        """
        self._mcap.add(message)

    def sync(self) -> None:
        """Bring all that was added onto the disk.

        Raises:
            OSError: From the disk; only `close` may follow.
        """
        self._mcap.sync()

    def turn_over(self) -> bool:
        """Go on to the next file if this one is large enough, after `sync`.

        Returns:
            Whether it did.

        Raises:
            OSError: From the disk; only `close` may follow.
        """
        if self._mcap.size < self._file_bytes:
            return False
        self.close()
        self._finished_bytes += self._mcap.size
        self._open_next()
        return True

    def close(self, *, failed: bool = False) -> None:
        """Finish the last file; does nothing if that has been done.

        Args:
            failed: An error of the disk came before: what is on it is to be made readable, if it still takes that.

        Raises:
            OSError: From the disk, unless an error came before.
        """
        if self._file.closed:
            return
        try:
            self._mcap.finish(drop_waiting=failed)
        except OSError:
            if not failed:
                raise
        finally:
            with suppress(OSError):
                self._file.close()

    def _open_next(self) -> None:
        self._number += 1
        path = self._folder / f"{self._name}-{self._number:04d}{ENDING}"
        if path.exists():
            raise FileExistsError(f"{path} is there already; is the clock of this device set back?")
        # Its final name only when its beginning is on the disk: a file of that name can always be read.
        unfinished = _unfinished(path)
        file = FileIO(unfinished, "x+")
        try:
            lock(file)
            self._mcap = McapFile(file, self._setup, host_time_ns())
            unfinished.rename(path)
        except BaseException:
            file.close()
            unfinished.unlink(missing_ok=True)
            raise
        self._file, self._path = file, path
        flush_folder(self._folder)


def repair_folder(folder: Path) -> None:
    """Repair what a crash left in a folder; files that are no recordings, or are being recorded, stay as they are."""
    for path in sorted(folder.glob(f"*{ENDING}")):
        with suppress(RecordingError):
            if not finished(path):
                repair(path)
    for path in folder.glob(_unfinished(folder / f"*{ENDING}").name):
        with suppress(OSError), path.open("rb+") as file:
            if lock(file):
                path.unlink()


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
