"""The comparison of tiled with whole as text, picture and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.tiling_check import Float, TilingCheck
from hsi_edge.io.atomic import atomic_path
from hsi_edge.png import encode_png
from hsi_edge.report.measured import facts, table, write_measured

_DARK, _BRIGHT = 1e-7, 1e-1
NOTES = """\
Each mode against the same frame run in one piece, in FP32, where the frame's peak (99.9th percentile) is 1. The
residual is what the network adds to the base image. Mode `previous` has the statistics of a frame pair three LR rows
before, as in a flight. Times are medians; reading files is not in them."""


def tiling_markdown(check: TilingCheck, machine: dict[str, str]) -> str:
    """The modes side by side, and what the picture shows."""
    header = ["statistics", "tiles", "max", "RMS", "% of residual", "seconds", "times whole"]
    rows = [
        [
            result.mode,
            f"{result.n_tiles} of {result.tile[0]} x {result.tile[1]}",
            f"{result.max_abs:.1e}",
            f"{result.rms:.1e}",
            f"{result.percent_of_residual:.3g}",
            f"{result.seconds:.2f}",
            f"{result.times_whole:.2f}",
        ]
        for result in check.modes
    ]
    picture = (
        f"tiling.png shows the largest difference over the bands, from left to right: {', '.join(check.pictures)}; "
        f"black is {_DARK:g} or less, white {_BRIGHT:g} or more, on a logarithmic scale."
    )
    return "\n\n".join([f"# Tiled against whole: {check.bundle}", NOTES, facts(machine), table(header, rows), picture])


def write_tiling(folder: Path, check: TilingCheck, machine: dict[str, str]) -> None:
    """Write `tiling.md`, `tiling.json` and `tiling.png`.

    Raises:
        OutputError: If the system refuses to write.
    """
    plain = {"machine": machine, "bundle": check.bundle, "modes": [asdict(result) for result in check.modes]}
    write_measured(folder, "tiling", tiling_markdown(check, machine), plain)
    with atomic_path(folder / "tiling.png") as partial:
        partial.write_bytes(encode_png(difference_picture(list(check.pictures.values()))))


def difference_picture(differences: Sequence[Float]) -> NDArray[np.uint8]:
    """Differences side by side, `(rows, cols, 3)`, logarithmic, with white lines between."""
    panels = []
    for difference in differences:
        share = np.log(np.clip(difference, _DARK, _BRIGHT) / _DARK) / np.log(_BRIGHT / _DARK)
        panels += [np.round(255 * share).astype(np.uint8), np.full((len(difference), 4), 255, np.uint8)]
    return np.repeat(np.concatenate(panels[:-1], axis=1)[:, :, None], 3, axis=2)
