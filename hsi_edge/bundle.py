"""The model bundle: a folder, or the same as one `.zip`, that holds a model and all that is known of it.

```
manifest.yaml    what the model is, with the SHA-256 of every file below (`hsi_edge.manifest`)
fp32.onnx ...    the graphs
golden.npz       a small input pair and its FP32 output
engines/         engines built for a device; each is checked by its own facts when it is opened, so none is listed
report/          what tools measured; not listed either
signature        over all of these but report/; verified before anything is parsed, where a key is trusted
```
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi_edge.bundle_store import MANIFEST, Store, check_entry, store_at
from hsi_edge.errors import InputError, ManifestError, OutputError, SignatureError
from hsi_edge.io.atomic import atomic_path
from hsi_edge.manifest import MAX_MANIFEST_BYTES, OPEN_FOLDERS, File, Manifest, dump_manifest, parse_manifest
from hsi_edge.signing import SIGNATURE, verify_if_trusted

MAX_GOLDEN_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
# A zip file's bytes then follow from its files alone.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
# What reading a damaged file raises; zipfile uses RuntimeError for what it does not know.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError)


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A model bundle whose files were all checked against its manifest when it was opened.

    Attributes:
        manifest: What the model is.
        fingerprint: SHA-256 of the manifest's bytes. It covers every listed file, so it names the model exactly.
        store: Where the files lie.
        covered: The SHA-256 of every file that the signature covers, by name, engines included; None where no key is
            trusted (`hsi_edge.signing`).
    """

    manifest: Manifest
    fingerprint: str
    store: Store
    covered: Mapping[str, str] | None = None

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Open a bundle's folder or `.zip` file and check every file in it.

        Where a key is trusted, the signature comes first: nothing of a bundle that is not verified is parsed.

        Raises:
            SignatureError: A key is trusted, and the bundle is not signed with it, or was altered.
            ManifestError: There is no bundle, its manifest is wrong, or a file is missing, damaged, too large, not
                listed or outside the bundle.
        """
        return _opened(Path(path), verify_if_trusted(Path(path)))

    @property
    def path(self) -> Path:
        """The folder or `.zip` file."""
        return self.store.path

    def read_bytes(self, name: str) -> bytes:
        """A listed file's bytes, checked again as they are read.

        Raises:
            ManifestError: The manifest does not list the name, or the file was changed since the bundle was opened.
        """
        file = self.manifest.files.get(name)
        if file is None:
            raise ManifestError(f"{self.path} lists no file {name!r}; it has {', '.join(self.manifest.files)}")
        with _damage_named(self.path):
            return b"".join(_checked_chunks(self.store, name, file))

    def golden(self) -> dict[str, NDArray[np.generic]]:
        """The golden pair by name: `lr_hsi`, `hr_msi` (fusion only) and `hr_hsi`, `(rows, cols, bands)` each.

        Raises:
            ManifestError: The bundle has none, or it is no `.npz` of plain arrays, or too large.
        """
        name = self.manifest.golden
        if name is None:
            raise ManifestError(f"{self.path} has no golden pair, as the key golden of its manifest is null")
        wanted = ["lr_hsi", "hr_hsi"] + ["hr_msi"] * (self.manifest.task == "fusion")
        arrays = _arrays_from_npz(self.read_bytes(name), f"{self.path}/{name}")
        missing = [key for key in wanted if key not in arrays]
        if missing:
            raise ManifestError(f"{self.path}/{name} lacks {', '.join(missing)}; it holds {', '.join(arrays)}")
        return arrays


def _opened(path: Path, covered: Mapping[str, str] | None) -> Bundle:
    with _damage_named(path):
        store = store_at(path)
        text = _manifest_bytes(store)
        fingerprint = hashlib.sha256(text).hexdigest()
        if covered is not None and covered.get(MANIFEST) != fingerprint:
            raise SignatureError(f"{path}/{MANIFEST} was changed while the bundle was opened; open it again")
        manifest = parse_manifest(text, f"{path}/{MANIFEST}")
        _check_listing(store, manifest)
        for name, file in manifest.files.items():
            for _ in _checked_chunks(store, name, file):
                pass
    return Bundle(manifest=manifest, fingerprint=fingerprint, store=store, covered=covered)


def write_bundle(path: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle and open it; a `.zip` file if the path ends so, else a folder.

    The bundle is written beside its place, checked, and only then put there. A bundle already there is replaced as a
    whole, with its engines and reports, which belong to the model before.

    Args:
        path: Where to put it.
        manifest: What the model is; its `files` are filled in here.
        files: The contents by name.

    Raises:
        ManifestError: The manifest and the files do not agree.
        OutputError: Something that is not a bundle lies there, or it cannot be written.
    """
    path = Path(path)
    contents = _with_manifest(manifest, files)
    _check_replaceable(path)
    with atomic_path(path) as partial:
        if path.suffix == ".zip":
            _write_zip(partial, contents)
        else:
            _write_folder(partial, contents)
        _opened(partial, None)
    return _opened(path, None)


