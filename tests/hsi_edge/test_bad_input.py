"""Bad files through the real command: a clear line, the right exit code, and nothing lost.

Each kind of bad input is tested in detail where it is refused (`test_inputs`, `io`, `test_bundle`); here they are seen
as a user sees them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engines.sign import make_keys, sign_bundle
from hsi_edge import cli
from hsi_edge.cube import Cube
from hsi_edge.io import write
from hsi_edge.signing import KEY_VARIABLE
from tests.tiny_bundles import WAVELENGTHS_NM, frame_pair, fusion_manifest, write_tiny_bundle

WRONG_USE, FAILED = 2, 1


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    """A bundle, a good frame pair and the result of an earlier run."""
    monkeypatch.chdir(tmp_path)
    lr_hsi, hr_msi = frame_pair(rng, (6, 5))
    write_tiny_bundle(tmp_path / "model", fusion_manifest(2))
    write("frame.hdr", Cube(data=lr_hsi, wavelengths_nm=np.array(WAVELENGTHS_NM)))
    np.save("photo.npy", hr_msi)
    np.save("out.npy", np.arange(3))
    return tmp_path


def run(capsys, lr="frame.hdr", msi="photo.npy", model="model", backend="openvino"):
    code = cli.main(["run", model, lr, msi, "-o", "out.npy", "--backend", backend])
    last = capsys.readouterr().err.splitlines()[-1:]
    return code, "".join(last)


def refuse(capsys, code, message, **files):
    """The command fails with one line that holds the message, and leaves the earlier result."""
    found, line = run(capsys, **files)
    assert line.startswith("hsi-edge: ")
    assert message in line
    assert found == code
    np.testing.assert_array_equal(np.load("out.npy"), np.arange(3))


def header(**changes):
    """Change keys of `frame.hdr`."""
    file = Path("frame.hdr")
    lines = file.read_text(encoding="utf-8").splitlines()
    for key, value in changes.items():
        name = key.replace("_", " ")
        lines = [f"{name} = {value}" if line.split(" =")[0] == name else line for line in lines]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_good_pair_runs(folder, capsys):
    assert cli.main(["run", "model", "frame.hdr", "photo.npy", "-o", "out.npy"]) == 0
    assert np.load("out.npy").shape == (12, 10, 5)


FRAMES = {
    "too few bands": (np.ones((6, 5, 4)), None, "lr_hsi has 4 bands; the model tiny-x2 takes 5 bands"),
    "bands of other wavelengths": (
        np.ones((6, 5, 5)),
        (450, 500, 560, 600, 650),
        "band 2 of lr_hsi is centred at 560 nm, the model's at 550 nm, more than 5 nm apart: pass resample=True",
    ),
    "descending bands": (np.ones((6, 5, 5)), WAVELENGTHS_NM[::-1], "the wavelengths of lr_hsi are not ascending"),
    "one pixel": (np.ones((1, 1, 5)), None, "lr_hsi is 1 x 1 pixels with 5 bands; the model tiny-x2 needs at least"),
    "another ratio": (np.ones((3, 5, 5)), None, "at ratio 2, hr_msi must be 6 x 10"),
    "NaN alone": (np.full((6, 5, 5), np.nan), None, "lr_hsi has no pixel with finite values in all bands"),
}


@pytest.mark.parametrize("case", FRAMES)
def test_a_frame_that_does_not_fit_is_refused(folder, capsys, case):
    data, wavelengths, message = FRAMES[case]
    write("bad.hdr", Cube(data=data.astype(np.float32), wavelengths_nm=wavelengths))
    refuse(capsys, WRONG_USE, message, lr="bad.hdr")


def test_swapped_arguments_are_noticed(folder, capsys):
    refuse(capsys, WRONG_USE, "they look swapped", lr="photo.npy", msi="frame.hdr")


def test_complex_and_empty_images_are_refused(folder, capsys):
    np.save("complex.npy", np.ones((6, 5, 5), complex))
    refuse(capsys, WRONG_USE, "complex.npy", lr="complex.npy")
    np.save("empty.npy", np.ones((0, 5, 5), np.float32))
    refuse(capsys, WRONG_USE, "with at least one of each", lr="empty.npy")


def test_wavelengths_in_the_wrong_unit_are_noticed(folder, capsys):
    header(wavelength_units="Millimeters")
    refuse(capsys, WRONG_USE, "nm; the model tiny-x2 takes 5 bands (450 to 650 nm), which no resampling can make of it")


def test_a_truncated_frame_is_refused(folder, capsys):
    (data,) = (path for path in folder.glob("frame*") if path.suffix != ".hdr")
    data.write_bytes(data.read_bytes()[:-1])
    refuse(capsys, WRONG_USE, data.name)


def test_a_header_that_promises_more_than_there_is_is_refused(folder, capsys):
    header(lines=7)
    refuse(capsys, WRONG_USE, "frame.img holds 600 bytes, but frame.hdr promises 700")
    header(lines=10**12)
    refuse(capsys, WRONG_USE, "frame.img holds 600 bytes, but frame.hdr promises 100000000000000: 1000000000000 lines")


def test_a_truncated_mat_file_is_refused(folder, capsys):
    from scipy.io import savemat

    savemat("frame.mat", {"cube": np.ones((6, 5, 5), np.float32)})
    whole = (folder / "frame.mat").read_bytes()
    (folder / "frame.mat").write_bytes(whole[: len(whole) // 2])
    refuse(capsys, WRONG_USE, "frame.mat", lr="frame.mat")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ratio: 2", "ratio: 2\nspeed: 3", "unknown key speed"),
        ("schema: 1", "schema: 99", "schema 99 is newer than the newest that this version of hsi_edge knows"),
        ("golden: golden.npz", "golden: ../golden.npz", "golden is '../golden.npz'; wanted one of files"),
        ("  golden.npz:", "  ../golden.npz:", "is a path that leaves the bundle's folder"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(folder, capsys, old, new, message):
    manifest = folder / "model" / "manifest.yaml"
    text = manifest.read_text(encoding="utf-8")
    assert text.count(old) == 1
    manifest.write_text(text.replace(old, new), encoding="utf-8")
    refuse(capsys, FAILED, message)


def test_a_changed_graph_is_refused(folder, capsys):
    graph = folder / "model" / "fp32.onnx"
    data = bytearray(graph.read_bytes())
    data[-1] ^= 1
    graph.write_bytes(data)
    refuse(capsys, FAILED, "fp32.onnx is not the file that the manifest lists: its sha256 is")


def test_a_bundle_for_another_sensor_is_refused(folder, capsys):
    bands = type(fusion_manifest(2).bands)(wavelengths_nm=(900.0, 1000.0, 1100.0, 1200.0, 1300.0))
    write_tiny_bundle(folder / "infrared", fusion_manifest(2, name="infrared", bands=bands))
    refuse(
        capsys,
        WRONG_USE,
        "lr_hsi covers 450 to 650 nm; the model infrared takes 5 bands (900 to 1300 nm)",
        model="infrared",
    )


@pytest.fixture
def trusted(folder, monkeypatch):
    """The bundle is signed with the key that the device trusts; a function that trusts another one."""
    ours, theirs = (make_keys(folder / name) for name in ("ours", "theirs"))
    sign_bundle(folder / "model", ours[0])
    monkeypatch.setenv(KEY_VARIABLE, str(ours[1]))
    return lambda: monkeypatch.setenv(KEY_VARIABLE, str(theirs[1]))


def test_a_bundle_altered_after_it_was_signed_is_refused(folder, capsys, trusted):
    assert cli.main(["run", "model", "frame.hdr", "photo.npy", "-o", "other.npy"]) == 0
    manifest = folder / "model" / "manifest.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    refuse(capsys, FAILED, "model/manifest.yaml was altered after the bundle was signed; copy the bundle anew")


def test_a_bundle_signed_with_another_key_or_not_at_all_is_refused(folder, capsys, trusted):
    trusted()
    refuse(capsys, FAILED, "model/signature was not made with the private key to")
    (folder / "model" / "signature").unlink()
    refuse(capsys, FAILED, "model is not signed, and this device takes only bundles signed for")


def test_an_engine_that_does_not_run_here_is_refused_where_it_is_asked_for(folder, capsys, monkeypatch):
    monkeypatch.setattr("hsi_edge.opening.find_device", lambda: (None, "there is no NVIDIA driver here"))
    refuse(
        capsys,
        FAILED,
        "no engine of tiny-x2 runs here on tensorrt-rtx: there is no NVIDIA driver here. To go on, open it with "
        "backend='openvino'",
        backend="tensorrt-rtx",
    )


def test_something_else_than_a_bundle_is_refused(folder, capsys):
    refuse(capsys, FAILED, "there is no model bundle at nowhere", model="nowhere")
    shutil.rmtree("model")
    (folder / "model").mkdir()
    refuse(capsys, FAILED, "model is not a model bundle: it has no manifest.yaml")
