"""The command `hsi-edge`: say what a bundle or a file is, run a model on files, build engines, check before a flight.

It exits with 0 when all went well, 2 for wrong use, 1 for failed work, 130 when interrupted and 141 when the reader of
its output went away. An error is one line on stderr; `--debug` adds the traceback.
"""

from __future__ import annotations

from hsi_edge.interrupt import INTERRUPTED, end_at_once_when_interrupted, ended_at_once_when_interrupted

# This takes most of a second on a small device.
with ended_at_once_when_interrupted():
    import argparse
    import logging
    import os
    import sys
    import tempfile
    import traceback
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

    import numpy as np

    from hsi_edge import build
    from hsi_edge._version import __version__
    from hsi_edge.acceptance import command as acceptance
    from hsi_edge.blas_threads import blas_on_one_thread
    from hsi_edge.catalogue import describe_fits
    from hsi_edge.command_line import OneLineParser, exit_code
    from hsi_edge.cube import Cube
    from hsi_edge.engine import HSIEngine
    from hsi_edge.errors import HSIEdgeError, InputError, OutputError
    from hsi_edge.info import describe
    from hsi_edge.io import read, write
    from hsi_edge.io.formats import READERS, WRITERS
    from hsi_edge.live import command as live
    from hsi_edge.live import record, replay
    from hsi_edge.manifest import Manifest
    from hsi_edge.progress import Progress
    from hsi_edge.registration import command as register
    from hsi_edge.report import write_report
    from hsi_edge.spectral import resample_cube

