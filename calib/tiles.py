"""What graphs are calibrated with and judged on: tiles and frames of the user's own scenes, as the runtime makes them.

No ground is in both: where there are several scenes, a third of them is held out (with all frames whose truth is the
same, such as one scene with two noises); of a single scene, a third of the frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError
from hsi_edge.frame import Frame, Window
from hsi_edge.inputs import FrameInput, check_inputs
from hsi_edge.manifest import Manifest
from hsi_edge.preparation import prepare_frame
from hsi_edge.resampling import Float
from hsi_edge.scenes import ReferenceScene
from hsi_edge.statistics import images_to_measure, sample_shape
from hsi_edge.tiling.geometry import Region, Tile, plan_tiles
from hsi_edge.tiling.size import candidate_sides

CALIBRATION_TILES = 32
"""Of all scenes together, or nearly twice that where they do not divide evenly; more hardly change the ranges."""
LEAST_TILES = 2
"""One tile tells nothing of how ranges vary."""
SIDE_PX = 128
"""HR side of a tile: in the middle of what the runtime chooses on CPUs, and judged in little time."""
HELD_OUT_PX = 256
"""HR side to which a held-out frame is cut, around its middle."""
HELD_OUT_FRAMES = 8
MEASURED_SIDE_PX = 192
"""HR side up to which a frame is looked at for its statistics, as with the runtime's default budget."""

Inputs = dict[str, Float]
Measure = Callable[[Inputs], Float]
"""From images, `(channels, rows, cols)` by name, to their statistics `(1, size)`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CalibrationTile:
    """One tile to calibrate with.

    Attributes:
        scene: The scene's name.
        frame: What it was cut from; tells what an output means.
        images: `(channels, rows, cols)` by the name of the graph's input.
        statistics: Of its frame, `(1, size)`; None for a network without any.
    """

    scene: str
    frame: Frame
    images: Inputs
    statistics: Float | None

    @property
    def inputs(self) -> Inputs:
        """What the graph that runs on tiles takes, with the batch axis."""
        batch = {name: image[None] for name, image in self.images.items()}
        return batch if self.statistics is None else batch | {"statistics": self.statistics}


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOutFrame:
    """A frame to judge on, run tile by tile.

    Attributes:
        scene: The scene's name.
        frame: Prepared as the runtime does.
        tiles: How it is cut.
        truth: `(rows, cols, bands)` in parts of the frame's peak; None where it is not known.
        sha256: Fingerprint of what was measured.
    """

    scene: str
    frame: Frame
    tiles: tuple[Tile, ...]
    truth: Float | None
    sha256: str

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The graph's images of every tile, in the order of the tiles."""
        return tuple(self.frame.window(tile.read) for tile in self.tiles)


@dataclass(frozen=True, eq=False, kw_only=True)
class Chosen:
    """What a graph is calibrated with and judged on.

    Attributes:
        calibration: Tiles, spread over the scenes.
        held_out: Frames of other ground.
        sha256: Fingerprint of the calibration tiles: of the scenes' names, the regions and the measured numbers.
    """

    calibration: tuple[CalibrationTile, ...]
    held_out: tuple[HeldOutFrame, ...]
    sha256: str

    @property
    def held_out_tiles(self) -> int:
        """How many tiles the held-out frames have."""
        return sum(len(frame.tiles) for frame in self.held_out)


@dataclass(frozen=True, eq=False)
class _Scene:
    """A checked scene, or a part of it."""

    name: str
    given: FrameInput
    truth: NDArray[np.float32] | None

    @property
    def lr_shape(self) -> tuple[int, int]:
        rows, cols, _ = self.given.lr_hsi.shape
        return rows, cols

    @property
    def ground(self) -> str:
        """The same for frames of the same ground: of the truth, or of the frame where there is none."""
        measured = self.given.lr_hsi if self.truth is None else self.truth
        return hashlib.sha256(measured.tobytes()).hexdigest()

    def part(self, region: Region, ratio: int) -> _Scene:
        """What lies in an LR region."""
        lr, hr = region.slices, region.scaled(ratio).slices
        given = replace(
            self.given,
            lr_hsi=self.given.lr_hsi[lr],
            lr_cube=None,
            hr_msi=None if self.given.hr_msi is None else self.given.hr_msi[hr],
            msi_valid=None if self.given.msi_valid is None else self.given.msi_valid[hr],
        )
        return _Scene(self.name, given, None if self.truth is None else self.truth[hr])


