"""Bundles signed on the bench are taken by the device that trusts the key, and no others are."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import sys
import zipfile

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from model_signing import hashing, signing, verifying

import hsi_edge.signing
from engines.sign import make_keys, sign_bundle
from hsi_edge.bundle import Bundle
from hsi_edge.errors import ManifestError, MissingPackageError, SignatureError
from hsi_edge.signing import KEY_VARIABLE, signature_text, trusted_key, verify_bundle, verify_if_trusted
from tests.tiny_bundles import fusion_manifest, write_tiny_bundle

ENGINE = "engines/rtx-8.6/whole.plan"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed_once(tmp_path_factory, keys):
    """A signed bundle with an engine and a report."""
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_bundle(path, fusion_manifest())
    for name in (ENGINE, "report/accuracy.md"):
        (path / name).parent.mkdir(parents=True)
        (path / name).write_bytes(b"plan or report")
    sign_bundle(path, keys[0])
    return path


@pytest.fixture
def bundle(signed_once, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(signed_once, tmp_path / "copied-and-renamed")


def zipped(folder, *, top=""):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def flip_a_byte(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_signed_bundle_is_taken_and_its_files_are_named(bundle, keys):
    covered = verify_bundle(bundle, keys[1])
    files = Bundle.open(bundle).manifest.files
    assert covered.keys() == {"manifest.yaml", *files, ENGINE}
    assert covered["golden.npz"] == files["golden.npz"].sha256


@pytest.mark.parametrize("top", ["", "tiny/"])
def test_the_same_bundle_as_a_zip_file_is_taken(bundle, keys, top):
    assert verify_bundle(zipped(bundle, top=top), keys[1]) == verify_bundle(bundle, keys[1])


@pytest.mark.parametrize("name", ["manifest.yaml", "fp32.onnx", "golden.npz", ENGINE])
@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_one_altered_byte_is_refused_by_file_name(bundle, keys, name, pack):
    flip_a_byte(bundle / name)
    with pytest.raises(SignatureError, match=f"{name} was altered after the bundle was signed"):
        verify_bundle(pack(bundle), keys[1])


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_an_added_file_is_refused_by_name(bundle, keys, pack):
    (bundle / "int8.onnx").write_bytes(b"another graph")
    with pytest.raises(SignatureError, match=r"does not cover: int8.onnx"):
        verify_bundle(pack(bundle), keys[1])


@pytest.mark.parametrize("name", ["golden.npz", ENGINE])
@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_a_missing_file_is_refused_by_name(bundle, keys, name, pack):
    (bundle / name).unlink()
    with pytest.raises(SignatureError, match=f"lacks {name}, which was signed"):
        verify_bundle(pack(bundle), keys[1])


def test_engines_and_reports_added_later_leave_the_bundle_valid_but_are_not_covered(bundle, keys):
    added = "engines/built-here/whole.plan"
    for name in (added, "report/check.json"):
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_bytes(b"later")
    covered = verify_bundle(bundle, keys[1])
    assert ENGINE in covered
    assert added not in covered


def test_the_signature_of_another_key_is_refused_and_the_trusted_key_named(bundle, tmp_path):
    _, other = make_keys(tmp_path / "other")
    with pytest.raises(SignatureError, match=r"was not made with the private key to .*other/public.pem"):
        verify_bundle(bundle, other)


def test_the_signature_of_another_bundle_by_the_same_key_is_refused(bundle, keys, tmp_path):
    write_tiny_bundle(tmp_path / "other", fusion_manifest(4))
    shutil.copyfile(bundle / "signature", tmp_path / "other" / "signature")
    shutil.copytree(bundle / "engines", tmp_path / "other" / "engines")
    with pytest.raises(SignatureError, match="was altered"):
        verify_bundle(tmp_path / "other", keys[1])


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"verificationMaterial": {}}', "\xff"])
def test_what_is_no_signature_is_refused(bundle, keys, text):
    (bundle / "signature").write_bytes(text.encode("latin1"))
    with pytest.raises(SignatureError, match="is damaged or no signature"):
        verify_bundle(bundle, keys[1])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_signature_is_refused(bundle, keys, share):
    file = bundle / "signature"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(SignatureError, match="signature is damaged"):
        verify_bundle(bundle, keys[1])


def test_a_huge_signature_is_not_read(bundle, keys):
    (bundle / "signature").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(SignatureError, match="wanted at most"):
        verify_bundle(bundle, keys[1])


def test_what_was_signed_cannot_be_changed_inside_the_signature(bundle, keys):
    """Neither the list of files, nor what it ignores, can be rewritten without the key."""
    text = json.loads((bundle / "signature").read_text())
    payload = base64.b64decode(text["dsseEnvelope"]["payload"]).replace(b"golden.npz", b"silver.npz")
    assert b"silver.npz" in payload
    text["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    (bundle / "signature").write_text(json.dumps(text))
    with pytest.raises(SignatureError, match="was not made with the private key"):
        verify_bundle(bundle, keys[1])


def test_a_signature_that_names_no_key_is_refused(bundle, keys):
    text = json.loads((bundle / "signature").read_text())
    text["verificationMaterial"]["publicKey"] = {}
    (bundle / "signature").write_text(json.dumps(text))
    with pytest.raises(SignatureError, match="does not say by which key"):
        verify_bundle(bundle, keys[1])


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_an_unsigned_bundle_is_refused_with_the_command_that_signs(bundle, keys, pack):
    (bundle / "signature").unlink()
    with pytest.raises(SignatureError, match=r"is not signed.*python -m engines sign BUNDLE --key private.pem"):
        verify_bundle(pack(bundle), keys[1])


def test_a_link_out_of_the_bundle_is_refused(bundle, keys, tmp_path):
    (bundle / "golden.npz").rename(tmp_path / "outside.npz")
    (bundle / "golden.npz").symlink_to(tmp_path / "outside.npz")
    with pytest.raises(ManifestError, match="link that leaves the bundle"):
        verify_bundle(bundle, keys[1])


def test_the_library_itself_takes_our_signatures_of_folders(bundle, keys):
    verifying.Config().use_elliptic_key_verifier(public_key=keys[1]).verify(bundle, bundle / "signature")


def test_other_hashes_than_sha256_are_refused_by_name(bundle, keys):
    config = hashing.Config().use_file_serialization(hashing_algorithm="blake2")
    config.set_ignored_paths(paths=["signature", "report"])
    signer = signing.Config().set_hashing_config(config).use_elliptic_key_signer(private_key=keys[0])
    signer.sign(bundle, bundle / "signature")
    with pytest.raises(SignatureError, match="uses blake2b; wanted sha256"):
        verify_bundle(bundle, keys[1])


def test_a_trusted_key_that_is_missing_is_an_error(bundle, tmp_path):
    with pytest.raises(SignatureError, match=r"nowhere.pem cannot be used"):
        verify_bundle(bundle, tmp_path / "nowhere.pem")


def test_a_trusted_key_that_is_no_public_key_of_a_curve_is_an_error(bundle, keys, tmp_path):
    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for data in (b"", b"no key", keys[0].read_bytes(), pem):
        (tmp_path / "key.pem").write_bytes(data)
        with pytest.raises(SignatureError, match="wanted a PEM file with the public key of an elliptic curve"):
            verify_bundle(bundle, tmp_path / "key.pem")


def test_a_device_without_model_signing_refuses_and_says_how_to_install_it(bundle, keys, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "model_signing"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=r"pip install 'hsi-edge\[signing\]'"):
        verify_bundle(bundle, keys[1])


def test_the_trusted_key_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert trusted_key() is None
    monkeypatch.setenv(KEY_VARIABLE, "/keys/fleet.pem")
    assert str(trusted_key()) == "/keys/fleet.pem"


def test_an_empty_setting_of_the_trusted_key_does_not_turn_the_check_off(bundle, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "")
    with pytest.raises(SignatureError, match="set but empty"):
        verify_if_trusted(bundle)


def test_without_a_trusted_key_the_log_says_once_that_nothing_was_verified(bundle, monkeypatch, caplog):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    hsi_edge.signing._notice.cache_clear()
    with caplog.at_level(logging.INFO, "hsi_edge.signing"):
        assert verify_if_trusted(bundle) is None
        assert verify_if_trusted(bundle) is None
    assert [record.getMessage() for record in caplog.records] == [
        "bundles are opened unverified, as $HSI_EDGE_TRUSTED_KEY names no key to trust"
    ]


def test_the_text_for_readers_tells_signed_verified_and_unsigned_apart(bundle, keys, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, str(keys[1]))
    assert signature_text(bundle).startswith("verified with")
    monkeypatch.delenv(KEY_VARIABLE)
    assert signature_text(bundle) == "signed, but not verified: $HSI_EDGE_TRUSTED_KEY names no key to trust"
    (bundle / "signature").unlink()
    assert signature_text(bundle) == "none: $HSI_EDGE_TRUSTED_KEY names no key to trust"


def test_nothing_is_parsed_or_deserialised_before_a_bundle_is_refused(bundle, keys, monkeypatch):
    """The manifest is replaced by one that cannot even be parsed, the graph by other bytes: the signature speaks."""
    called = []
    monkeypatch.setattr("yaml.parse", lambda *_, **__: called.append("yaml"))
    monkeypatch.setattr("hsi_edge.bundle.parse_manifest", lambda *_: called.append("parse_manifest"))
    monkeypatch.setattr("numpy.load", lambda *_, **__: called.append("numpy.load"))
    (bundle / "manifest.yaml").write_text("schema: [1, *nothing")
    flip_a_byte(bundle / "fp32.onnx")
    monkeypatch.setenv(KEY_VARIABLE, str(keys[1]))
    with pytest.raises(SignatureError):
        verify_if_trusted(bundle)
    with pytest.raises(SignatureError):
        Bundle.open(bundle)
    assert called == []
