"""Reference scenes: frame pairs on disk, with the truth where it is known, for calibration and for sign-off.

```
SCENES/airport/lr_hsi.hdr  hr_msi.png  hr_hsi.tif      one folder per scene; hr_hsi, the truth, may be missing
SCENES/field/lr_hsi.npy    hr_msi.npy
```

Any format of `hsi_edge.io` will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io import read
from hsi_edge.io.formats import READERS
from hsi_edge.manifest import Manifest

LAYOUT = "SCENES/NAME/lr_hsi.hdr, hr_msi.png and, where the truth is known, hr_hsi.hdr (or other formats)"


@dataclass(frozen=True, eq=False, kw_only=True)
class ReferenceScene:
    """One frame pair of a user's own.

    Attributes:
        name: Of its folder.
        lr_hsi: The spectral frame.
        hr_msi: The photograph; None for a single-image model.
        hr_hsi: The truth; None where it is not known.
    """

    name: str
    lr_hsi: Cube
    hr_msi: Cube | None
    hr_hsi: Cube | None


def read_scenes(folder: Path, manifest: Manifest) -> list[ReferenceScene]:
    """Read the scenes of a folder, sorted by name.

    Raises:
        InputError: There is no such folder, no scene in it, or a scene lacks a file or has two of one name.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder of scenes at {folder}; wanted {LAYOUT}")
    found = sorted(path for path in folder.iterdir() if path.is_dir() and _file(path, "lr_hsi") is not None)
    if not found:
        raise InputError(f"{folder} holds no scene; wanted {LAYOUT}")
    return [_scene(path, fusion=manifest.task == "fusion") for path in found]


def _scene(folder: Path, *, fusion: bool) -> ReferenceScene:
    lr_hsi, hr_msi, hr_hsi = (_file(folder, name) for name in ("lr_hsi", "hr_msi", "hr_hsi"))
    assert lr_hsi is not None
    if fusion and hr_msi is None:
        raise InputError(f"the scene {folder} has no hr_msi, which this model fuses; wanted {LAYOUT}")
    return ReferenceScene(
        name=folder.name,
        lr_hsi=read(lr_hsi),
        hr_msi=read(hr_msi) if fusion and hr_msi is not None else None,
        hr_hsi=None if hr_hsi is None else read(hr_hsi),
    )


def _file(folder: Path, stem: str) -> Path | None:
    """The file of that name in any format, or the folder of PNG bands; an ENVI image counts by its header."""
    found = [path for path in sorted(folder.glob(f"{stem}.*")) if path.suffix.lower() in READERS]
    headers = [path for path in found if path.suffix.lower() == ".hdr"]
    found = (headers or found) + [path for path in [folder / stem] if path.is_dir()]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"{folder} holds {len(found)} files called {stem}: {names}; keep one")
    return found[0] if found else None
