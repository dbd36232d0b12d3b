"""Simulated frame pairs of the research scenes as files, for `python -m calib` and `hsi-edge check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.compare import SETTINGS, cropped, pairs
from export.data.scenes import Split, load_scenes, vis31_nm
from hsi_edge.cube import Cube
from hsi_edge.errors import OutputError
from hsi_edge.io import write
from hsi_edge.io.atomic import atomic_path

Float = NDArray[np.float32]
KINDS = SETTINGS[:2]
"""Pairs without noise, and realistic ones."""


def write_reference_scenes(folder: Path, data: Path, ratio: int, split: Split) -> Iterator[Path]:
    """Write one folder per scene and kind of pair, as `hsi_edge.scenes` reads them, and yield it.

    Args:
        folder: Where to; made if it is missing. A scene that is there already is replaced.
        data: The research data folder.
        ratio: HR pixels per LR pixel.
        split: Which scenes; those smaller than four LR pixels are left out.

    Raises:
        InputError: A file of the research data is missing.
        OutputError: If the system refuses to write.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make the folder {folder} ({err}); choose another place") from err
    for whole in load_scenes(data, split):
        scene = cropped(whole, ratio)
        if min(scene.cube.shape[:2]) < 4 * ratio:
            continue
        for kind in KINDS:
            setting = replace(kind, draws=1)
            ((lr_hsi, hr_msi),) = pairs(scene, ratio, setting, setting.cameras(data))
            yield _write_scene(folder / f"{scene.name}-{kind.name}", lr_hsi, hr_msi, scene.cube)


def _write_scene(folder: Path, lr_hsi: Float, hr_msi: Float, hr_hsi: Float) -> Path:
    with atomic_path(folder) as partial:
        partial.mkdir()
        for name, image in (("lr_hsi", lr_hsi), ("hr_hsi", hr_hsi)):
            cube = Cube(data=np.ascontiguousarray(image), wavelengths_nm=vis31_nm(), quantity="reflectance")
            write(partial / f"{name}.hdr", cube)
        write(partial / "hr_msi.hdr", Cube(data=np.ascontiguousarray(hr_msi)))
    return folder
