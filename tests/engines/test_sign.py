"""What the bench signs, and what it refuses to sign."""

from __future__ import annotations

import stat
import zipfile

import pytest
from cryptography.hazmat.primitives import serialization

from engines.cli import main
from engines.sign import make_keys, sign_bundle
from hsi_edge.errors import InputError, ManifestError, OutputError
from hsi_edge.signing import verify_bundle
from tests.tiny_bundles import fusion_manifest, write_tiny_bundle


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def bundle(tmp_path):
    write_tiny_bundle(tmp_path / "tiny", fusion_manifest())
    return tmp_path / "tiny"


def test_only_the_owner_may_read_a_new_private_key(tmp_path):
    private, public = make_keys(tmp_path / "new" / "folder")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PUBLIC KEY" in public.read_bytes()


def test_a_key_is_never_overwritten(tmp_path):
    private, _ = make_keys(tmp_path)
    before = private.read_bytes()
    with pytest.raises(OutputError, match=r"private.pem and .*public.pem already there"):
        make_keys(tmp_path)
    assert private.read_bytes() == before


def test_a_zipped_bundle_is_signed_in_place_with_its_engines(tmp_path, keys):
    path = tmp_path / "tiny.zip"
    write_tiny_bundle(path, fusion_manifest())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("engines/rtx/whole.plan", b"plan")
    first = sign_bundle(path, keys[0])
    assert "engines/rtx/whole.plan" in first
    assert verify_bundle(path, keys[1]) == first
    assert sign_bundle(path, keys[0]) == first
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist().count("signature") == 1


def test_signing_again_covers_engines_added_meanwhile(bundle, keys):
    before = sign_bundle(bundle, keys[0])
    (bundle / "engines" / "rtx").mkdir(parents=True)
    (bundle / "engines" / "rtx" / "whole.plan").write_bytes(b"plan")
    assert sign_bundle(bundle, keys[0]).keys() - before.keys() == {"engines/rtx/whole.plan"}


def test_a_bundle_that_differs_from_its_manifest_is_not_signed(bundle, keys):
    (bundle / "golden.npz").write_bytes(b"another")
    with pytest.raises(ManifestError, match=r"was not signed: golden.npz and its manifest do not agree"):
        sign_bundle(bundle, keys[0])
    assert not (bundle / "signature").exists()


def test_a_file_that_the_manifest_does_not_list_is_not_signed(bundle, keys):
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(ManifestError, match=r"notes.txt"):
        sign_bundle(bundle, keys[0])


def test_a_link_is_not_signed(bundle, keys, tmp_path):
    (tmp_path / "plan").write_bytes(b"plan")
    (bundle / "engines").mkdir()
    (bundle / "engines" / "plan").symlink_to(tmp_path / "plan")
    with pytest.raises(ManifestError, match="links have no place"):
        sign_bundle(bundle, keys[0])


def test_what_is_no_private_key_is_wrong_use(bundle, keys, tmp_path):
    for name in (tmp_path / "nowhere.pem", keys[1]):
        with pytest.raises(InputError, match="cannot be used"):
            sign_bundle(bundle, name)


def test_writing_a_bundle_anew_drops_its_signature(bundle, keys):
    sign_bundle(bundle, keys[0])
    write_tiny_bundle(bundle, fusion_manifest(4))
    assert not (bundle / "signature").exists()


def test_the_commands_make_keys_and_sign_with_them(bundle, tmp_path, capsys):
    assert main(["keys", str(tmp_path / "keys")]) == 0
    assert main(["sign", str(bundle), "--key", str(tmp_path / "keys" / "private.pem")]) == 0
    assert "keep it on the bench" in capsys.readouterr().out
    assert "manifest.yaml" in verify_bundle(bundle, tmp_path / "keys" / "public.pem")


def test_a_key_with_a_password_is_refused_before_it_is_tried(bundle, keys, tmp_path):
    key = serialization.load_pem_private_key(keys[0].read_bytes(), None)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    (tmp_path / "locked.pem").write_bytes(key.private_bytes(*form))
    with pytest.raises(InputError, match="wanted a PEM file without a password"):
        sign_bundle(bundle, tmp_path / "locked.pem")