def update_bundle(path: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Give a bundle's folder another manifest and new or other files; its engines, reports and other files stay.

    A signature goes, as it is no longer true. The folder is written beside its place and then put there as a whole.

    Args:
        path: The bundle's folder.
        manifest: As it is to be; its `files` are filled in here.
        files: What is new or replaced, by name.

    Raises:
        InputError: The bundle is a `.zip` file.
        ManifestError: There is no whole bundle, or the manifest and the files do not agree.
        OutputError: It cannot be written.
    """
    path, old = Path(path), Bundle.open(path)
    if not path.is_dir():
        raise InputError(f"{path} is a file; unpack it to a folder, which can be changed")
    contents = {name: old.read_bytes(name) for name in old.manifest.files} | dict(files)
    listed = {
        name: File(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)) for name, data in contents.items()
    }
    with atomic_path(path) as partial:
        _write_folder(partial, {MANIFEST: dump_manifest(replace(manifest, files=listed)), **contents})
        for name in OPEN_FOLDERS:
            if (path / name).is_dir():
                shutil.copytree(path / name, partial / name)
        _opened(partial, None)
    return _opened(path, None)


def _with_manifest(manifest: Manifest, files: Mapping[str, bytes]) -> dict[str, bytes]:
    listed = {name: File(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)) for name, data in files.items()}
    return {MANIFEST: dump_manifest(replace(manifest, files=listed)), **files}


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as err:
        raise ManifestError(f"{path} cannot be read or is damaged ({err}); copy the bundle anew") from err


def _manifest_bytes(store: Store) -> bytes:
    size = store.sizes[MANIFEST]
    if size > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{store.path}/{MANIFEST} has {size} bytes; wanted at most {MAX_MANIFEST_BYTES}")
    with store.open(MANIFEST) as stream:
        return stream.read(size)


def _check_listing(store: Store, manifest: Manifest) -> None:
    for name, file in manifest.files.items():
        size = store.sizes.get(name)
        if size is None:
            raise ManifestError(f"{store.path} lists {name}, which is not there; copy the bundle anew")
        _check_size(store, name, size, file)
    extra = store.sizes.keys() - manifest.files.keys() - {MANIFEST, SIGNATURE}
    if extra:
        raise ManifestError(
            f"{store.path} holds files that its manifest does not list: {', '.join(sorted(extra)[:5])}; remove them, "
            "or put what tools wrote into report/"
        )


def _checked_chunks(store: Store, name: str, file: File) -> Iterator[bytes]:
    digest, size = hashlib.sha256(), 0
    with store.open(name) as stream:
        while size <= file.size_bytes and (chunk := stream.read(_CHUNK_BYTES)):
            size += len(chunk)
            digest.update(chunk)
            yield chunk
    _check_size(store, name, size, file)
    if digest.hexdigest() != file.sha256:
        raise ManifestError(
            f"{store.path}/{name} is not the file that the manifest lists: its sha256 is {digest.hexdigest()}, wanted "
            f"{file.sha256}; copy the bundle anew"
        )


def _check_size(store: Store, name: str, size: int, file: File) -> None:
    if size != file.size_bytes:
        raise ManifestError(
            f"{store.path}/{name} has {size} bytes; the manifest lists {file.size_bytes}; copy the bundle anew"
        )


def _arrays_from_npz(data: bytes, source: str) -> dict[str, NDArray[np.generic]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
        for info in infos:
            check_entry(info, source)
        size = sum(info.file_size for info in infos)
        if size > MAX_GOLDEN_BYTES:
            raise ManifestError(f"{source} would unpack to {size} bytes; wanted at most {MAX_GOLDEN_BYTES}")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {key: array for key, array in arrays.items() if isinstance(array, np.ndarray)}
    # A header inside may promise more than there is, which shows only when NumPy allocates it.
    except (*_DAMAGE, ValueError, MemoryError) as err:
        raise ManifestError(f"{source} is not an .npz file of plain arrays ({err}); write the bundle anew") from err


def _check_replaceable(path: Path) -> None:
    if not path.exists():
        return
    try:
        Bundle.open(path)
    except ManifestError as err:
        raise OutputError(
            f"{path} is left as it is, since it is not a whole model bundle; remove it or choose another place ({err})"
        ) from err
    if path.is_dir() == (path.suffix == ".zip"):
        raise OutputError(f"{path} is left as it is; a bundle's folder must not end in .zip, and its .zip file must")


def _write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in contents.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _write_zip(file: Path, contents: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), data, zipfile.ZIP_DEFLATED)
