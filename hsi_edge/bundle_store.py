"""Where a bundle's files lie: a folder or a zip file, listed and read without trusting either.

Both stores have the same three members. Names are relative and use `/`; files below `OPEN_FOLDERS` are left out, since
tools write there.
"""

from __future__ import annotations

import os
import stat
import zipfile
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.manifest import MAX_BUNDLE_BYTES, OPEN_FOLDERS, check_name

MANIFEST = "manifest.yaml"


def check_outside_bundles(folder: Path) -> None:
    """Refuse to write a tool's results among the files of a bundle, which would then hold what it does not list.

    Raises:
        InputError: The folder is a bundle's, or lies in one, and not in its `OPEN_FOLDERS`.
    """
    folder = folder.resolve()
    for bundle in (folder, *folder.parents):
        if (bundle / MANIFEST).is_file() and (folder.relative_to(bundle).parts or ("",))[0] not in OPEN_FOLDERS:
            raise InputError(f"{folder} lies in the bundle {bundle}; choose another folder, or {bundle / 'report'}")


class Store(Protocol):
    """The files of a bundle."""

    path: Path

    @property
    def sizes(self) -> dict[str, int]:
        """Size in bytes of every file, by name; for a zip file, the size that it declares.

        Raises:
            ManifestError: A name or link leaves the bundle, or a zip file declares more than `MAX_BUNDLE_BYTES`.
        """
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open one of `sizes` for reading; the caller closes it."""
        ...


def store_at(path: Path) -> Store:
    """The store for a folder or zip file.

    Raises:
        ManifestError: The path is neither, or has no manifest.
    """
    if path.is_dir():
        if (path / MANIFEST).is_file():
            return FolderStore(path)
        raise ManifestError(f"{path} is not a model bundle: it has no {MANIFEST}")
    if not path.exists():
        raise ManifestError(f"there is no model bundle at {path}; pass the bundle's folder or .zip file")
    if not zipfile.is_zipfile(path):
        raise ManifestError(f"{path} is not a model bundle: it is neither a folder nor a complete .zip file")
    return ZipStore(path)


class FolderStore:
    """A bundle as a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def sizes(self) -> dict[str, int]:
        """See `Store`."""
        sizes = {}
        for folder, folders, files in os.walk(self.path):
            here = Path(folder)
            links = [name for name in folders if (here / name).is_symlink()]
            for name in files + links:
                sizes.update(self._size(here / name))
            if here == self.path:
                folders[:] = [name for name in folders if name not in OPEN_FOLDERS]
        return sizes

    def _size(self, file: Path) -> dict[str, int]:
        if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(self.path)):
            raise ManifestError(f"{file} is a link that leaves the bundle's folder; put the file itself there")
        name = file.relative_to(self.path).as_posix()
        if name in OPEN_FOLDERS:
            return {}
        if not file.is_file():
            raise ManifestError(f"{file} is neither a regular file nor a folder; remove it from the bundle")
        return {name: file.stat().st_size}

    def open(self, name: str) -> IO[bytes]:
        """See `Store`."""
        return (self.path / name).open("rb")


class ZipStore:
    """A bundle as a zip file, with its files at the root or in one top folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def sizes(self) -> dict[str, int]:
        """See `Store`."""
        names = {name.removeprefix(self._top): info.file_size for name, info in self._entries.items()}
        return {name: size for name, size in names.items() if name.split("/")[0] not in OPEN_FOLDERS}

    def open(self, name: str) -> IO[bytes]:
        """See `Store`."""
        with zipfile.ZipFile(self.path) as archive:
            # The opened entry keeps the file open for itself.
            return archive.open(self._top + name)

    @cached_property
    def _entries(self) -> dict[str, zipfile.ZipInfo]:
        with zipfile.ZipFile(self.path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
        entries = {info.filename: info for info in infos}
        if len(entries) < len(infos):
            raise ManifestError(f"{self.path} holds two files of one name; make it anew")
        for info in infos:
            check_entry(info, str(self.path))
        total = sum(info.file_size for info in infos)
        if total > MAX_BUNDLE_BYTES:
            raise ManifestError(f"{self.path} would unpack to {total} bytes; wanted at most {MAX_BUNDLE_BYTES}")
        return entries

    @cached_property
    def _top(self) -> str:
        if MANIFEST in self._entries:
            return ""
        tops = {name.split("/")[0] for name in self._entries}
        if len(tops) == 1 and f"{min(tops)}/{MANIFEST}" in self._entries:
            return f"{min(tops)}/"
        raise ManifestError(f"{self.path} is not a model bundle: no {MANIFEST} at its root or in a single top folder")


def check_entry(info: zipfile.ZipInfo, source: str) -> None:
    """Refuse an entry of a zip file that leaves its folder, is a link, or cannot be read in bounded memory.

    Raises:
        ManifestError: Names the entry and the `source`, its zip file.
    """
    check_name(info.filename, f"an entry of {source}")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ManifestError(f"{source} holds a link, {info.filename}; pack the file itself")
    # Only these two decompress no more bytes at a time than are asked for.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise ManifestError(f"{info.filename} in {source} is encrypted or oddly compressed; pack it with deflate")
