from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hsi_edge.bundle import Bundle, update_bundle, write_bundle
from hsi_edge.bundle_store import check_outside_bundles
from hsi_edge.errors import InputError, ManifestError, OutputError
from hsi_edge.manifest import MAX_BUNDLE_BYTES, MAX_MANIFEST_BYTES, Bands, Graph, Input, Manifest, Msi, Tiling

MANIFEST = Manifest(
    name="toy-x2",
    network="toy",
    task="fusion",
    ratio=2,
    bands=Bands(wavelengths_nm=(450.0, 550.0)),
    msi=Msi(bands=1),
    input=Input(quantities=("dn",), lr_scaling="unit"),
    base="bilinear",
    psf_fwhm_px=2.0,
    tiling=Tiling(halo_lr=1),
    graphs={"fp32": Graph(whole="fp32.onnx")},
    golden="golden.npz",
)


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


GOLDEN = npz(lr_hsi=np.ones((2, 2, 2), np.float32), hr_msi=np.ones((4, 4, 1)), hr_hsi=np.ones((4, 4, 2), np.float32))
FILES = {"fp32.onnx": b"a graph" * 100, "golden.npz": GOLDEN}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "toy", MANIFEST, FILES).path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "toy.zip", MANIFEST, FILES).path


def rezip(folder: Path, path: Path, *, top: str = "", **extra: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in ("manifest.yaml", *FILES):
            out.write(folder / name, top + name)
        for name, data in extra.items():
            out.writestr(name, data)
    return path


def test_folder_and_zip_hold_the_same_model(folder, archive):
    opened = [Bundle.open(folder), Bundle.open(str(archive))]
    assert opened[0].manifest == opened[1].manifest
    assert opened[0].fingerprint == opened[1].fingerprint
    for bundle in opened:
        assert {name: bundle.read_bytes(name) for name in FILES} == FILES
        assert bundle.golden()["hr_hsi"].shape == (4, 4, 2)
        assert set(bundle.manifest.files) == set(FILES)


def test_the_same_model_gives_the_same_zip_file(archive, tmp_path):
    again = write_bundle(tmp_path / "again.zip", MANIFEST, FILES).path
    assert again.read_bytes() == archive.read_bytes()


def test_another_file_gives_another_fingerprint(folder, tmp_path):
    other = write_bundle(tmp_path / "other", MANIFEST, {**FILES, "fp32.onnx": b"another graph"})
    assert other.fingerprint != Bundle.open(folder).fingerprint


def test_a_zip_file_may_hold_the_bundle_in_one_top_folder(folder, tmp_path):
    bundle = Bundle.open(rezip(folder, tmp_path / "b.zip", top="toy-x2/"))
    assert bundle.read_bytes("fp32.onnx") == FILES["fp32.onnx"]


def test_files_may_lie_in_folders_of_the_bundle(tmp_path):
    manifest = replace(MANIFEST, graphs={"fp32": Graph(whole="graphs/fp32.onnx")})
    files = {"graphs/fp32.onnx": b"a graph", "golden.npz": GOLDEN}
    for name in ("deep", "deep.zip"):
        assert write_bundle(tmp_path / name, manifest, files).read_bytes("graphs/fp32.onnx") == b"a graph"


def test_tools_may_write_engines_reports_and_a_signature(folder):
    for name in ("engines/gpu/a.plan", "report/accuracy.html", "signature"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    before = Bundle.open(folder)
    assert sorted(before.manifest.files) == sorted(FILES)
    Bundle.open(rezip(folder, folder.parent / "b.zip", **{"report/a.html": b"x", "signature": b"x"}))


def test_a_large_bundle_opens_quickly(tmp_path):
    graph = np.random.default_rng(1).bytes(5_000_000)
    manifest = replace(
        MANIFEST, bands=Bands(wavelengths_nm=tuple(np.linspace(400, 2500, 224).tolist())), accuracy=({"a": 1.0},) * 50
    )
    path = write_bundle(tmp_path / "large", manifest, {**FILES, "fp32.onnx": graph}).path
    start = time.perf_counter_ns()
    Bundle.open(path)
    assert (time.perf_counter_ns() - start) / 1e6 < 500  # 20 ms on an idle core; the limit allows for a busy machine


# What is not a bundle, or not whole


def test_a_place_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"there is no model bundle at .*nothing; pass the bundle's folder or .zip"):
        Bundle.open(tmp_path / "nothing")
    with pytest.raises(ManifestError, match=r"is not a model bundle: it has no manifest.yaml"):
        Bundle.open(tmp_path)
    (tmp_path / "a.onnx").write_bytes(b"x" * 100)
    with pytest.raises(ManifestError, match=r"neither a folder nor a complete .zip file"):
        Bundle.open(tmp_path / "a.onnx")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("a/x", b"")
        out.writestr("b/manifest.yaml", b"")
    with pytest.raises(ManifestError, match=r"no manifest.yaml at its root or in a single top folder"):
        Bundle.open(tmp_path / "a.zip")


def test_a_cut_zip_file_is_refused(archive):
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ManifestError, match=r"neither a folder nor a complete .zip file"):
        Bundle.open(archive)


