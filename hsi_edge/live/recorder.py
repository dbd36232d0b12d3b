"""The recorder: raw frames, telemetry and more go into MCAP files, so that a crash costs a second and no more."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError, RecordingError
from hsi_edge.host_clock import host_time_ns
from hsi_edge.live.mcap_file import Stored
from hsi_edge.live.recording_files import FileSeries, repair_folder
from hsi_edge.live.result import LiveResult
from hsi_edge.live.setup import Setup
from hsi_edge.live.status import RecordingStatus
from hsi_edge.live.topics import (
    RESERVED_NAMES,
    Outputs,
    frame_message,
    output_message,
    tag_message,
    tag_topic,
    telemetry_message,
)
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.stream import Stream

_MIB = 2**20
# What was accepted is on the disk this much later, and the time that the disk takes.
_SYNC_S = 0.2
_CAUSES = {
    errno.ENOSPC: "the disk is full; free some space, or record to another one",
    errno.EDQUOT: "the disk quota is used up; free some space, or record elsewhere",
    errno.EFBIG: "the file system takes no file as large; set a smaller file_mib",
    errno.EIO: "the disk does not work, or was unplugged; check it and its cable",
    errno.ENODEV: "the disk was unplugged; plug it in again",
    errno.EROFS: "the disk turned read-only, as it does when it is damaged; check it",
    errno.EACCES: "no permission to write there; change the folder's rights, or record to a folder of your own",
    errno.EPERM: "the system does not permit it; change the folder's rights, or record to a folder of your own",
}


@dataclass(frozen=True, kw_only=True)
class RecorderSettings:
    """Where to and how to record.

    Attributes:
        folder: The one above it must exist.
        outputs: Whether results are recorded too, and how their numbers are kept; frames and telemetry always are.
        file_mib: Size beyond which the next file is begun.
        reserve_mib: Recording stops when the disk has less room left than that.
        queue_mib: Memory for what waits for the disk; what does not fit is refused.
    """

    folder: str
    outputs: Outputs = "none"
    file_mib: int = 1024
    reserve_mib: int = 1024
    queue_mib: int = 256

    def __post_init__(self) -> None:
        if self.file_mib < 1 or self.queue_mib < 1:
            raise InputError(f"file_mib is {self.file_mib} and queue_mib {self.queue_mib}; wanted 1 or more")
        if self.reserve_mib < 2 * self.queue_mib:
            raise InputError(
                f"reserve_mib is {self.reserve_mib}; wanted twice queue_mib ({self.queue_mib}) or more, as what waits "
                "is still written when the recorder stops"
            )


@dataclass(frozen=True)
class _Waiting:
    """What is on its way to the disk: a frame becomes bytes on the recorder's thread, not on the sensor's."""

    message: Callable[[], Stored]
    n_bytes: int
    is_frame: bool
    since_s: float


class Recorder:
    """Records while it is on; a sink for results, and a place for raw frames and tags.

    All methods may be called from any thread. What it accepted is on the disk about a quarter of a second later, if the
    disk keeps up; `status` counts what is there. An error of the disk turns it off, and disturbs nobody else.

    Args:
        settings: Where to and how.
        setup: What each file begins with.
    """

    name = "recorder"

    def __init__(self, settings: RecorderSettings, setup: Setup | None = None) -> None:
        self._settings = settings
        self._setup = setup or Setup()
        self._switch = threading.Lock()
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._accepting = False
        self._accepted = 0
        self._unsafe_since_s: float | None = None
        self._thread: threading.Thread | None = None
        self._status = RecordingStatus()
        self.missed = 0
        """Frames that came while it was on and are not recorded: the disk did not keep up, or failed."""

    def start(self) -> None:
        """Begin a new recording; does nothing while one is on. Repairs what a crash left in the folder.

        Raises:
            RecordingError: If there is no place for the folder, no permission to write, or no room; says what to do.
            MissingPackageError: If a package is not installed.
        """
        with self._switch:
            if self._accepting:
                return
            self._join()
            folder = Path(self._settings.folder)
            free_bytes = self._checked(folder)
            repair_folder(folder)
            try:
                files = FileSeries(folder, self._setup, self._settings.file_mib * _MIB)
            except OSError as err:
                raise RecordingError(f"cannot record to {folder}: {_cause(err)}") from err
            self._status = RecordingStatus(on=True, path=str(files.path), free_bytes=free_bytes)
            self._accepted = 0
            self._accepting = True
            self._thread = threading.Thread(target=self._run, args=(files,), name=self.name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what waits and finish the file; does nothing while it is off."""
        with self._switch:
            self._refuse("")
            self._join()

    def close(self) -> None:
        """Stop, as the last thing."""
        self.stop()

    def add_frame(self, stream: Stream, frame: SensorFrame) -> bool:
        """Record a raw frame; never waits.

        Returns:
            Whether it was accepted; False while off, and when too much waits for the disk.
        """
        return self._offer(lambda: frame_message(stream, frame), frame.data.nbytes + _size(frame.mask), is_frame=True)

    def add_tag(self, name: str, values: Mapping[str, object], timestamp_ns: int) -> bool:
        """Record something that was noted at a moment, such as a position; never waits.

        Args:
            name: Of its kind: letters, digits and underscores; it becomes the topic `/name`.
            values: Plain JSON values.
            timestamp_ns: In the host's time.

        Returns:
            Whether it was accepted.

        Raises:
            InputError: If the name is not free, or a value is no JSON.
        """
        if not re.fullmatch(r"[A-Za-z]\w*", name) or name in RESERVED_NAMES:
            raise InputError(
                f"a tag cannot be called {name!r}; wanted letters, digits and _, and none of {RESERVED_NAMES}"
            )
        try:
            message = tag_message(tag_topic(name), values, timestamp_ns)
        except (TypeError, ValueError) as err:
            raise InputError(f"the tag {name} has a value that JSON cannot hold: {err}") from err
        return self._offer(lambda: message, len(message.data), is_frame=False)

    def take(self, result: LiveResult) -> None:
        """Record what is said of a result, and its pixels if the settings ask for it.

        Raises:
            RecordingError: If too much waits for the disk.
        """
        if not self._accepting:
            return
        now_ns = host_time_ns()
        messages = [telemetry_message(result, now_ns)]
        if self._settings.outputs != "none":
            messages.append(output_message(result, self._settings.outputs, now_ns))
        for message in messages:
            accepted = self._offer(lambda made=message: made, len(message.data), is_frame=False)  # type: ignore[misc]
            if not accepted and self._accepting:
                raise RecordingError(f"result {result.number} is not recorded: the disk does not keep up")

    def status(self) -> RecordingStatus:
        """Whether it is on, and what is on the disk."""
        return replace(self._status, missed=self.missed, behind_ms=1000 * self.behind_s)

    @property
    def behind_s(self) -> float:
        """How long the oldest of what was accepted has waited for the disk: what a crash would cost now."""
        with self._changed:
            since_s = self._unsafe_since_s or (self._queue[0].since_s if self._queue else None)
        return 0.0 if since_s is None else time.monotonic() - since_s

    def _checked(self, folder: Path) -> int:
        """Bytes that are free."""
        if not folder.is_dir():
            self._make(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise RecordingError(f"cannot record to {folder}: {_CAUSES[errno.EACCES]}")
        free_bytes = shutil.disk_usage(folder).free
        if reason := self._shortage(free_bytes):
            raise RecordingError(f"cannot record to {folder}: {reason}")
        return free_bytes

    def _make(self, folder: Path) -> None:
        """Make the folder, but none above it: a card that is missing must not become a folder of the system's disk."""
        if not folder.parent.is_dir():
            raise RecordingError(
                f"cannot record to {folder}: there is no folder {folder.parent}; mount the disk, or create it first"
            )
        try:
            folder.mkdir()
        except OSError as err:
            raise RecordingError(f"cannot record to {folder}: {_cause(err)}") from err

    def _shortage(self, free_bytes: int) -> str:
        if free_bytes >= self._settings.reserve_mib * _MIB:
            return ""
        return (
            f"the disk has {free_bytes // _MIB} MiB left, and {self._settings.reserve_mib} are to stay free "
            "(reserve_mib); free some space, or record to another one"
        )

    def _offer(self, message: Callable[[], Stored], n_bytes: int, *, is_frame: bool) -> bool:
        with self._changed:
            if not self._accepting:
                return False
            if self._queued_bytes + n_bytes > self._settings.queue_mib * _MIB:
                self.missed += is_frame
                return False
            self._accepted += is_frame
            self._queue.append(_Waiting(message, n_bytes, is_frame, time.monotonic()))
            self._queued_bytes += n_bytes
            self._changed.notify()
            return True

    def _refuse(self, reason: str) -> None:
        """Accept no more; what waits is still written."""
        with self._changed:
            self._accepting = False
            self._status = replace(self._status, on=False, stopped=reason or self._status.stopped)
            self._changed.notify()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, files: FileSeries) -> None:
        try:
            self._record(files)
            files.close()
        except OSError as err:
            self._fail(files, _cause(err))
        except Exception as err:  # a flight goes on without its recorder
            self._fail(files, f"an error of the recorder: {type(err).__name__}: {err}")

    def _fail(self, files: FileSeries, cause: str) -> None:
        self._refuse(cause)
        files.close(failed=True)
        with self._changed:
            self.missed += self._accepted - self._status.frames
            self._queue.clear()
            self._queued_bytes = 0
            self._unsafe_since_s = None

    def _record(self, files: FileSeries) -> None:
        written = 0
        due_s: float | None = None
        while not self._is_over():
            waiting = self._next(due_s)
            if waiting is not None:
                written += self._write(files, waiting)
                due_s = due_s or time.monotonic() + _SYNC_S
            elif due_s is not None:
                due_s = 0.0
            if due_s is not None and time.monotonic() >= due_s:
                files.sync()
                self._report(files, written)
                if files.turn_over():
                    self._report(files, written)
                due_s = None
        files.sync()
        self._report(files, written)

    def _is_over(self) -> bool:
        with self._changed:
            return not self._accepting and not self._queue

    def _next(self, due_s: float | None) -> _Waiting | None:
        """What has waited longest; None when there is nothing until `due_s`, or ever."""
        with self._changed:
            timeout_s = None if due_s is None else max(0.0, due_s - time.monotonic())
            self._changed.wait_for(lambda: self._queue or not self._accepting, timeout_s)
            if not self._queue:
                return None
            waiting = self._queue.popleft()
            self._unsafe_since_s = self._unsafe_since_s or waiting.since_s
            return waiting

    def _write(self, files: FileSeries, waiting: _Waiting) -> int:
        """Frames that were written: one, or none."""
        try:
            message = waiting.message()
        except InputError:  # an exposure that is NaN, for one: there is nothing to be done about it in flight
            message = None
        if message is not None:
            files.add(message)
        with self._changed:
            self._queued_bytes -= waiting.n_bytes
            lost = waiting.is_frame and message is None
            self.missed += lost
            self._accepted -= lost
        return int(waiting.is_frame and not lost)

    def _report(self, files: FileSeries, frames: int) -> None:
        free_bytes = shutil.disk_usage(files.path.parent).free
        with self._changed:
            self._unsafe_since_s = None
            self._status = replace(
                self._status, path=str(files.path), frames=frames, bytes_written=files.n_bytes, free_bytes=free_bytes
            )
        if reason := self._shortage(free_bytes):
            self._refuse(reason)


def _cause(err: OSError) -> str:
    cause = _CAUSES.get(err.errno or 0, "the system refused")
    return f"{cause} ({err.strerror or err})"


def _size(mask: NDArray[np.bool_] | None) -> int:
    return 0 if mask is None else mask.nbytes
