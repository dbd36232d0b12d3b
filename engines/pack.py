"""Bundles from `.zip` files to folders and back, their engines and reports included."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hsi_edge.bundle_store import MANIFEST, Store

# A zip file's bytes then follow from its files alone.
_DATE = (1980, 1, 1, 0, 0, 0)


def unpack(store: Store, folder: Path) -> Path:
    """Unpack a zipped bundle into a new folder; nothing can leave it.

    Raises:
        ManifestError: An entry is a link, leaves the bundle, or all of them are too large.
    """
    # Asking for the sizes checks every entry of the file.
    assert store.sizes
    with zipfile.ZipFile(store.path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        top = top_folder(names)
        for name in names:
            target = folder / name.removeprefix(top)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))
    return folder


def pack(folder: Path, target: Path) -> None:
    """Write a folder's files as a `.zip` file."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _DATE)
            archive.writestr(info, file.read_bytes(), zipfile.ZIP_DEFLATED)


def put_into_zip(path: Path, target: Path, name: str, data: bytes) -> None:
    """Copy a zipped bundle to `target` with one of its files new or replaced."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        top = top_folder(old.namelist())
        for info in old.infolist():
            if info.filename != top + name:
                new.writestr(info, old.read(info))
        new.writestr(zipfile.ZipInfo(top + name, _DATE), data)


def top_folder(names: list[str]) -> str:
    """The folder of the zip file in which the bundle lies, with its slash; empty where it lies at the root."""
    return "" if MANIFEST in names else f"{min(names).split('/')[0]}/"
