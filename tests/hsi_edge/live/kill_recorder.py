"""Kill recorders at random moments, and see whether what they acknowledged is there.

`python -m tests.hsi_edge.live.kill_recorder --kills 200` prints the figures; the tests do a few.
"""

from __future__ import annotations

import argparse
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader, SeekingReader

from hsi_edge.host_clock import host_time_ns
from hsi_edge.live.recorder import Recorder, RecorderSettings
from hsi_edge.live.recording import Recording
from hsi_edge.live.recording_files import repair_folder
from hsi_edge.live.repair import finished
from hsi_edge.live.topics import STREAMS
from hsi_edge.sensors.frame import SensorFrame

ROOT = Path(__file__).parents[3]
SAFE_NS = 1_000_000_000
Acknowledged = tuple[str, int]
"""Stream and sequence number of a frame."""


@dataclass(frozen=True)
class Kill:
    """What one kill did.

    Attributes:
        acknowledged, old: Frames that were accepted, and those among them that were so a second before the kill.
        lost, lost_old: Of these, what is in no file.
        oldest_lost_ms: How long before the kill the oldest lost frame was acknowledged; 0 if none was lost.
        files, unfinished: That were left.
        standard: Frames that the standard reader finds after the repair.
        sequential: Frames that the sequential reader finds before it.
        found: Frames that this package finds before it.
    """

    acknowledged: int
    old: int
    lost: int
    lost_old: int
    oldest_lost_ms: float
    files: int
    unfinished: int
    standard: int
    sequential: int
    found: int

    @property
    def is_well(self) -> bool:
        """Whether nothing is missing that was promised."""
        return self.lost_old == 0 and self.standard == self.sequential == self.found


def record_until_killed(folder: Path, log: Path) -> None:
    """Record small frames quickly into files that are soon full, and note those that were accepted, and when."""
    recorder = Recorder(RecorderSettings(folder=str(folder), file_mib=1, reserve_mib=128, queue_mib=64))
    recorder.start()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.stdout.write("recording\n")
    sys.stdout.flush()
    rng = np.random.default_rng()
    sequence = 0
    while True:
        for stream in STREAMS:
            pixels = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
            now_ns = host_time_ns()
            frame = SensorFrame(data=pixels, timestamp_ns=now_ns, sequence=sequence, arrival_ns=now_ns)
            if recorder.add_frame(stream, frame):
                os.write(descriptor, f"{time.monotonic_ns()} {stream} {sequence}\n".encode())
        sequence += 1
        time.sleep(0.004)


def kill_once(after_s: float) -> Kill:
    """Start a recorder, kill it that long after its start, and look at what it left."""
    with tempfile.TemporaryDirectory() as folder:
        recordings, log = Path(folder) / "recordings", Path(folder) / "log"
        recordings.mkdir()
        command = [sys.executable, "-m", "tests.hsi_edge.live.kill_recorder", "--record", str(recordings), str(log)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(after_s)
            killed_ns = time.monotonic_ns()
            process.kill()
        return _looked_at(recordings, _read_log(log), killed_ns)


def _looked_at(folder: Path, log: dict[Acknowledged, int], killed_ns: int) -> Kill:
    files = sorted(folder.glob("*.mcap"))
    unfinished = sum(not finished(file) for file in files)
    sequential = sum(_n_sequential(file) for file in files)
    found = {(stream, frame.sequence) for stream, frame in Recording.open(folder).arrivals()}
    repair_folder(folder)
    lost = [acknowledged_ns for key, acknowledged_ns in log.items() if key not in found]
    return Kill(
        acknowledged=len(log),
        old=sum(killed_ns - acknowledged_ns > SAFE_NS for acknowledged_ns in log.values()),
        lost=len(lost),
        lost_old=sum(killed_ns - acknowledged_ns > SAFE_NS for acknowledged_ns in lost),
        oldest_lost_ms=max((killed_ns - acknowledged_ns for acknowledged_ns in lost), default=0) / 1e6,
        files=len(files),
        unfinished=unfinished,
        standard=sum(_n_standard(file) for file in files),
        sequential=sequential,
        found=len(found),
    )


def _read_log(log: Path) -> dict[Acknowledged, int]:
    lines = log.read_text().splitlines() if log.exists() else []
    return {(stream, int(sequence)): int(time_ns) for time_ns, stream, sequence in map(str.split, lines)}


def _n_sequential(path: Path) -> int:
    count = 0
    # A torn record at the cut is no EndOfFile for the package, but what its parts run into.
    with path.open("rb") as file, suppress(McapError, struct.error, ValueError, zstandard.ZstdError):
        for _ in NonSeekingReader(file, validate_crcs=True).iter_messages(log_time_order=False):
            count += 1
    return count


def _n_standard(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in SeekingReader(file, validate_crcs=True).iter_messages())


def kill_many(kills: int, at_once: int, *, least_s: float, most_s: float) -> list[Kill]:
    """Kill that many recorders, each at a random moment."""
    moments = [random.uniform(least_s, most_s) for _ in range(kills)]
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(kill_once, moments))


def main() -> int:
    """Print the figures; 1 if something was lost that was promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--record", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.record:
        record_until_killed(*arguments.record)
    kills = kill_many(arguments.kills, arguments.at_once, least_s=0.0, most_s=3.0)
    ages = sorted(kill.oldest_lost_ms for kill in kills)
    sys.stdout.write(
        f"{len(kills)} kills; {sum(kill.acknowledged for kill in kills)} frames acknowledged, "
        f"{sum(kill.old for kill in kills)} of them more than a second before\n"
        f"lost: {sum(kill.lost for kill in kills)}, of the old ones {sum(kill.lost_old for kill in kills)}; the oldest "
        f"lost was {ages[len(ages) // 2]:.0f} ms old (median), {ages[-1]:.0f} ms at worst\n"
        f"files: {sum(kill.files for kill in kills)}, {sum(kill.unfinished for kill in kills)} without an end; "
        f"{sum(kill.is_well for kill in kills)} of {len(kills)} kills well\n"
    )
    return int(not all(kill.is_well for kill in kills))


if __name__ == "__main__":
    sys.exit(main())