def test_each_flipped_byte_of_a_zip_file_is_found_or_harmless(archive, folder):
    whole, wanted = archive.read_bytes(), Bundle.open(folder).manifest
    damaged = bytearray(whole)
    for place in range(0, len(whole), 11):
        damaged[place] ^= 0x55
        archive.write_bytes(damaged)
        damaged[place] = whole[place]
        try:
            bundle = Bundle.open(archive)
        except ManifestError:
            continue
        assert bundle.manifest == wanted
        assert bundle.read_bytes("fp32.onnx") == FILES["fp32.onnx"]


def test_a_cut_manifest_is_refused(folder):
    file = folder / "manifest.yaml"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ManifestError, match=r"toy/manifest.yaml: "):
        Bundle.open(folder)


def test_a_newer_schema_and_an_unknown_key_are_refused_with_the_file(folder):
    file = folder / "manifest.yaml"
    text = file.read_text()
    file.write_text(text + "licence: MIT\n")
    with pytest.raises(ManifestError, match=r"toy/manifest.yaml: unknown key licence; known: schema, name"):
        Bundle.open(folder)
    file.write_text(text.replace("schema: 1", "schema: 7"))
    with pytest.raises(ManifestError, match=r"schema 7 is newer than the newest that this version"):
        Bundle.open(folder)


def test_a_missing_file_is_named(folder):
    (folder / "fp32.onnx").unlink()
    with pytest.raises(ManifestError, match=r"lists fp32.onnx, which is not there; copy the bundle anew"):
        Bundle.open(folder)


def test_a_file_of_another_size_is_named(folder):
    (folder / "fp32.onnx").write_bytes(b"short")
    with pytest.raises(ManifestError, match=r"fp32.onnx has 5 bytes; the manifest lists 700; copy the bundle anew"):
        Bundle.open(folder)


def test_a_changed_file_is_named(folder, tmp_path):
    (folder / "fp32.onnx").write_bytes(b"A graph" * 100)
    for path in (folder, rezip(folder, tmp_path / "b.zip")):
        with pytest.raises(ManifestError, match=r"fp32.onnx is not the file that the manifest lists: its sha256 is"):
            Bundle.open(path)


def test_a_file_changed_after_opening_is_found_on_reading(folder):
    bundle = Bundle.open(folder)
    (folder / "fp32.onnx").write_bytes(b"A graph" * 100)
    with pytest.raises(ManifestError, match=r"is not the file that the manifest lists"):
        bundle.read_bytes("fp32.onnx")
    (folder / "fp32.onnx").write_bytes(b"x" * 10_000)
    with pytest.raises(ManifestError, match=r"the manifest lists 700"):
        bundle.read_bytes("fp32.onnx")
    (folder / "fp32.onnx").unlink()
    with pytest.raises(ManifestError, match=r"cannot be read or is damaged .*No such file"):
        bundle.read_bytes("fp32.onnx")


