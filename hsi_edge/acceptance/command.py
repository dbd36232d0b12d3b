"""`hsi-edge check`: the arguments, and what a run says and returns."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hsi_edge.acceptance.check import Check, run_check
from hsi_edge.acceptance.gate import read_gate
from hsi_edge.acceptance.output import write_check
from hsi_edge.acceptance.page.document import verdict_sentence
from hsi_edge.acceptance.request import DEFAULT_GATE, Request
from hsi_edge.acceptance.result import Settings
from hsi_edge.bundle_store import check_outside_bundles
from hsi_edge.errors import InputError, OutputError
from hsi_edge.progress import Progress
from hsi_edge.tile_loop import Progress as Told

PASSED, FAILED = 0, 1
_LEAST_FRAMES = 10
_SETTINGS = ("backend", "precision", "memory-mb")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.description = (
        "Check a model on this device before it flies: accuracy, latency, memory, power, against a gate. Writes "
        "check.html, check.json and check.junit.xml. Exits with 0 if the gate is passed, 1 if not."
    )
    parser.epilog = "example: hsi-edge check fieldfuse-x8 --data scenes --gate gate.yaml --fps 2 -o check"
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="the model bundle, a folder or a .zip file")
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="where the report goes")
    add("--data", type=Path, metavar="SCENES", help="reference scenes: NAME/lr_hsi.*, hr_msi.* and, if known, hr_hsi.*")
    add("--gate", type=Path, metavar="YAML", help="what must hold for a pass (default: see the report)")
    add("--backend", metavar="NAME", help="what runs the network, as it will fly (default: the best one here)")
    add("--precision", metavar="P", help="likewise (default: the fastest that the bundle allows here)")
    add("--memory-mb", type=_positive, metavar="N", help="likewise; it bounds the tile")
    add("--frame", type=_shape, metavar="ROWSxCOLS", help="size of the frames to time, in pixels of the LR-HSI")
    add("--fps", type=_positive_real, metavar="F", help="the camera's frame rate (default: frames back to back)")
    add("--frames", type=_frames, default=300, metavar="N", help="frames to time after the warm-up (default: 300)")
    add("--soak", type=_positive_real, metavar="MINUTES", help="run on for so long: heat, drift, growth of memory")
    add(
        "--against",
        metavar="BUNDLE|KEY=VALUE,...",
        help=f"another engine, measured turn by turn: a bundle, settings ({', '.join(_SETTINGS)}) of this one, or both",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the check and write its report.

    Returns:
        0 if the gate is passed, 1 if not.

    Raises:
        HSIEdgeError: As for `run_check` and `write_check`; nothing is written then.
    """
    request = _request(arguments)
    with _folder(arguments.output):
        with ExitStack() as stack:

            def begin(what: str) -> Told:
                stack.pop_all().close()
                return stack.enter_context(Progress(sys.stderr, what))

            check = run_check(request, begin)
        page = write_check(arguments.output, check)[-1]
    sys.stdout.write(f"{summary(check)}\nreport: {page}\n")
    return PASSED if check.passed else FAILED


def summary(check: Check) -> str:
    """The verdict and its lines, for a terminal."""
    marks = {"passed": "ok", "failed": "FAILED", "not measured": "NOT MEASURED"}
    lines = [f"{marks[v.outcome]:>12}  {v.what}: {v.measured} (wanted {v.wanted})" for v in check.verdicts]
    return "\n".join([*lines, verdict_sentence(check)])


def _request(arguments: argparse.Namespace) -> Request:
    settings = Settings(
        bundle=arguments.bundle,
        backend=arguments.backend,
        precision=arguments.precision,
        memory_mb=arguments.memory_mb,
    )
    return Request(
        settings=settings,
        against=None if arguments.against is None else against(arguments.against, arguments.bundle),
        data=arguments.data,
        gate=None if arguments.gate is None else read_gate(arguments.gate),
        gate_source=DEFAULT_GATE if arguments.gate is None else f"the file {arguments.gate.name}",
        lr_shape=arguments.frame,
        fps=arguments.fps,
        frames=arguments.frames,
        soak_minutes=arguments.soak,
    )


def against(text: str, bundle: Path) -> Settings:
    """The other engine: `BUNDLE`, `backend=B,precision=P,memory-mb=N` of the same bundle, or `BUNDLE,precision=P`.

    Raises:
        InputError: An unknown key, or a value that does not fit.
    """
    parts = text.split(",")
    other = bundle if "=" in parts[0] else Path(parts.pop(0))
    pairs = dict(part.partition("=")[::2] for part in parts)
    unknown = [key for key, value in pairs.items() if key not in _SETTINGS or not value]
    if unknown or len(pairs) < len(parts):
        raise InputError(
            f"--against {text}: {unknown[0] if unknown else 'a key'} is no setting, has no value, or stands twice; "
            f"wanted BUNDLE, or KEY=VALUE of {', '.join(_SETTINGS)}, with commas between"
        )
    memory = pairs.get("memory-mb")
    if memory is not None and not (memory.isdecimal() and int(memory)):
        raise InputError(f"--against {text}: memory-mb is {memory!r}; wanted a whole number above 0")
    return Settings(
        bundle=other,
        backend=pairs.get("backend"),
        precision=pairs.get("precision"),
        memory_mb=None if memory is None else int(memory),
    )


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make the folder before the long work, and leave none behind that the work did not fill."""
    check_outside_bundles(folder)
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make the report's folder {folder} ({err}); choose another place") from err
    try:
        yield
    except BaseException:
        if made:
            with suppress(OSError):  # somebody else put something into it
                folder.rmdir()
        raise


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"wanted a whole number above 0, got {text!r}")
    return int(text)


def _frames(text: str) -> int:
    if not text.isdecimal() or int(text) < _LEAST_FRAMES:
        raise argparse.ArgumentTypeError(f"wanted a whole number, at least {_LEAST_FRAMES}, got {text!r}")
    return int(text)


def _positive_real(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"wanted a number above 0, got {text!r}")
    return value


def _shape(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"wanted ROWSxCOLS in pixels of the LR-HSI, such as 64x64, got {text!r}")
    return int(sides[0]), int(sides[1])
