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
Each mode against the same frame run in one piece, in FP32, where the frame's peak (99.9th percentile) is 1; `tiles`
where the network has no statistics over the frame. Halo and alignment are in LR pixels, the receptive field's radius
and tiles in HR pixels. The residual is what the network adds to the base image, or to the bicubic one where it has
none. Mode `previous` has the statistics of a frame three LR rows before, as in a flight. Times are medians; reading
files is not in them."""
HEADER = (
    "model",
    "statistics",
    "halo",
    "radius",
    "alignment",
    "tiles",
    "max",
    "RMS",
    "% of residual",
    "seconds",
    "times whole",
)


def tiling_markdown(checks: Sequence[TilingCheck], machine: dict[str, str]) -> str:
    """The modes of all models below each other, and what the pictures show."""
    rows = [
        [
            check.bundle,
            result.mode,
            str(check.tiling.halo_lr),
            str(check.tiling.radius_px),
            str(check.tiling.alignment_lr),
            f"{result.n_tiles} of {result.tile[0]} x {result.tile[1]}",
            f"{result.max_abs:.1e}",
            f"{result.rms:.1e}",
            f"{result.percent_of_residual:.3g}",
            f"{result.seconds:.2f}",
            f"{result.times_whole:.2f}",
        ]
        for check in checks
        for result in check.modes
    ]
    pictures = [
        f"{_picture_name(check)} shows the largest difference over the bands, from left to right: "
        f"{', '.join(check.pictures)}; black is {_DARK:g} or less, white {_BRIGHT:g} or more, on a logarithmic scale."
        for check in checks
    ]
    return "\n\n".join(["# Tiled against whole", NOTES, facts(machine), table(HEADER, rows, words=2), *pictures])


def write_tiling(folder: Path, checks: Sequence[TilingCheck], machine: dict[str, str]) -> None:
    """Write `tiling.md`, `tiling.json` and a picture per model.

    Raises:
        OutputError: If the system refuses to write.
    """
    models = [
        {
            "bundle": check.bundle,
            "ratio": check.ratio,
            "tiling": asdict(check.tiling),
            "modes": [asdict(result) for result in check.modes],
        }
        for check in checks
    ]
    write_measured(folder, "tiling", tiling_markdown(checks, machine), {"machine": machine, "models": models})
    for check in checks:
        with atomic_path(folder / _picture_name(check)) as partial:
            partial.write_bytes(encode_png(difference_picture(list(check.pictures.values()))))


def _picture_name(check: TilingCheck) -> str:
    return f"tiling-{check.bundle}.png"


def difference_picture(differences: Sequence[Float]) -> NDArray[np.uint8]:
    """Differences side by side, `(rows, cols, 3)`, logarithmic, with white lines between."""
    panels = []
    for difference in differences:
        share = np.log(np.clip(difference, _DARK, _BRIGHT) / _DARK) / np.log(_BRIGHT / _DARK)
        panels += [np.round(255 * share).astype(np.uint8), np.full((len(difference), 4), 255, np.uint8)]
    return np.repeat(np.concatenate(panels[:-1], axis=1)[:, :, None], 3, axis=2)
