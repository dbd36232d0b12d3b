"""Who signed a bundle, checked before anything in it is parsed.

Where `$HSI_EDGE_TRUSTED_KEY` names a public key (PEM, elliptic curve), a bundle opens only when its file `signature`
was made with the private key to it and every file is as it was signed. Covered is all but `report/` and the signature
itself. Engines that were built later lie in `engines/` without being covered: they are not in what `verify_bundle`
returns, and whoever loads an engine must look there first.

The signature is that of OpenSSF model-signing. Its public interface verifies folders alone, and a bundle may be a
`.zip` file: so its verifier for keys is asked what was signed, and the hashes are taken here, from the store.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hsi_edge.bundle_store import Store, store_at
from hsi_edge.errors import SignatureError, require
from hsi_edge.manifest import check_name

KEY_VARIABLE = "HSI_EDGE_TRUSTED_KEY"
SIGNATURE = "signature"
MAX_SIGNATURE_BYTES = 1 << 20
SIGN_COMMAND = "python -m engines sign BUNDLE --key private.pem"

_CHUNK_BYTES = 1 << 20
_log = logging.getLogger(__name__)


def trusted_key() -> Path | None:
    """The public key that this device trusts; None where none is configured.

    Raises:
        SignatureError: The variable is set but empty: a slip that must not turn the check off.
    """
    name = os.environ.get(KEY_VARIABLE)
    if name == "":
        raise SignatureError(f"${KEY_VARIABLE} is set but empty; name a public key's PEM file, or unset it")
    return None if name is None else Path(name)


def verify_if_trusted(path: Path) -> Mapping[str, str] | None:
    """Verify the bundle at `path` if a key is trusted; else say once in the log that nothing was verified.

    Returns:
        What `verify_bundle` returns; None where no key is trusted.

    Raises:
        SignatureError: A key is trusted and the bundle is refused, or the key itself is of no use.
        MissingPackageError: A key is trusted and model-signing is not installed.
        ManifestError: There is no bundle.
    """
    key = trusted_key()
    if key is not None:
        return verify_bundle(path, key)
    _notice()
    return None


def verify_bundle(path: Path, key: Path) -> Mapping[str, str]:
    """Verify a bundle's folder or `.zip` file with a public key; nothing in it is parsed but the signature.

    Returns:
        Every file that the signature covers, with its SHA-256 as signed: so a caller can check that what it reads later
        still is what was verified here, and that an engine is covered at all.

    Raises:
        SignatureError: The bundle is not signed, or by another key, or a file is altered, missing or not covered; or
            the key is unreadable or no public key of an elliptic curve.
        MissingPackageError: The package model-signing is not installed.
        ManifestError: There is no bundle, or it holds links or names that leave it.
    """
    check_key(key)
    store = store_at(path)
    return verify_store(store, _signature_bytes(store, key), key)


def verify_store(store: Store, signature: bytes, key: Path) -> Mapping[str, str]:
    """Do what `verify_bundle` does with a signature that is not in the bundle yet.

    Raises:
        SignatureError: See `verify_bundle`.
    """
    signed = _signed_files(store.path, signature, key)
    extra = sorted(store.sizes.keys() - signed.keys() - {SIGNATURE})
    if extra:
        raise SignatureError(
            f"{store.path} holds files that its signature does not cover: {', '.join(extra[:5])}; remove them, or sign "
            f"the bundle anew with: {SIGN_COMMAND}"
        )
    for name, sha256 in signed.items():
        if _sha256(store, name) != sha256:
            raise SignatureError(
                f"{store.path}/{name} was altered after the bundle was signed; copy the bundle anew, and if it is so "
                "at its source too, do not use it"
            )
    return signed


def check_key(key: Path) -> None:
    """Refuse a public key that cannot verify anything.

    Raises:
        SignatureError: It is missing, unreadable, or no PEM file with a public key of a usable elliptic curve.
        MissingPackageError: The package model-signing is not installed.
    """
    _verifier(key)


def signature_text(path: Path) -> str:
    """Whether the bundle at `path` is signed and by whom, in words, for a reader.

    Raises:
        SignatureError: A key is trusted and the bundle is refused.
    """
    key = trusted_key()
    if key is not None:
        return f"verified with {key}: {len(verify_bundle(path, key))} files are as they were signed"
    signed = SIGNATURE in store_at(path).sizes
    return f"{'signed, but not verified' if signed else 'none'}: ${KEY_VARIABLE} names no key to trust"


@functools.cache
def _notice() -> None:
    _log.info("bundles are opened unverified, as $%s names no key to trust", KEY_VARIABLE)


def _signature_bytes(store: Store, key: Path) -> bytes:
    size = store.sizes.get(SIGNATURE)
    if size is None:
        raise SignatureError(
            f"{store.path} is not signed, and this device takes only bundles signed for {key} (${KEY_VARIABLE}); sign "
            f"it on the bench with: {SIGN_COMMAND}"
        )
    if size > MAX_SIGNATURE_BYTES:
        raise SignatureError(f"{store.path}/{SIGNATURE} has {size} bytes; wanted at most {MAX_SIGNATURE_BYTES}")
    with store.open(SIGNATURE) as stream:
        return stream.read(size)


def _signed_files(path: Path, signature: bytes, key: Path) -> dict[str, str]:
    """What the holder of the key signed: SHA-256 by name."""
    verifier, read = _verifier(key), _read_signature(path, signature)
    try:
        items = list(verifier.verify(read).resource_descriptors())
    except Exception as err:
        raise SignatureError(
            f"{path}/{SIGNATURE} was not made with the private key to {key}, or was altered ({_reason(err)}); have the "
            f"bundle signed with that key, or trust the key that signed it with ${KEY_VARIABLE}"
        ) from err
    for item in items:
        check_name(item.identifier, f"a file in {path}/{SIGNATURE}")
        if item.digest.algorithm != "sha256":
            raise SignatureError(
                f"{path}/{SIGNATURE} uses {item.digest.algorithm}; wanted sha256, as made by: {SIGN_COMMAND}"
            )
    return {item.identifier: item.digest.digest_hex for item in items}


def _read_signature(path: Path, signature: bytes) -> Any:
    module = _model_signing("sign_sigstore_pb")
    with tempfile.TemporaryDirectory(prefix="hsi-edge-") as folder:
        file = Path(folder, SIGNATURE)
        file.write_bytes(signature)
        try:
            read = module.Signature.read(file)
            hint = read.bundle.verification_material.public_key.hint
        # The library reads it without checking, so that a damaged one raises whatever it happens to meet.
        except Exception as err:
            raise SignatureError(
                f"{path}/{SIGNATURE} is damaged or no signature of model-signing ({_reason(err)}); copy the bundle anew"
            ) from err
    if not hint:  # the library would print a warning and go on
        raise SignatureError(f"{path}/{SIGNATURE} does not say by which key it was made; sign with: {SIGN_COMMAND}")
    return read


def _verifier(key: Path) -> Any:
    module = _model_signing("sign_ec_key")
    try:
        return module.Verifier(key)
    # OSError; ValueError for other text; and AttributeError for a key that has no curve.
    except Exception as err:
        raise SignatureError(
            f"the trusted key {key} cannot be used ({_reason(err)}); wanted a PEM file with the public key of an "
            f"elliptic curve, as made by: python -m engines keys FOLDER"
        ) from err


def _model_signing(name: str) -> ModuleType:
    return require(f"model_signing._signing.{name}", feature="verifying a bundle's signature", extra="signing")


def _reason(err: Exception) -> str:
    lines = str(err).split("\n")
    return f"{type(err).__name__}: {lines[0].strip()}" if lines[0] else type(err).__name__


def _sha256(store: Store, name: str) -> str:
    digest = hashlib.sha256()
    try:
        with store.open(name) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (FileNotFoundError, KeyError):
        raise SignatureError(f"{store.path} lacks {name}, which was signed; copy the bundle anew") from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as err:
        raise SignatureError(f"{store.path}/{name} cannot be read ({err}); copy the bundle anew") from err
    return digest.hexdigest()
