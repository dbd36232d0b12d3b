"""The wheel that `pip install hsi-edge` brings to a device."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from email import message_from_string
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

import hsi_edge

ROOT = Path(__file__).parents[1]
MAX_WHEEL_BYTES = 1_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """Built from a copy, so that nothing is left in the checkout and nothing left there gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "out", "runs", "*.egg-info")
    shutil.copytree(ROOT, folder / "source", ignore=unwanted)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "source"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (folder / "dist").glob("*.whl")
    return ZipFile(path)


def dist_info(wheel: ZipFile, name: str) -> str:
    (path,) = (entry for entry in wheel.namelist() if re.fullmatch(rf"hsi_edge-[^/]+\.dist-info/{name}", entry))
    return wheel.read(path).decode()


@pytest.fixture(scope="module")
def metadata(wheel: ZipFile) -> Message:
    return message_from_string(dist_info(wheel, "METADATA"))


@pytest.fixture(scope="module")
def requirements(metadata: Message) -> list[Requirement]:
    return [Requirement(line) for line in metadata.get_all("Requires-Dist")]


def test_wheel_holds_the_runtime_and_nothing_else(wheel):
    top_level = {name.split("/")[0] for name in wheel.namelist()}
    assert top_level == {"hsi_edge", f"hsi_edge-{hsi_edge.__version__}.dist-info"}


def test_wheel_holds_every_file_of_the_runtime(wheel):
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "hsi_edge").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "hsi_edge/py.typed" in wanted
    assert wanted - set(wheel.namelist()) == set()


def test_wheel_is_for_any_machine_and_small(wheel):
    assert wheel.filename.endswith("-py3-none-any.whl")
    assert Path(wheel.filename).stat().st_size < MAX_WHEEL_BYTES


def test_a_bare_install_brings_four_packages(requirements):
    bare = {r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})}
    assert bare == {"numpy", "pyyaml", "openvino", "threadpoolctl"}


def test_no_extra_brings_the_bench(requirements):
    assert {r.name for r in requirements} & {"torch", "lightning", "onnx", "onnxscript", "onnx-graphsurgeon"} == set()


def test_no_module_of_the_wheel_names_the_bench(wheel):
    bench = "torch|lightning|onnx|onnx_graphsurgeon|export|calib|engines|apps"
    pattern = re.compile(rf"^\s*(?:import|from)\s+(?:{bench})\b", re.M)
    sources = [name for name in wheel.namelist() if name.endswith(".py")]
    assert [name for name in sources if pattern.search(wheel.read(name).decode())] == []


def test_wheel_carries_version_python_and_licence(wheel, metadata):
    assert metadata["Version"] == hsi_edge.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in dist_info(wheel, "licenses/LICENSE")


def test_wheel_installs_the_command(wheel):
    points = configparser.ConfigParser()
    points.read_string(dist_info(wheel, r"entry_points\.txt"))
    assert dict(points["console_scripts"]) == {"hsi-edge": "hsi_edge.cli:main"}
