from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from apps import spectral_adapter
from hsi_edge.errors import SensorTimeout
from hsi_edge.sensors.tcp import TcpSettings, TcpSource

ADAPTER = Path(spectral_adapter.__file__)


@pytest.fixture
def source():
    source = TcpSource(TcpSettings(source="tcp", listen="127.0.0.1:0"))
    source.open()
    yield source
    source.close()


def test_as_a_program_it_feeds_a_source(source):
    host, port = source.address
    command = [sys.executable, str(ADAPTER), host, str(port), "3", "100"]
    subprocess.run(command, check=True, timeout=60)
    frames = [source.read(10) for _ in range(3)]
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    for index, frame in enumerate(frames):
        assert frame.data.shape == (64, 64, 31)
        assert frame.exposure_us == 8000
        assert np.argmax(frame.data[5, :, 30]) == index
        np.testing.assert_allclose(frame.wavelengths_nm, np.linspace(400, 700, 31))
    assert frames[0].timestamp_ns < frames[1].timestamp_ns
    assert source.refused == 0


def test_it_survives_without_a_listener_and_connects_when_there_is_one(source, capsys):
    port = source.address[1]
    source.close()
    adapter = spectral_adapter.Adapter("127.0.0.1", port)
    pixels = np.ones((2, 2, 3), np.float32)
    adapter.on_frame(pixels, timestamp_ns=1)
    assert "not sent" in capsys.readouterr().err
    again = TcpSource(TcpSettings(source="tcp", listen=f"127.0.0.1:{port}"))
    again.open()
    try:
        adapter.on_frame(pixels.transpose(1, 0, 2)[::-1], timestamp_ns=2)
        assert again.read(10).sequence == 1
        with pytest.raises(SensorTimeout):
            again.read(0.01)
    finally:
        adapter.close()
        again.close()


def test_it_needs_numpy_and_the_standard_library_alone():
    nodes = list(ast.walk(ast.parse(ADAPTER.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert names - {"numpy"} <= sys.stdlib_module_names


@pytest.mark.parametrize("words", [[], ["127.0.0.1"], ["127.0.0.1", "port"], ["127.0.0.1", "9100", "many"]])
def test_wrong_use_is_told_in_one_line(words):
    done = subprocess.run([sys.executable, str(ADAPTER), *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("wanted: spectral_adapter.py HOST PORT")
    assert done.stderr.count("\n") == 1
