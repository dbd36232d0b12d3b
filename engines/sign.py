"""Sign bundles on the bench, with a key pair of an elliptic curve; `hsi_edge.signing` verifies them on the device."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines.pack import put_into_zip, unpack
from hsi_edge.bundle_store import MANIFEST, Store, store_at
from hsi_edge.errors import InputError, ManifestError, OutputError, require
from hsi_edge.io.atomic import atomic_path
from hsi_edge.manifest import parse_manifest
from hsi_edge.signing import SIGNATURE, verify_store

PRIVATE_KEY, PUBLIC_KEY = "private.pem", "public.pem"
UNSIGNED = ("report", SIGNATURE)
"""What a signature does not cover: what tools measured, and itself."""


def make_keys(folder: Path) -> tuple[Path, Path]:
    """Make a key pair of the curve P-256 in a folder: `private.pem`, for its owner alone, and `public.pem`.

    Raises:
        OutputError: A file of either name is there, which may be a key in use, or the system refuses to write.
        MissingPackageError: The package cryptography, which comes with model-signing, is not installed.
    """
    ec = _cryptography("asymmetric.ec")
    form = _cryptography("serialization")
    key = ec.generate_private_key(ec.SECP256R1())
    contents = {
        folder / PRIVATE_KEY: key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()),
        folder / PUBLIC_KEY: _public_pem(key),
    }
    if there := [str(path) for path in contents if path.exists()]:
        raise OutputError(f"{' and '.join(there)} already there, and a key is never overwritten; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in contents.items():
            _write_new(path, data, 0o600 if path.name == PRIVATE_KEY else 0o644)
    except OSError as err:
        raise OutputError(f"cannot write the keys to {folder} ({err}); name a folder of your own") from err
    return folder / PRIVATE_KEY, folder / PUBLIC_KEY


def check_private_key(path: Path) -> None:
    """Refuse a key that cannot sign, before long work whose result is to be signed.

    Raises:
        InputError: It is unreadable, has a password, or is no private key of a usable curve.
        MissingPackageError: The package model-signing is not installed.
    """
    _signing("signing")
    _read_private_key(path)


def sign_bundle(path: Path, private_key: Path) -> Mapping[str, str]:
    """Sign a bundle's folder or `.zip` file, its engines included; an older signature is replaced.

    The bundle is compared with its manifest and the signature verified as a device will, before it is put in its place.

    Args:
        path: The bundle.
        private_key: A PEM file without a password.

    Returns:
        The files covered, with their SHA-256.

    Raises:
        InputError: The key cannot be used.
        ManifestError: There is no bundle, or its files are not those that its manifest lists.
        OutputError: The signature cannot be written.
        MissingPackageError: The package model-signing is not installed.
    """
    store = store_at(path)
    with tempfile.TemporaryDirectory(prefix="hsi-edge-") as temporary:
        public = Path(temporary, PUBLIC_KEY)
        public.write_bytes(_public_pem(_read_private_key(private_key)))
        folder = path if path.is_dir() else unpack(store, Path(temporary, "bundle"))
        signature = _signature(folder, private_key, Path(temporary, SIGNATURE))
        signed = verify_store(store, signature, public)
    _check_manifest(store, signed)
    if path.is_dir():
        with atomic_path(path / SIGNATURE) as partial:
            partial.write_bytes(signature)
    else:
        with atomic_path(path) as partial:
            put_into_zip(path, partial, SIGNATURE, signature)
    return signed


def _signature(folder: Path, private_key: Path, target: Path) -> bytes:
    signing, hashing = _signing("signing"), _signing("hashing")
    ignoring = hashing.Config().set_ignored_paths(paths=UNSIGNED, ignore_git_paths=False)
    config = signing.Config().set_hashing_config(ignoring).use_elliptic_key_signer(private_key=private_key)
    try:
        config.sign(folder, target)
    except ValueError as err:
        raise ManifestError(f"{folder} cannot be signed ({err}); links have no place in a bundle") from err
    return target.read_bytes()


def _check_manifest(store: Store, signed: Mapping[str, str]) -> None:
    """A signature over a damaged bundle would be kept for ever; engines have facts of their own."""
    with store.open(MANIFEST) as stream:
        listed = parse_manifest(stream.read(), f"{store.path}/{MANIFEST}").files
    own = {name for name in signed if not name.startswith("engines/")} - {MANIFEST}
    wrong = sorted(own ^ listed.keys()) + [name for name in own & listed.keys() if signed[name] != listed[name].sha256]
    if wrong:
        raise ManifestError(
            f"{store.path} was not signed: {', '.join(wrong[:5])} and its manifest do not agree; make the bundle anew"
        )


def _read_private_key(path: Path) -> Any:
    form = _cryptography("serialization")
    try:
        key = form.load_pem_private_key(path.read_bytes(), None)
        curve = key.curve.name
    # OSError; ValueError for other text; TypeError for a key with a password; AttributeError for one without a curve.
    except (OSError, ValueError, TypeError, AttributeError) as err:
        raise InputError(
            f"the private key {path} cannot be used ({err}); wanted a PEM file without a password, as made by: "
            "python -m engines keys FOLDER"
        ) from err
    if curve not in ("secp256r1", "secp384r1", "secp521r1"):
        raise InputError(f"the private key {path} is of the curve {curve}; wanted P-256, P-384 or P-521")
    return key


def _public_pem(private_key: Any) -> bytes:
    form = _cryptography("serialization")
    public = private_key.public_key()
    return bytes(public.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))


def _signing(name: str) -> Any:
    return require(f"model_signing.{name}", feature="signing a bundle", extra="signing")


def _cryptography(name: str) -> Any:
    return require(f"cryptography.hazmat.primitives.{name}", feature="signing a bundle", extra="signing")


def _write_new(path: Path, data: bytes, mode: int) -> None:
    # Made with its rights, so that at no moment others may read it; and never over another file.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