def test_only_listed_files_are_read(folder):
    with pytest.raises(ManifestError, match=r"lists no file '../../etc/passwd'; it has fp32.onnx, golden.npz"):
        Bundle.open(folder).read_bytes("../../etc/passwd")


def test_a_file_that_is_not_listed_is_refused(folder, tmp_path):
    with pytest.raises(ManifestError, match=r"files that its manifest does not list: more/a.py; remove them, or put"):
        Bundle.open(rezip(folder, tmp_path / "b.zip", **{"more/a.py": b""}))
    (folder / "int8.onnx").write_bytes(b"x")
    with pytest.raises(ManifestError, match=r"files that its manifest does not list: int8.onnx"):
        Bundle.open(folder)


# What leaves the bundle, or its bounds


@pytest.mark.parametrize("name", ["../x", "/x", "a\\..\\..\\x", "C:x"])
def test_a_zip_entry_that_leaves_the_folder_is_refused(folder, tmp_path, name):
    with pytest.raises(ManifestError, match=r"an entry of .*b.zip is a path that leaves the bundle's folder"):
        Bundle.open(rezip(folder, tmp_path / "b.zip", **{name: b""}))


def test_a_link_that_leaves_the_folder_is_refused(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "fp32.onnx").rename(outside / "fp32.onnx")
    (folder / "fp32.onnx").symlink_to(outside / "fp32.onnx")
    with pytest.raises(ManifestError, match=r"fp32.onnx is a link that leaves the bundle's folder"):
        Bundle.open(folder)
    (folder / "fp32.onnx").unlink()
    (outside / "fp32.onnx").rename(folder / "fp32.onnx")
    (folder / "engines").symlink_to(outside)
    with pytest.raises(ManifestError, match=r"engines is a link that leaves the bundle's folder"):
        Bundle.open(folder)


def test_a_linked_bundle_opens(folder, tmp_path):
    (tmp_path / "current").symlink_to(folder)
    assert Bundle.open(tmp_path / "current").manifest.name == "toy-x2"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_a_link_in_a_circle_is_refused_and_not_waited_for(folder):
    (folder / "fp32.onnx").unlink()
    os.mkfifo(folder / "fp32.onnx")
    with pytest.raises(ManifestError, match=r"fp32.onnx is neither a regular file nor a folder"):
        Bundle.open(folder)
    (folder / "fp32.onnx").unlink()
    (folder / "fp32.onnx").symlink_to("fp32.onnx")
    with pytest.raises(ManifestError, match=r"fp32.onnx is neither a regular file nor a folder"):
        Bundle.open(folder)


