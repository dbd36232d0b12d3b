"""`hsi-edge register`: where on the RGB each pixel of the spectral frame is, from frames of both; written as a rig."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io import read
from hsi_edge.registration.calibrate import Choice, calibrate
from hsi_edge.registration.report import in_words, write_registration_report
from hsi_edge.registration.rig import read_rig, write_rig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    parser.description = (
        "Estimate where on the RGB each pixel of the spectral frame is, without targets, from one or more pairs of "
        "frames over ground with structure, and write it as the file of the rig."
    )
    parser.epilog = "example: hsi-edge register frame.hdr photo.png -o rig.yaml --report out/registration"
    add = parser.add_argument
    add("lr_hsi", type=Path, metavar="LR", help="the spectral frame; or, without MSI, a recording of both sensors")
    add("hr_msi", type=Path, metavar="MSI", nargs="?", help="the RGB frame of the same moment, as the camera gave it")
    add(
        "--pair",
        nargs=2,
        type=Path,
        action="append",
        default=[],
        metavar=("LR", "MSI"),
        help="a further pair of the same rig; may be given several times",
    )
    add("-o", "--output", type=Path, required=True, metavar="RIG", help="where the rig goes, such as rig.yaml")
    add("--model", choices=get_args(Choice), default="auto", help="of the transform (default: the simplest that fits)")
    add("--bend", action="store_true", help="look for a local displacement too, such as a moving line scanner's")
    add("--start", type=Path, metavar="RIG", help="a rig that is right to some LR pixels; nothing is searched then")
    add("--report", type=Path, metavar="FOLDER", help="write registration.html with pictures into that folder")


def run(arguments: argparse.Namespace) -> None:
    """Calibrate, print the estimate in words, write the rig and the report.

    Raises:
        InputError: A file is no image, or the pairs do not belong together.
        OutputError: The rig or the report cannot be written.
        RecordingError: What was given alone is no recording.
        RegistrationError: The pairs do not tell how they lie.
    """
    first = [arguments.lr_hsi, *([] if arguments.hr_msi is None else [arguments.hr_msi])]
    _check_place(arguments.output, [*first, *(path for pair in arguments.pair for path in pair)])
    if arguments.report is not None and arguments.report.is_file():
        raise InputError(f"cannot write the report into {arguments.report}: it is a file; choose another --report")
    pairs = [pair for paths in (first, *arguments.pair) for pair in _pairs(*paths)]
    start = None if arguments.start is None else read_rig(arguments.start)
    calibration = calibrate(pairs, model=arguments.model, bend=arguments.bend, start=start)
    write_rig(arguments.output, calibration.rig)
    for name, words in in_words(calibration).items():
        sys.stdout.write(f"{name}: {words}\n")
    sys.stdout.write(f"rig: {arguments.output}\n")
    if arguments.report is not None:
        path = write_registration_report(arguments.report, calibration, *pairs[0])
        sys.stdout.write(f"report: {path}\n")


def _pairs(lr_path: Path, msi_path: Path | None = None) -> list[tuple[Cube, Cube]]:
    if msi_path is None:
        if lr_path.is_file() and lr_path.suffix != ".mcap":
            raise InputError(
                f"{lr_path} is alone; give the RGB frame of the same moment too, or a recording of both sensors (.mcap)"
            )
        # On use: a recording's packages are needed by those alone who have one.
        from hsi_edge.live.recorded_pairs import recorded_pairs

        return recorded_pairs(lr_path)
    lr_hsi, hr_msi = read(lr_path), read(msi_path)
    _check_order(lr_hsi, hr_msi, lr_path, msi_path)
    return [(lr_hsi, hr_msi)]


def _check_order(lr_hsi: Cube, hr_msi: Cube, lr_path: Path, msi_path: Path) -> None:
    if lr_hsi.rows > hr_msi.rows and lr_hsi.cols > hr_msi.cols:
        raise InputError(
            f"{lr_path} has {lr_hsi.rows} x {lr_hsi.cols} pixels, more than {msi_path} with {hr_msi.rows} x "
            f"{hr_msi.cols}; give the spectral frame first, and then the RGB, which is the larger"
        )


def _check_place(output: Path, inputs: list[Path]) -> None:
    """Before the work, and not after it."""
    if not output.absolute().parent.is_dir():
        raise InputError(f"cannot write {output}: there is no folder {output.parent}; make it first")
    if output.is_dir():
        raise InputError(f"cannot write {output}: a folder of that name is in the way; choose another name")
    for path in inputs:
        if output.resolve() == path.resolve():
            raise InputError(f"the rig {output} would overwrite the input {path}; choose another name")
