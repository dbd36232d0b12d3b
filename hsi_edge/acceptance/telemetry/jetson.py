"""Jetson boards: the power mode from the system's files, and power and temperatures through jetson-stats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hsi_edge.acceptance.telemetry import Rail, Readings, Signal, UntoldError
from hsi_edge.acceptance.telemetry.sysfs import text_of
from hsi_edge.errors import MissingPackageError, require

NVPMODEL_STATUS = Path("/var/lib/nvpmodel/status")
NVPMODEL_CONF = Path("/etc/nvpmodel.conf")


class PowerMode:
    """The mode that `nvpmodel` set, which bounds power, clocks and cores."""

    name = "nvpmodel power mode"
    rails: Mapping[str, Rail] = {}

    def __init__(self, status: Path = NVPMODEL_STATUS, conf: Path = NVPMODEL_CONF) -> None:
        found = re.search(r"pmode:(\d+)", text_of(status))
        if found is None:
            raise UntoldError(f"no {status}; Jetson boards have it")
        self._mode = int(found.group(1))
        names = re.findall(r"POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>", text_of(conf))
        self._name = dict(names).get(str(self._mode), "of unknown name")

    def facts(self) -> dict[str, str]:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        return {"power mode (nvpmodel)": f"{self._name} ({self._mode})"}

    def read(self) -> Readings:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        return {}

    def close(self) -> None:
        """See `hsi_edge.acceptance.telemetry.Source`."""


class JetsonStats:
    """What the service of jetson-stats tells; it renews its numbers at its own pace, about twice a second.

    Its power is left to `Ina3221`, which reads the same monitors faster, where that one is there.
    """

    name = "jetson-stats"

    def __init__(self, *, with_power: bool, module: Any = None) -> None:
        module = module if module is not None else _module()
        self._jtop = module.jtop()
        try:
            self._jtop.start()
        # It raises its own and the socket's errors where its service does not run.
        except Exception as err:
            raise UntoldError(f"jetson-stats does not answer: {' '.join(str(err).split())}") from err
        self._with_power = with_power
        powered = [signal.part for signal in self.read() if signal.kind == "power_w"]
        self.rails: Mapping[str, Rail] = {
            part: Rail(f"the whole module as jetson-stats adds it up ({part})", whole=True) for part in powered
        }

    def facts(self) -> dict[str, str]:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        mode, clocks = self._jtop.nvpmodel, self._jtop.jetson_clocks
        told = {"power mode (jetson-stats)": "" if mode is None else str(getattr(mode, "name", mode))}
        if clocks is not None:
            told["jetson_clocks"] = "on" if clocks else "off"
        return {name: text for name, text in told.items() if text}

    def read(self) -> Readings:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        told: Readings = {}
        for part, zone in dict(self._jtop.temperature).items():
            if zone.get("online", True) and zone["temp"] > 0:
                told[Signal("temperature_c", part)] = float(zone["temp"])
        total = self._jtop.power.get("tot", {})
        if self._with_power and "power" in total:
            told[Signal("power_w", str(total.get("name", "all rails")))] = float(total["power"]) / 1000
        return told

    def close(self) -> None:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        self._jtop.close()


def _module() -> Any:
    try:
        return require("jtop", feature="reading a Jetson board", extra="jetson")
    except MissingPackageError as err:
        raise UntoldError("the package jetson-stats is not installed (pip install 'hsi-edge[jetson]')") from err