def test_a_link_in_a_zip_file_is_refused(folder, tmp_path):
    path = rezip(folder, tmp_path / "b.zip")
    with zipfile.ZipFile(path, "a") as out:
        link = zipfile.ZipInfo("report/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(link, "/etc/passwd")
    with pytest.raises(ManifestError, match=r"b.zip holds a link, report/link; pack the file itself"):
        Bundle.open(path)


def test_a_zip_file_with_one_name_twice_is_refused(folder, tmp_path):
    path = rezip(folder, tmp_path / "b.zip")
    with zipfile.ZipFile(path, "a") as out, pytest.warns(UserWarning, match=r"Duplicate name"):
        out.writestr("fp32.onnx", b"another")
    with pytest.raises(ManifestError, match=r"b.zip holds two files of one name"):
        Bundle.open(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_unpacks_without_bound_is_refused(folder, tmp_path, method):
    path = rezip(folder, tmp_path / "b.zip")
    with zipfile.ZipFile(path, "a", method) as out:
        out.writestr("report/a", b"0" * 1000)
    with pytest.raises(ManifestError, match=r"report/a in .*b.zip is encrypted or oddly compressed; pack it with defl"):
        Bundle.open(path)


def declare(path: Path, name: str, size: int) -> None:
    """Let the zip file's directory declare another unpacked size for an entry."""
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(name.encode()))
    data[place + 24 : place + 28] = size.to_bytes(4, "little")
    path.write_bytes(data)


def test_a_zip_file_that_unpacks_to_too_much_is_refused_before_it_is_read(folder, tmp_path):
    path = rezip(folder, tmp_path / "b.zip", **{"report/zeros": b"0"})
    declare(path, "report/zeros", MAX_BUNDLE_BYTES)
    with pytest.raises(ManifestError, match=f"would unpack to .* bytes; wanted at most {MAX_BUNDLE_BYTES}"):
        Bundle.open(path)


def test_a_zip_file_that_lies_about_a_size_is_refused(folder, tmp_path):
    graph = folder / "fp32.onnx"
    graph.write_bytes(b"0" * 10_000_000)
    path = rezip(folder, tmp_path / "b.zip")
    with pytest.raises(ManifestError, match=r"has 10000000 bytes; the manifest lists 700"):
        Bundle.open(path)
    declare(path, "fp32.onnx", 700)
    with pytest.raises(ManifestError, match=r"Bad CRC-32|is not the file that the manifest lists"):
        Bundle.open(path)


def test_a_huge_manifest_is_refused_before_it_is_read(folder, tmp_path):
    (folder / "manifest.yaml").write_bytes(b"#" * (MAX_MANIFEST_BYTES + 1))
    for path in (folder, rezip(folder, tmp_path / "b.zip")):
        with pytest.raises(ManifestError, match=r"manifest.yaml has 1048577 bytes; wanted at most 1048576"):
            Bundle.open(path)


# The golden pair


def golden_of(tmp_path: Path, data: bytes) -> dict[str, np.ndarray]:
    return write_bundle(tmp_path / "toy", MANIFEST, {**FILES, "golden.npz": data}).golden()


def test_a_golden_pair_that_lacks_an_array_is_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"golden.npz lacks hr_hsi, hr_msi; it holds lr_hsi"):
        golden_of(tmp_path, npz(lr_hsi=np.ones(1)))


def test_a_golden_pair_is_never_unpickled(tmp_path):
    with pytest.raises(ManifestError, match=r"golden.npz is not an .npz file of plain arrays .*allow_pickle"):
        golden_of(tmp_path, npz(lr_hsi=np.array([{}], dtype=object)))


def test_a_golden_pair_that_is_no_npz_is_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"golden.npz is not an .npz file of plain arrays"):
        golden_of(tmp_path, b"no zip file")


def test_a_golden_header_that_promises_more_than_there_is_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 1000)})
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as out:
        out.writestr("lr_hsi.npy", header.getvalue())
    with pytest.raises(ManifestError, match=r"golden.npz is not an .npz file of plain arrays"):
        golden_of(tmp_path, stream.getvalue())


def test_a_golden_bomb_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("lr_hsi.npy", b"0")
    declare(path, "lr_hsi.npy", 1 << 30)
    with pytest.raises(ManifestError, match=r"golden.npz would unpack to 1073741824 bytes; wanted at most 268435456"):
        golden_of(tmp_path, path.read_bytes())


def test_a_model_without_a_golden_pair_says_so(tmp_path):
    regression = replace(MANIFEST, network="regression", base="regression", graphs={}, golden=None)
    bundle = write_bundle(tmp_path / "regression", regression, {})
    with pytest.raises(ManifestError, match=r"has no golden pair, as the key golden of its manifest is null"):
        bundle.golden()


# Writing


@pytest.mark.parametrize("name", ["toy", "toy.zip"])
def test_a_bundle_is_replaced_as_a_whole(tmp_path, name):
    write_bundle(tmp_path / name, MANIFEST, {**FILES, "more.txt": b"x"})
    bundle = write_bundle(tmp_path / name, MANIFEST, FILES)
    assert set(bundle.manifest.files) == set(FILES)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_no_bundle_is_never_replaced(folder, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"mine is left as it is, since it is not a whole model bundle; remove it or"):
        write_bundle(mine, MANIFEST, FILES)
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"does not list: thesis.txt"):
        write_bundle(folder, MANIFEST, FILES)
    assert (mine / "thesis.txt").exists()
    assert (folder / "thesis.txt").exists()