def choose(manifest: Manifest, scenes: Sequence[ReferenceScene], measure: Measure) -> Chosen:
    """Choose tiles and frames; the same scenes give the same ones.

    Args:
        manifest: The model's.
        scenes: The user's.
        measure: Of the FP32 graph; called only for a network with statistics.

    Raises:
        InputError: A scene does not fit the model, holds NaN in every tile, or there are too few tiles.
    """
    checked = [_checked(manifest, scene) for scene in scenes]
    calibration, held_out = _split(manifest, checked)
    tiles, digest = _calibration_tiles(manifest, calibration, measure)
    if len(tiles) < LEAST_TILES:
        raise InputError(
            f"the scenes give {len(tiles)} tile(s) to calibrate with beside those to judge on; at least {LEAST_TILES} "
            "are needed: add scenes of other ground, or take larger frames"
        )
    return Chosen(calibration=tiles, held_out=tuple(_held_out(manifest, s) for s in held_out), sha256=digest)


def frames_to_judge(manifest: Manifest, scenes: Sequence[ReferenceScene]) -> tuple[HeldOutFrame, ...]:
    """All scenes as frames to judge on, for scenes that took no part in making the graphs.

    Raises:
        InputError: A scene does not fit the model.
    """
    return tuple(_held_out(manifest, _checked(manifest, scene)) for scene in scenes)


