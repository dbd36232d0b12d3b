"""Jetson boards through their files, and through a stand-in for jetson-stats."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest

from hsi_edge.acceptance.telemetry import Signal, UntoldError
from hsi_edge.acceptance.telemetry.jetson import JetsonStats, PowerMode

CONF = """
< PARAM TYPE=FILE NAME=CPU_ONLINE >
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_1 1
< POWER_MODEL ID=1 NAME=7W >
< PM_CONFIG DEFAULT=0 >
"""


def test_power_mode_is_told_by_name_and_number(tmp_path):
    (tmp_path / "status").write_text("pmode:0001 fmode:quiet\n")
    (tmp_path / "conf").write_text(CONF)
    assert PowerMode(tmp_path / "status", tmp_path / "conf").facts() == {"power mode (nvpmodel)": "7W (1)"}


def test_power_mode_without_its_table_still_has_its_number(tmp_path):
    (tmp_path / "status").write_text("pmode:0002")
    assert PowerMode(tmp_path / "status", tmp_path / "conf").facts() == {"power mode (nvpmodel)": "of unknown name (2)"}


def test_power_mode_elsewhere_is_untold(tmp_path):
    with pytest.raises(UntoldError, match="Jetson boards have it"):
        PowerMode(tmp_path / "status", tmp_path / "conf")


class FakeJtop:
    """As jetson-stats 4 answers on an Orin Nano."""

    temperature: ClassVar = {"cpu": {"temp": 49.8, "online": True}, "cv0": {"temp": -256, "online": False}}
    power: ClassVar = {"rail": {"VDD_SOC": {"power": 1380}}, "tot": {"name": "VDD_IN", "power": 4917, "avg": 4900}}
    nvpmodel = "15W"
    jetson_clocks = False
    error: Exception | None = None

    def start(self):
        if self.error:
            raise self.error

    def close(self):
        self.closed = True


def stats(*, with_power, **changes):
    return JetsonStats(with_power=with_power, module=SimpleNamespace(jtop=type("J", (FakeJtop,), changes)))


def test_jetson_stats_tells_power_temperatures_and_modes():
    source = stats(with_power=True)
    assert source.read() == {Signal("temperature_c", "cpu"): 49.8, Signal("power_w", "VDD_IN"): 4.917}
    assert source.rails["VDD_IN"].whole
    assert source.facts() == {"power mode (jetson-stats)": "15W", "jetson_clocks": "off"}


def test_power_is_left_to_the_monitors_where_they_are_read_directly():
    source = stats(with_power=False)
    assert {signal.kind for signal in source.read()} == {"temperature_c"}
    assert source.rails == {}


def test_a_service_that_does_not_run_is_told_with_its_own_words():
    with pytest.raises(UntoldError, match=r"jetson_stats\.service is not active"):
        stats(with_power=True, error=RuntimeError("The jetson_stats.service is not active"))


def test_without_the_package_the_way_to_install_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "jtop", None)
    with pytest.raises(UntoldError, match=r"hsi-edge\[jetson\]"):
        JetsonStats(with_power=True)