_BROKEN_PIPE = 141
_ENVI_ENDINGS = {ending for ending, reader in READERS.items() if reader == READERS[".hdr"]}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: The arguments after the program's name; None takes those of the process, which ends with this.
    """
    code = _run_command(list(sys.argv[1:] if argv is None else argv))
    if argv is None:
        end_at_once_when_interrupted()
    return code


def _run_command(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.WARNING, format="hsi-edge: warning: %(message)s")
    try:
        parsed = _parser().parse_args(arguments)
        with blas_on_one_thread():
            # Only a check and a replay, which can be done and not come out well, have a code of their own.
            code: int | None = parsed.command(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout at its end, which would fail and print once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as err:
        if "--debug" in arguments:
            traceback.print_exc()
        print(f"hsi-edge: {_in_words(err)}", file=sys.stderr)
        return _exit_code(err)
    return code or 0


def _exit_code(err: BaseException) -> int:
    if isinstance(err, KeyboardInterrupt):
        return INTERRUPTED
    return exit_code(err)


def _in_words(err: BaseException) -> str:
    if isinstance(err, KeyboardInterrupt):
        return "interrupted"
    words = " ".join(str(err).split())
    if isinstance(err, HSIEdgeError):
        return words
    return f"unexpected {type(err).__name__}: {words or 'no details'}; --debug shows where it arose"


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="hsi-edge", description="Hyperspectral super-resolution on drones and field devices.")
    parser.add_argument("--version", action="version", version=f"hsi-edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_info(commands.add_parser("info", help="say what a model bundle or a spectral file is"))
    _add_run(commands.add_parser("run", help="fuse or super-resolve one frame from files"))
    _add_command(commands.add_parser("build", help="compile a bundle to engines for NVIDIA GPUs"), build)
    _add_command(commands.add_parser("check", help="check accuracy, latency and power before a flight"), acceptance)
    _add_command(commands.add_parser("register", help="find where on the RGB each spectral pixel is"), register)
    _add_command(commands.add_parser("live", help="fuse two live sensors, as a flight file says"), live)
    _add_command(commands.add_parser("record", help="record the raw frames of two sensors"), record)
    _add_command(commands.add_parser("replay", help="make the results of a recorded flight again"), replay)
    return parser


def _add_command(parser: argparse.ArgumentParser, module: ModuleType) -> None:
    module.add_arguments(parser)
    _add_debug(parser)
    parser.set_defaults(command=module.run)


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.description = "Say what a model bundle or a spectral file is, or which of several bundles to take."
    parser.epilog = "example: hsi-edge info engines/bundles --lr frame.hdr --msi photo.png"
    parser.add_argument(
        "path",
        type=Path,
        metavar="BUNDLE|FOLDER|FILE",
        help="a bundle's folder or .zip, a folder of bundles, or a spectral file",
    )
    parser.add_argument("--lr", type=Path, metavar="LR", help="a spectral frame: say which bundles take it")
    parser.add_argument("--msi", type=Path, metavar="MSI", help="the photograph that goes with it")
    _add_debug(parser)
    parser.set_defaults(command=_info)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run a model on one frame and write the HR-HSI with a report. Formats follow from the endings."
    parser.epilog = "example: hsi-edge run fieldfuse-x8 frame.hdr photo.png -o fused.tif"
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", help="the model bundle, a folder or a .zip file")
    add("lr_hsi", type=Path, metavar="LR", help=f"the low-resolution spectral frame ({' '.join(READERS)} or a folder)")
    add(
        "hr_msi", type=Path, metavar="MSI", nargs="?", help="the registered photograph, for models that fuse two inputs"
    )
    add("-o", "--output", type=Path, required=True, metavar="OUT", help=f"the result ({' '.join(WRITERS)})")
    add("--resample", action="store_true", help="resample the spectral frame to the model's bands")
    add("--backend", metavar="NAME", help="what runs the network (default: the best one here)")
    add("--precision", metavar="P", help="such as fp32 or bf16 (default: the fastest that the bundle allows here)")
    add("--memory-mb", type=_positive, metavar="N", help="memory for a tile of the network (128)")
    add("--report", type=Path, metavar="FOLDER", help="where report.json and report.html go (default: OUT.report)")
    _add_debug(parser)
    parser.set_defaults(command=_run)


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"wanted a whole number above 0, got {text!r}")
    return int(text)


def _info(arguments: argparse.Namespace) -> None:
    if arguments.lr is None:
        if arguments.msi is not None:
            raise InputError("--msi is a part of a frame pair; give the spectral frame too, with --lr")
        print(describe(arguments.path))
    else:
        msi = None if arguments.msi is None else read(arguments.msi)
        print(describe_fits(arguments.path, read(arguments.lr), msi))


def _run(arguments: argparse.Namespace) -> None:
    out: Path = arguments.output
    folder: Path = arguments.report or out.with_name(f"{out.name}.report")
    paths = {"lr_hsi": arguments.lr_hsi, "hr_msi": arguments.hr_msi}
    sources = {name: path for name, path in paths.items() if path is not None}
    _check_places(out, folder, [Path(arguments.bundle), *sources.values()])
    cubes = {name: read(path) for name, path in sources.items()}
    lr_hsi, hr_msi = cubes["lr_hsi"], cubes.get("hr_msi")
    engine = HSIEngine(
        arguments.bundle, backend=arguments.backend, precision=arguments.precision, memory_mb=arguments.memory_mb
    )
    with engine:
        if arguments.resample:
            lr_hsi = _resampled(lr_hsi, engine.manifest)
        with Progress(sys.stderr, "tiles") as progress:
            hr_hsi = engine.run(lr_hsi, hr_msi, progress=progress)
        report = engine.report
    # A fallback was already told when the engine was opened.
    for warning in (one for one in report.warnings if one != report.fallback):
        print(f"hsi-edge: warning: {warning}", file=sys.stderr)
    write(out, hr_hsi)
    print(f"result: {out} ({hr_hsi.rows} x {hr_hsi.cols} x {hr_hsi.n_bands})", flush=True)
    _, page = write_report(
        folder,
        report=report,
        lr_hsi=lr_hsi,
        hr_hsi=hr_hsi,
        hr_msi=None if hr_msi is None else np.asarray(hr_msi.data[...]),
        files={name: path.name for name, path in {**sources, "hr_hsi": out}.items()},
    )
    print(f"report: {page}")


def _resampled(lr_hsi: Cube, manifest: Manifest) -> Cube:
    if manifest.n_bands == 0:
        raise InputError(
            f"the model {manifest.name} takes any bands, so there are none to resample to; omit --resample"
        )
    return resample_cube(lr_hsi, manifest.bands.wavelengths_nm, manifest.bands.fwhm_nm or None)


def _check_places(out: Path, folder: Path, inputs: Sequence[Path]) -> None:
    """Refuse before the long work what would lose its result, or an input."""
    if out.suffix.lower() not in WRITERS:
        raise InputError(f"cannot write {out}: its ending names no format; wanted one of {' '.join(WRITERS)}")
    if not out.parent.is_dir():
        raise InputError(f"cannot write {out}: there is no folder {out.parent}; make it first")
    if out.is_dir() and out.suffix.lower() != ".zarr":
        raise InputError(f"cannot write {out}: a folder of that name is in the way; choose another name")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write the report into {folder}: it is a file; choose another --report")
    for path in inputs:
        if _same_or_below(out, path) or _same_or_below(path, out):
            raise InputError(f"the output {out} would overwrite the input {path}; choose another name")
        if _same_or_below(folder, path):
            raise InputError(f"the report {folder} would lie in the input {path}; choose another --report")
    _try_to_write(out)


def _same_or_below(path: Path, other: Path) -> bool:
    return _file_stem(path).is_relative_to(_file_stem(other))


def _file_stem(path: Path) -> Path:
    """An ENVI image is two files, so any of its endings names both; other paths are themselves."""
    path = path.resolve()
    while path.suffix.lower() in _ENVI_ENDINGS:
        path = path.with_suffix("")
    return path


def _try_to_write(out: Path) -> None:
    """Write one pixel beside the output: shows missing rights and missing packages now and not after the work."""
    try:
        with tempfile.TemporaryDirectory(prefix=".hsi-edge-", dir=out.parent) as folder:
            write(Path(folder) / f"pixel{out.suffix}", Cube(data=np.zeros((1, 1, 1), np.float32)))
    except OSError as err:
        raise OutputError(f"cannot write into the folder {out.parent} ({err.strerror}); choose another one") from err
