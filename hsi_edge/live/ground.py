"""What a simulated flight flies over: a cube from a file, or the fusion of a real pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from hsi_edge.cube import Cube
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import InputError
from hsi_edge.io import read
from hsi_edge.registration.rig import read_rig
from hsi_edge.registration.warp import GridWarp, measured_values
from hsi_edge.spectral import resample_cube


@dataclass(frozen=True, kw_only=True)
class CubeGround:
    """A cube that is already on the HR grid.

    Attributes:
        kind: The tag.
        cube: Path of the file, in any format of `hsi_edge.io`.
    """

    kind: Literal["cube"]
    cube: str


@dataclass(frozen=True, kw_only=True)
class PairGround:
    """A real spectral frame and photograph, fused once with the flight's own model.

    Attributes:
        kind: The tag.
        lr, msi: Paths of the two files.
        rig: Path of their rig.
        first_nm, last_nm, bands: The bands that the simulated sensor has, evenly spaced.
    """

    kind: Literal["pair"]
    lr: str
    msi: str
    rig: str
    first_nm: float = 400.0
    last_nm: float = 1000.0
    bands: int = 31


Ground = CubeGround | PairGround


def ground_cube(ground: Ground, engine: HSIEngine) -> Cube:
    """The HR cube to fly over.

    Args:
        ground: As the flight file has it.
        engine: The flight's fusion model.

    Raises:
        InputError: A file cannot be read, or the pair does not fit the model.
    """
    if isinstance(ground, CubeGround):
        return read(ground.cube)
    if ground.bands < 2 or ground.first_nm >= ground.last_nm:
        raise InputError("simulation.ground: wanted two bands or more, from first_nm up to a larger last_nm")
    axis = np.linspace(ground.first_nm, ground.last_nm, ground.bands)
    frame, photo = resample_cube(read(ground.lr), axis), read(ground.msi)
    colours, mask = measured_values(photo)
    on_grid, valid = GridWarp(read_rig(Path(ground.rig)), engine.manifest.ratio).on_grid(colours, mask=mask)
    fused: Cube = engine.run(frame, Cube(data=on_grid, mask=valid))
    values = np.asarray(fused.data)
    if not np.isfinite(values).all():
        raise InputError(f"the fusion of {ground.lr} and {ground.msi} has gaps; give a pair that covers each other")
    return replace(fused, data=np.maximum(values, 0), quantity="reflectance")