def statistics_images(manifest: Manifest, frame: Frame) -> Inputs:
    """The images that the runtime runs the network on to measure a frame's statistics, in the model's default mode."""
    assert manifest.statistics is not None
    mode = manifest.statistics.default
    side = max(1, MEASURED_SIDE_PX // manifest.ratio)
    sample = sample_shape(side, manifest.ratio, manifest.tiling.alignment_lr, frame.grid.shape)
    return images_to_measure(frame, "exact" if mode == "whole" else mode, sample)


def _checked(manifest: Manifest, scene: ReferenceScene) -> _Scene:
    try:
        given = check_inputs(manifest, scene.lr_hsi, scene.hr_msi, resample=False)
    except InputError as err:
        raise InputError(f"the scene {scene.name}: {err}") from err
    if scene.hr_hsi is None:
        return _Scene(scene.name, given, None)
    rows, cols, bands = given.lr_hsi.shape
    wanted = (rows * manifest.ratio, cols * manifest.ratio, bands)
    truth = scene.hr_hsi.physical()
    if truth.shape != wanted:
        raise InputError(f"the scene {scene.name}: hr_hsi is {truth.shape}; wanted {wanted}, as for the other two")
    return _Scene(scene.name, given, truth)


def _split(manifest: Manifest, scenes: list[_Scene]) -> tuple[list[_Scene], list[_Scene]]:
    grounds = list(dict.fromkeys(scene.ground for scene in scenes))
    if len(grounds) > 1:
        # The last ones by name: those called alike often lie side by side.
        held = set(grounds[-max(1, len(grounds) // 3) :])
        calibration = [scene for scene in scenes if scene.ground not in held]
        held_out = [scene for scene in scenes if scene.ground in held]
        return calibration, [held_out[index] for index in _spread_indices(len(held_out), HELD_OUT_FRAMES)]
    parts = [_cut_in_two(manifest, scene) for scene in scenes]
    return [first for first, _ in parts], [second for _, second in parts]


def _cut_in_two(manifest: Manifest, scene: _Scene) -> tuple[_Scene, _Scene]:
    """Two thirds of a frame and the rest, along its longer axis."""
    rows, cols = scene.lr_shape
    unit = manifest.tiling.alignment_lr
    least = max(manifest.tiling.min_lr, unit)
    cut = max(rows, cols) * 2 // 3 // unit * unit
    if min(cut, max(rows, cols) - cut) < least:
        raise InputError(
            f"there is one scene alone, {scene.name}, of {rows} x {cols} LR pixels: too small to be cut into tiles to "
            "calibrate with and others to judge on. Add scenes of other ground, or take a larger frame"
        )
    tall = rows >= cols
    first = Region(0, cut, 0, cols) if tall else Region(0, rows, 0, cut)
    second = Region(cut, rows, 0, cols) if tall else Region(0, rows, cut, cols)
    return scene.part(first, manifest.ratio), scene.part(second, manifest.ratio)


def _calibration_tiles(
    manifest: Manifest, scenes: list[_Scene], measure: Measure
) -> tuple[tuple[CalibrationTile, ...], str]:
    tiles: list[CalibrationTile] = []
    digest = hashlib.sha256()
    takes_statistics = manifest.graphs["fp32"].given is not None
    for scene in (scenes[index] for index in _spread_indices(len(scenes), CALIBRATION_TILES)):
        frame = _frame(manifest, scene)
        valid = [tile.read for tile in _plan(manifest, frame) if frame.window(tile.read).valid.all()]
        if not valid:
            raise InputError(
                f"the scene {scene.name} holds NaN, infinite or masked pixels in every tile; leave it out, or repair it"
            )
        statistics = measure(statistics_images(manifest, frame)) if takes_statistics else None
        for index in _spread_indices(len(valid), -(-CALIBRATION_TILES // len(scenes))):
            digest.update(_fingerprint(scene, valid[index].clipped(scene.lr_shape), manifest.ratio))
            images = frame.window(valid[index]).images
            tiles.append(CalibrationTile(scene=scene.name, frame=frame, images=images, statistics=statistics))
    return tuple(tiles), digest.hexdigest()


def _fingerprint(scene: _Scene, region: Region, ratio: int) -> bytes:
    # Of what was measured, not of what was computed from it, which differs between machines in the last bits.
    part = scene.part(region, ratio).given
    arrays = [part.lr_hsi] if part.hr_msi is None else [part.lr_hsi, part.hr_msi]
    facts = f"{scene.name} {region} {[(array.shape, array.dtype.str) for array in arrays]}".encode()
    return hashlib.sha256(facts + b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).digest()


def _held_out(manifest: Manifest, scene: _Scene) -> HeldOutFrame:
    unit = manifest.tiling.alignment_lr
    most = max(1, HELD_OUT_PX // manifest.ratio // unit) * unit
    middle = [_middle(length, max(most, manifest.tiling.min_lr), unit) for length in scene.lr_shape]
    part = scene.part(Region(*middle[0], *middle[1]), manifest.ratio)
    frame = _frame(manifest, part)
    truth = None if part.truth is None else part.truth / np.float32(frame.scale)
    digest = _fingerprint(part, Region(0, part.lr_shape[0], 0, part.lr_shape[1]), manifest.ratio)
    return HeldOutFrame(scene=scene.name, frame=frame, tiles=_plan(manifest, frame), truth=truth, sha256=digest.hex())


def _middle(length: int, most: int, unit: int) -> tuple[int, int]:
    start = max(0, length - most) // 2 // unit * unit
    return start, min(length, start + most)


def _frame(manifest: Manifest, scene: _Scene) -> Frame:
    if not np.isfinite(scene.given.lr_hsi[:, :, ~scene.given.dead_bands]).all(axis=2).any():
        raise InputError(f"the scene {scene.name} has no pixel that is valid in all bands; leave it out, or repair it")
    try:
        return prepare_frame(manifest, scene.given)
    except InputError as err:
        raise InputError(f"the scene {scene.name}: {err}") from err


def _plan(manifest: Manifest, frame: Frame) -> tuple[Tile, ...]:
    tiling, grid = manifest.tiling, frame.grid.shape
    in_one_piece = manifest.statistics is not None and manifest.graphs["fp32"].given is None
    side = max(grid) if in_one_piece else _side(manifest, min(grid))
    return plan_tiles(grid, (side, side), halo=tiling.halo_lr, alignment=tiling.alignment_lr)


def _side(manifest: Manifest, shortest: int) -> int:
    """A tile's side in LR pixels: of those that the runtime tries, the one next to `SIDE_PX` with enough core."""
    tiling = manifest.tiling
    takes_statistics = manifest.graphs["fp32"].given is not None
    sides = candidate_sides(tiling, manifest.ratio, 1 << 62)
    fit = [side for side in sides if side >= 4 * tiling.halo_lr] or [sides[-1]]
    side = next((side for side in reversed(fit) if side * manifest.ratio <= SIDE_PX), fit[0])
    if not takes_statistics or side < shortest:
        return side
    # A frame of one tile would measure its own statistics, and the form that is given them would not be judged.
    return next((smaller for smaller in reversed(sides) if smaller < shortest), side)


def _spread_indices(count: int, most: int) -> list[int]:
    """Up to `most` of `count` indices, evenly spread."""
    if count <= most:
        return list(range(count))
    return [int((index + 0.5) * count / most) for index in range(most)]
