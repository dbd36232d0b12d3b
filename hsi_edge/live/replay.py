"""`hsi-edge replay`: make a recorded flight's results again, from its raw frames."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError, OutputError
from hsi_edge.live.assembly import open_replay
from hsi_edge.live.digest import digest
from hsi_edge.live.flight import Flight
from hsi_edge.live.frame_files import FrameFiles
from hsi_edge.live.packing import unpacked
from hsi_edge.live.pair import Pair
from hsi_edge.live.pipeline import NO_RESULT
from hsi_edge.live.recording import FrameKey, Recording
from hsi_edge.live.result import LiveResult
from hsi_edge.live.setup import BundleFacts
from hsi_edge.live.sink import Sink


class Comparison:
    """A sink that compares results with what was recorded of those made in flight.

    Attributes:
        same, different: How many of each; `unknown` are those whose digest is not known.
    """

    name = "comparison"

    def __init__(self, in_flight: dict[FrameKey, int]) -> None:
        self._in_flight = dict(in_flight)
        self.same = self.different = self.unknown = 0

    def take(self, result: LiveResult) -> None:
        """Compare one."""
        recorded = self._in_flight.pop(key(result.pair), None)
        if recorded is None:
            self.unknown += 1
        elif recorded == digest(result):
            self.same += 1
        else:
            self.different += 1

    def close(self) -> None:
        """Nothing is held."""

    @property
    def missing(self) -> int:
        """Those of the flight that have not come."""
        return len(self._in_flight)

    @property
    def total(self) -> int:
        """All of them."""
        return self.same + self.different + self.unknown


def key(pair: Pair) -> FrameKey:
    """What tells a pair among those of a recording."""
    return FrameKey(sequence=pair.spectral.sequence, arrival_ns=pair.spectral.arrival_ns)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Make the results of a recorded flight again from its raw frames, with the settings, model and precision that "
        "it flew with, and say whether they are the same."
    )
    parser.epilog = "example: hsi-edge replay recordings/FLIGHT.mcap -o results"
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="its file, or the folder of its files")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="write every result there, as ENVI")
    parser.add_argument("--bundle", type=Path, help="the fusion model, where it is no longer where it was")
    parser.add_argument("--single-bundle", type=Path, help="the single-image model, likewise")
    parser.add_argument("--rig", type=Path, help="another rig, or one for a recording that was made without")
    parser.add_argument("--backend", help="for the fusion model, where this machine lacks the one of the flight")
    parser.add_argument("--all", action="store_true", help="also pairs that the device had no time for in flight")


def run(arguments: argparse.Namespace) -> int:
    """Replay; 0 where all results are the same as in flight, or there is nothing to compare, else 1."""
    if not arguments.recording.exists():
        raise InputError(f"there is no recording {arguments.recording}; check the path")
    recording = Recording.open(arguments.recording)
    for damage in recording.damage:
        sys.stderr.write(f"hsi-edge: warning: {damage}\n")
    in_flight = {made.spectral: made.digest for made in recording.processed()}
    # Those without a result count: the registration of later ones began where they lay.
    without = (FrameKey(sequence=one["sequence"], arrival_ns=one["arrival_ns"]) for _, one in recording.tags(NO_RESULT))
    tried = {*in_flight, *without}
    everything = arguments.all or not tried
    comparison = Comparison({} if everything else in_flight)
    sinks: list[Sink] = [comparison, *([] if arguments.output is None else [_files(arguments.output)])]
    wanted = None if everything else lambda pair: key(pair) in tried
    with tempfile.TemporaryDirectory(prefix="hsi-edge-replay-") as folder:
        flight = _as_flown(unpacked(recording.setup.files, Path(folder)), recording.setup.bundles, arguments)
        _warn_of_other_models(flight, recording.setup.bundles)
        with open_replay(flight, recording.arrivals(), wanted, sinks=sinks) as live:
            live.wait()
            status = live.status()
    sys.stdout.write(f"{_summary(comparison, len(in_flight), status.failed, status.failure)}\n")
    for sink in status.sinks.values():
        if sink.failed:
            raise OutputError(f"{sink.failed} results were not written: {sink.error}")
    return 1 if comparison.different else 0


def _as_flown(flight: Flight, bundles: tuple[BundleFacts, ...], arguments: argparse.Namespace) -> Flight:
    """The flight with the models of today's places, and the precision of then."""
    named: dict[str, Path] = {
        key: path for key in ("bundle", "single_bundle", "rig") if (path := getattr(arguments, key)) is not None
    }
    for key, path in named.items():
        if not path.exists():
            raise InputError(f"there is no {path}, which --{key.replace('_', '-')} names; check the path")
    flight = replace(flight, **cast("dict[str, Any]", {key: str(path) for key, path in named.items()}))
    if flight.rig is None:
        raise InputError("the recording was made without a rig; find it with hsi-edge register, and give it as --rig")
    fusion = {one.role: one for one in bundles}.get("fusion")
    if not Path(flight.bundle).exists():
        raise InputError(f"the model was at {flight.bundle} in flight and is not there; say where it is with --bundle")
    if flight.single_bundle is not None and not Path(flight.single_bundle).exists():
        raise InputError(
            f"the single-image model was at {flight.single_bundle} in flight and is not there; say where it is with "
            "--single-bundle"
        )
    if arguments.backend is not None:
        return replace(flight, backend=arguments.backend, precision=None)
    if fusion is None or fusion.backend == "numpy" or Bundle.open(flight.bundle).fingerprint != fusion.manifest_sha256:
        return flight  # nothing to be as it was
    return replace(flight, backend=fusion.backend, precision=fusion.precision)


def _warn_of_other_models(flight: Flight, flown: tuple[BundleFacts, ...]) -> None:
    paths = {"fusion": flight.bundle, "single": flight.single_bundle}
    for facts in flown:
        path = paths[facts.role]
        if path is not None and Bundle.open(path).fingerprint != facts.manifest_sha256:
            sys.stderr.write(f"hsi-edge: warning: {path} is another model than {facts.name} was in flight\n")


def _files(folder: Path) -> FrameFiles:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as err:
        raise InputError(f"cannot write to {folder}: it is a file; choose another folder") from err
    except OSError as err:
        raise OutputError(f"cannot write to {folder} ({err.strerror}); choose another folder") from err
    return FrameFiles(folder)


def _summary(comparison: Comparison, in_flight: int, failed: int, failure: str) -> str:
    lines = [f"{comparison.total} results; {in_flight} were made in flight"]
    if comparison.same or comparison.different:
        lines.append(f"{comparison.same} are the same bit for bit, {comparison.different} differ")
    if comparison.unknown:
        lines.append(f"{comparison.unknown} could not be compared")
    if comparison.missing:
        lines.append(f"{comparison.missing} could not be made again, as the recording lacks their frames")
    if comparison.different:
        lines.append("another model, precision, version or processor gives other bits")
    if failed:
        lines.append(f"{failed} pairs gave no result ({failure})")
    return "\n".join(lines)
