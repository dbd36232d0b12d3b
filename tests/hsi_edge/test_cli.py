"""The command line as a stranger meets it: exit codes, one-line errors, what is written where."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from hsi_edge import cli
from hsi_edge._version import __version__
from hsi_edge.bundle import write_bundle
from hsi_edge.cube import Cube, Georeference
from hsi_edge.errors import EngineLoadError, InputError
from hsi_edge.io import read, write
from hsi_edge.manifest import Bands, Input, Manifest, Msi, Tiling, Training
from hsi_edge.progress import Progress
from hsi_edge.run_report import RunReport

RATIO = 2
WAVELENGTHS_NM = (450.0, 550.0, 650.0)
MANIFEST = Manifest(
    name="tiny-x2",
    network="regression",
    task="fusion",
    ratio=RATIO,
    bands=Bands(wavelengths_nm=WAVELENGTHS_NM),
    msi=Msi(bands=3, names=("red", "green", "blue")),
    input=Input(quantities=("reflectance", "radiance"), lr_scaling="frame_peak"),
    base="regression",
    psf_fwhm_px=2.0,
    tiling=Tiling(halo_lr=4),
    training=Training(data="nothing was trained", data_licence="none needed", recipe="none"),
    accuracy=({"scene": "samson", "pair": "clean", "psnr_db": 47.512, "sam_deg": 2.19},),
)


class FakeEngine:
    """Repeats pixels; fails with `error` if there is one."""

    error: BaseException | None = None
    manifest = MANIFEST
    opened_with: tuple = ()

    def __init__(self, bundle, *, backend=None, precision=None, memory_mb=None):
        type(self).opened_with = (bundle, backend, precision, memory_mb)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def run(self, lr_hsi, hr_msi=None, *, progress=None):
        for done in range(1, 5):
            progress(done, 4)
        if self.error is not None:
            raise self.error
        data = lr_hsi.physical().repeat(RATIO, axis=0).repeat(RATIO, axis=1)
        self.report = RunReport(
            bundle="tiny-x2",
            network="regression",
            ratio=RATIO,
            base="regression",
            backend="openvino",
            precision="fp32",
            device="a CPU",
            statistics=None,
            tile=data.shape[:2],
            n_tiles=4,
            lr_shape=lr_hsi.data.shape,
            msi_shape=None if hr_msi is None else hr_msi.data.shape,
            masked_lr_px=0,
            masked_msi_px=0,
            timings_ms={"prepare": 1.0, "tiles": 2.0, "total": 3.0},
            planned_bytes=1000,
            warnings=("the photograph is dark",),
        )
        return replace(lr_hsi, data=data)


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr(cli, "HSIEngine", FakeEngine)
    monkeypatch.setattr(FakeEngine, "error", None)
    return FakeEngine


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    """A working folder with a frame, a photograph and a bundle."""
    monkeypatch.chdir(tmp_path)
    cube = Cube(
        data=rng.uniform(0.1, 0.9, (6, 5, 3)).astype(np.float32),
        wavelengths_nm=np.array(WAVELENGTHS_NM),
        quantity="reflectance",
    )
    write("frame.hdr", cube)
    np.save("photo.npy", rng.integers(0, 256, (12, 10, 3), np.uint8))
    write_bundle("tiny-x2", MANIFEST, {})
    return tmp_path


@pytest.fixture
def run(folder, engine, capsys):
    """Run a command line; returns exit code, stdout and stderr."""

    def run(*arguments):
        code = cli.main(arguments)
        return code, *capsys.readouterr()

    return run


def only_error(err):
    """The one line that an error is, without the progress and warnings before it."""
    lines = err.splitlines()
    assert [line for line in lines if "Traceback" in line] == []
    assert lines[-1].startswith("hsi-edge: ")
    return lines[-1]


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"hsi-edge {__version__}\n"


def test_run_writes_the_result_and_its_report_and_says_where(run, folder):
    code, out, err = run("run", "tiny-x2", "frame.hdr", "photo.npy", "-o", "fused.npy")
    assert code == 0
    assert out.splitlines() == ["result: fused.npy (12 x 10 x 3)", "report: fused.npy.report/report.html"]
    assert err.splitlines()[-1] == "hsi-edge: warning: the photograph is dark"
    assert read("fused.npy").data.shape == (12, 10, 3)
    facts = json.loads((folder / "fused.npy.report/report.json").read_text())
    assert facts["files"] == {"lr_hsi": "frame.hdr", "hr_msi": "photo.npy", "hr_hsi": "fused.npy"}
    assert facts["msi_shape"] == [12, 10, 3]
    left = {path.name for path in folder.iterdir()}
    assert left == {"frame.hdr", "frame.img", "photo.npy", "tiny-x2", "fused.npy", "fused.npy.report"}


def test_run_fuses_files_with_the_real_engine(folder, capsys):
    assert cli.main(["run", "tiny-x2", "frame.hdr", "photo.npy", "-o", "fused.tif"]) == 0
    fused = read("fused.tif")
    assert (fused.data.shape, fused.wavelengths_nm.tolist()) == ((12, 10, 3), list(WAVELENGTHS_NM))
    assert np.isfinite(fused.physical()).all()
    assert capsys.readouterr().err.splitlines()[0].startswith("tiles: ")


def test_options_reach_the_engine(run, engine):
    run("run", "b", "frame.hdr", "-o", "o.npy", "--backend", "onnxruntime", "--precision", "bf16", "--memory-mb", "64")
    assert engine.opened_with == ("b", "onnxruntime", "bf16", 64)


def test_outputs_that_differ_in_their_ending_alone_keep_separate_reports(run, folder):
    for out in ("fused.npy", "fused.tif"):
        assert run("run", "tiny-x2", "frame.hdr", "-o", out)[0] == 0
    assert {path.name for path in folder.glob("*.report")} == {"fused.npy.report", "fused.tif.report"}


def test_report_goes_where_it_is_wanted(run, folder):
    assert run("run", "tiny-x2", "frame.hdr", "-o", "o.npy", "--report", "deep/inside")[0] == 0
    assert (folder / "deep/inside/report.html").is_file()
    assert not (folder / "o.npy.report").exists()


def test_resample_brings_the_frame_to_the_models_bands(run):
    write("fine.hdr", Cube(data=np.ones((6, 5, 31), np.float32), wavelengths_nm=np.linspace(400, 700, 31)))
    assert run("run", "tiny-x2", "fine.hdr", "-o", "o.hdr", "--resample")[0] == 0
    assert read("o.hdr").wavelengths_nm.tolist() == list(WAVELENGTHS_NM)


def test_resample_for_a_model_of_any_bands_is_refused(run, engine, monkeypatch):
    monkeypatch.setattr(engine, "manifest", replace(MANIFEST, bands=Bands()))
    code, _, err = run("run", "tiny-x2", "frame.hdr", "-o", "o.npy", "--resample")
    assert code == 2
    assert "tiny-x2 takes any bands, so there are none to resample to; omit --resample" in only_error(err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND; see: hsi-edge --help"),
        (["fly"], "invalid choice: 'fly'"),
        (["run", "tiny-x2"], "the following arguments are required: LR, -o/--output; see: hsi-edge run --help"),
        (["run", "b", "frame.hdr", "-o", "o.npy", "--memory-mb", "-3"], "--memory-mb: "),
        (["run", "b", "frame.hdr", "-o", "o.npy", "--memory-mb", "0"], "wanted a whole number above 0, got '0'"),
        (["run", "b", "frame.hdr", "-o", "o.npy", "--fast"], "unrecognized arguments: --fast"),
        (["run", "b", "none.hdr", "-o", "o.npy"], "none.hdr"),
        (
            ["run", "b", "frame.hdr", "-o", "o.jpg"],
            "cannot write o.jpg: its ending names no format; wanted one of .hdr",
        ),
        (["run", "b", "frame.hdr", "-o", "out"], "cannot write out: its ending names no format"),
        (["run", "b", "frame.hdr", "-o", "no/o.npy"], "cannot write no/o.npy: there is no folder no; make it first"),
        (["run", "b", "frame.hdr", "-o", "folder.npy"], "a folder of that name is in the way; choose another name"),
        (["run", "b", "frame.hdr", "-o", "o.npy", "--report", "frame.hdr"], "frame.hdr: it is a file; choose another"),
        (["run", "b", "frame.hdr", "-o", "frame.hdr"], "would overwrite the input frame.hdr; choose another name"),
        (["run", "b", "frame.hdr", "-o", "frame.img"], "frame.img would overwrite the input frame.hdr"),
        (["run", "b", "frame.hdr", "photo.npy", "-o", "photo.npy"], "would overwrite the input photo.npy"),
        (["run", "b", "frame.hdr", "-o", "link.npy"], "would overwrite the input frame.hdr"),
        (["run", "tiny-x2", "frame.hdr", "-o", "tiny-x2/o.npy"], "would overwrite the input tiny-x2"),
        (["run", "tiny-x2", "frame.hdr", "-o", "o.npy", "--report", "tiny-x2/r"], "would lie in the input tiny-x2"),
        (["info", "none.tif"], "cannot read none.tif: there is no such file or folder; check the path"),
    ],
)
def test_wrong_use_exits_2_with_one_line(run, folder, arguments, message):
    (folder / "folder.npy").mkdir()
    (folder / "link.npy").symlink_to("frame.img")
    before = (folder / "frame.img").read_bytes()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in only_error(err)
    assert (folder / "frame.img").read_bytes() == before


def test_wrong_places_are_found_before_the_engine_is_opened(run, engine, monkeypatch):
    monkeypatch.setattr(engine, "opened_with", "not opened")
    run("run", "b", "frame.hdr", "-o", "o.jpg")
    assert engine.opened_with == "not opened"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_found_before_the_work(run, folder, engine, monkeypatch):
    monkeypatch.setattr(engine, "opened_with", "not opened")
    (folder / "locked").mkdir(mode=0o500)
    code, _, err = run("run", "b", "frame.hdr", "-o", "locked/o.npy")
    assert (code, engine.opened_with) == (1, "not opened")
    assert only_error(err) == "hsi-edge: cannot write into the folder locked (Permission denied); choose another one"


def test_a_folder_that_takes_no_files_is_found_before_the_work(run, folder, engine, monkeypatch):
    monkeypatch.setattr(engine, "opened_with", "not opened")
    monkeypatch.setattr(cli.tempfile, "TemporaryDirectory", _refuse)
    code, _, err = run("run", "b", "frame.hdr", "-o", "o.npy")
    assert (code, engine.opened_with) == (1, "not opened")
    assert only_error(err) == "hsi-edge: cannot write into the folder . (Read-only file system); choose another one"


def test_a_missing_package_for_the_output_is_found_before_the_work(run, engine, monkeypatch):
    monkeypatch.setattr(engine, "opened_with", "not opened")
    monkeypatch.setitem(sys.modules, "zarr", None)
    code, _, err = run("run", "b", "frame.hdr", "-o", "o.zarr")
    assert (code, engine.opened_with) == (1, "not opened")
    assert "pip install 'hsi-edge[zarr]'" in only_error(err)


def _refuse(**_):
    raise OSError(30, "Read-only file system")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("lr_hsi has 4 bands;\n wanted 3"), 2, "hsi-edge: lr_hsi has 4 bands; wanted 3"),
        (EngineLoadError("no such backend"), 1, "hsi-edge: no such backend"),
        (MemoryError(), 1, "hsi-edge: unexpected MemoryError: no details; --debug shows where it arose"),
        (
            ZeroDivisionError("by zero"),
            1,
            "hsi-edge: unexpected ZeroDivisionError: by zero; --debug shows where it arose",
        ),
        (KeyboardInterrupt(), 130, "hsi-edge: interrupted"),
    ],
)
def test_failed_work_exits_with_its_code_one_line_and_no_output(run, engine, monkeypatch, folder, error, code, message):
    monkeypatch.setattr(engine, "error", error)
    found, out, err = run("run", "tiny-x2", "frame.hdr", "-o", "o.npy")
    assert (found, out) == (code, "")
    assert only_error(err) == message
    assert not list(folder.glob("o.npy*"))


def test_debug_shows_the_traceback_and_the_same_line(run, engine, monkeypatch):
    monkeypatch.setattr(engine, "error", EngineLoadError("no such backend"))
    code, _, err = run("run", "tiny-x2", "frame.hdr", "-o", "o.npy", "--debug")
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert err.endswith("\nhsi-edge: no such backend\n")


def test_a_damaged_bundle_exits_1(run, folder):
    (folder / "tiny-x2/manifest.yaml").write_text("schema: 99\n")
    code, _, err = run("info", "tiny-x2")
    assert code == 1
    assert "schema 99 is newer" in only_error(err)


def test_info_says_what_a_bundle_takes_and_how_good_it_is(run):
    code, out, _ = run("info", "tiny-x2")
    assert code == 0
    for wanted in (
        "tiny-x2: the model bundle tiny-x2",
        "2: 2 x 2 HR pixels for each LR pixel",
        "3 bands, 450 to 650 nm, each within 5 nm; reflectance or radiance",
        "3 bands (red, green, blue), registered to the LR-HSI, 2 times its rows and columns",
        "fp32 (a model without a graph)",
        "none needed",
        "scene   pair   psnr_db  sam_deg",
        "samson  clean  47.51    2.19",
        "no files beside its manifest",
    ):
        assert wanted in out


def test_info_says_what_a_file_holds(run):
    cube = Cube(
        data=np.zeros((4, 3, 6), np.int16),
        wavelengths_nm=np.linspace(400.0, 650.0, 6),
        fwhm_nm=np.full(6, 9.5),
        bad_bands=np.array([True, True, False, False, True, False]),
        quantity="reflectance",
        scale_factor=10000.0,
        nodata=-9999.0,
        georeference=Georeference((2.0, 0.0, 500000.0, 0.0, -2.0, 4100000.0), 'PROJCS["WGS 84 / UTM zone 11N"]'),
    )
    write("scene.zarr", cube)
    code, out, _ = run("info", "scene.zarr")
    assert code == 0
    for wanted in (
        "4 rows x 3 columns x 6 bands",
        "int16, 144 bytes",
        "400 to 650 nm",
        "9.5 to 9.5 nm (FWHM)",
        "stored value / 10000",
        "stored as -9999",
        "3 of 6, counted from 0: 0-1, 4",
        "WGS 84 / UTM zone 11N; pixels of 2 x 2 in its unit, upper left corner at x 500000, y 4100000",
    ):
        assert wanted in out


def test_a_reader_that_goes_away_is_no_error(folder):
    program = "import sys; from hsi_edge.cli import main; sys.exit(main(['info', 'tiny-x2']))"
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, env=environment, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_progress_is_a_plain_line_for_each_tenth_where_no_one_watches():
    stream = io.StringIO()
    with Progress(stream, "tiles") as progress:
        for done in range(1, 41):
            progress(done, 40)
    assert stream.getvalue().splitlines() == [f"tiles: {done} of 40" for done in range(4, 41, 4)]


def test_progress_on_a_terminal_is_one_line_that_ends_also_when_the_work_fails(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(ZeroDivisionError):
        _fail_on_the_second_step(stream)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")
    assert "\r\x1b[Ktiles [#####" in stream.getvalue()
    assert max(len(line) for line in stream.getvalue().splitlines()) <= 60 + len("\r\x1b[K")


def _fail_on_the_second_step(stream):
    with Progress(stream, "tiles") as progress:
        progress(1, 4)
        progress(2, 1 // 0)