def test_a_folder_is_not_replaced_by_a_zip_file_nor_a_zip_file_by_a_folder(folder, archive, tmp_path):
    shutil.move(folder, tmp_path / "folder.zip")
    shutil.move(archive, tmp_path / "file")
    for name in ("folder.zip", "file"):
        with pytest.raises(OutputError, match=r"is left as it is; a bundle's folder must not end in .zip"):
            write_bundle(tmp_path / name, MANIFEST, FILES)


@pytest.mark.parametrize("name", ["toy", "toy.zip"])
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"golden.npz": GOLDEN}, "graphs.fp32.whole is 'fp32.onnx'; wanted one of files: golden.npz"),
        ({**FILES, "../x": b""}, "leaves the bundle's folder"),
    ],
)
def test_a_bundle_that_does_not_fit_together_leaves_the_old_one(tmp_path, name, files, message):
    before = write_bundle(tmp_path / name, MANIFEST, FILES).fingerprint
    with pytest.raises(ManifestError, match=message):
        write_bundle(tmp_path / name, MANIFEST, files)
    assert Bundle.open(tmp_path / name).fingerprint == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*nowhere.*create it first"):
        write_bundle(tmp_path / "nowhere" / "toy", MANIFEST, FILES)


KILLED = """
import os, sys
from hsi_edge import bundle
from hsi_edge.bundle import Bundle, update_bundle, write_bundle

path, source = sys.argv[1:]
model = Bundle.open(source)
files = {name: model.read_bytes(name) for name in model.manifest.files}
open_store = bundle.store_at

def kill_when_all_is_written(place):
    if place.name.startswith("."):
        os.kill(os.getpid(), 9)
    return open_store(place)

bundle.store_at = kill_when_all_is_written
write_bundle(path, model.manifest, {**files, "new.txt": b"x"})
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process by a signal")
@pytest.mark.parametrize("name", ["toy", "toy.zip"])
@pytest.mark.parametrize("old", [True, False])
def test_a_killed_write_leaves_the_old_bundle_or_none(tmp_path, name, old):
    source = write_bundle(tmp_path / "source", MANIFEST, FILES)
    if old:
        write_bundle(tmp_path / name, MANIFEST, FILES)
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / name, source.path], cwd=root, capture_output=True, text=True
    )
    assert ended.returncode == -9, ended.stderr
    if old:
        assert Bundle.open(tmp_path / name).fingerprint == source.fingerprint
    else:
        assert not (tmp_path / name).exists()


def test_an_updated_bundle_keeps_its_engines_reports_and_other_files(folder):
    for name in ("engines/rtx/plan", "report/bench.md", "signature"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"made later")
    updated = update_bundle(folder, replace(MANIFEST, advice="faster"), {"fp16.onnx": b"halved"})
    assert updated.manifest.advice == "faster"
    assert updated.read_bytes("fp16.onnx") == b"halved"
    assert updated.read_bytes("fp32.onnx") == FILES["fp32.onnx"]
    assert (folder / "engines/rtx/plan").read_bytes() == (folder / "report/bench.md").read_bytes() == b"made later"
    # It signed the manifest before.
    assert not (folder / "signature").exists()


def test_an_update_that_does_not_fit_leaves_the_bundle_as_it_was(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ManifestError):
        update_bundle(folder, replace(MANIFEST, golden="missing.npz"), {})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_zip_file_is_not_updated_in_place(archive):
    with pytest.raises(InputError, match=r"toy\.zip is a file; unpack it to a folder"):
        update_bundle(archive, MANIFEST, {})


@pytest.mark.parametrize(("inside", "refused"), [("", True), ("out", True), ("report", False), ("report/a", False)])
def test_a_tool_writes_no_results_among_a_bundle_s_own_files(folder, inside, refused):
    if refused:
        with pytest.raises(InputError, match=r"lies in the bundle .*toy; choose another folder, or .*toy/report"):
            check_outside_bundles(folder / inside)
    else:
        check_outside_bundles(folder / inside)
    check_outside_bundles(folder.parent / "beside")
