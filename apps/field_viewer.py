"""Watch the live stream from a tablet, and keep a log of one index over the whole frame.

Run from a checkout: `python -m apps.field_viewer apps/samples/live.yaml --log out/ndvi.csv`. It shows how a program
embeds the live pipeline: a flight file, the page in the browser, and its own look at every result.
"""

from __future__ import annotations

import argparse
import csv
import secrets
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

import numpy as np

from hsi_edge.command_line import OneLineParser, run_tool
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.live.assembly import open_live
from hsi_edge.live.flight import read_flight
from hsi_edge.live.result import LiveResult
from hsi_edge.live.viewer import Viewer

RED_NM, INFRARED_NM = 670.0, 800.0
FARTHEST_NM = 25.0
"""A band further from what the index wants does not stand for it."""
COLUMNS = ("time", "mode", "flagged", "late", "ndvi_mean", "ndvi_p10", "ndvi_p90", "reason")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; 0 for success, 2 for wrong use, 1 for failed work."""
    return run_tool("field_viewer", lambda: _parser().parse_args(argv))


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m apps.field_viewer", description=__doc__)
    parser.add_argument("flight", type=Path, help="the flight file")
    parser.add_argument("--open-to", metavar="ADDRESS", help="let other machines in, say 0.0.0.0:8080, with a token")
    parser.add_argument("--log", type=Path, metavar="CSV", help="write the index of every result there")
    parser.add_argument("--results", type=int, metavar="N", help="stop after so many results")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    flight = read_flight(arguments.flight)
    view = flight.view
    if arguments.open_to is not None:
        view = replace(view, address=arguments.open_to, token=view.token or secrets.token_urlsafe(24))
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        log = None if arguments.log is None else stack.enter_context(_log_file(arguments.log))
        live = stack.enter_context(open_live(flight))
        viewer = stack.enter_context(Viewer(view, live))
        # A token that was made here stands nowhere else.
        token = "" if view.token is None else f"?token={view.token}"
        print(f"open {viewer.url}{token} in a browser; Ctrl-C ends", flush=True)
        for count, result in enumerate(live.results(), 1):
            words = describe(result)
            print(words["time"], words["mode"], words["ndvi_mean"], words["reason"], flush=True)
            if log is not None:
                csv.DictWriter(log, COLUMNS).writerow(words)
                log.flush()
            if count == arguments.results:
                break


def _log_file(path: Path) -> TextIO:
    """The log, with its heading where it is new; a log of an earlier flight goes on."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("a", newline="", encoding="utf-8")
    except OSError as err:
        raise InputError(f"cannot write the log {path} ({err.strerror}); choose another place") from err
    if log.tell() == 0:
        csv.DictWriter(log, COLUMNS).writeheader()
    return log


def describe(result: LiveResult) -> dict[str, str]:
    """One line of the log: when, how it was made, and the index over the frame."""
    moment = datetime.fromtimestamp(result.timestamp_ns / 1e9, timezone.utc)
    values = ndvi(result.hr_hsi)
    low, high = np.nanpercentile(values, (10, 90)) if np.isfinite(values).any() else (np.nan, np.nan)
    return {
        "time": moment.isoformat(timespec="milliseconds"),
        "mode": result.mode,
        "flagged": "yes" if result.check.flagged else "no",
        "late": "yes" if result.late else "no",
        "ndvi_mean": f"{np.nanmean(values):.3f}" if np.isfinite(values).any() else "",
        "ndvi_p10": f"{low:.3f}",
        "ndvi_p90": f"{high:.3f}",
        "reason": result.reason,
    }


def ndvi(cube: Cube) -> np.ndarray:
    """The normalised difference vegetation index (Rouse et al., NASA SP-351, 1974), `(rows, cols)`, NaN without light.

    Raises:
        InputError: The sensor has no band near 670 or 800 nm.
    """
    red, infrared = (np.asarray(cube.data[:, :, band(cube, nm)], np.float64) for nm in (RED_NM, INFRARED_NM))
    with np.errstate(divide="ignore", invalid="ignore"):
        index: np.ndarray = (infrared - red) / (infrared + red)
    # Reflectance about 0 may be measured below it, where the index means nothing.
    index[~((red >= 0) & (infrared >= 0) & (red + infrared > 0))] = np.nan
    return index


def band(cube: Cube, nm: float) -> int:
    """The band nearest to a wavelength."""
    if cube.wavelengths_nm is None:
        raise InputError(
            "the sensor names no wavelengths, so there is no index; add them to its radiometry or its files"
        )
    nearest = int(np.argmin(np.abs(cube.wavelengths_nm - nm)))
    if abs(cube.wavelengths_nm[nearest] - nm) > FARTHEST_NM:
        raise InputError(
            f"the sensor has no band near {nm:g} nm (the nearest is at {cube.wavelengths_nm[nearest]:g} nm)"
        )
    return nearest


if __name__ == "__main__":
    sys.exit(main())
