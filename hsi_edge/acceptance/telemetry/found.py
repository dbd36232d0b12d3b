"""Which sources this system has."""

from __future__ import annotations

from collections.abc import Callable

from hsi_edge.acceptance.telemetry import Source, Sources, UntoldError
from hsi_edge.acceptance.telemetry.jetson import JetsonStats, PowerMode
from hsi_edge.acceptance.telemetry.nvml import Nvml
from hsi_edge.acceptance.telemetry.sysfs import CpuClocks, Ina3221, JetsonGpuClock, ProcessMemory, Rapl, ThermalZones


def find_sources() -> Sources:
    """Open every source that this system has; the caller closes them."""
    opened: list[Source] = []
    untold: dict[str, str] = {}

    def take(name: str, kind: Callable[[], Source]) -> bool:
        try:
            opened.append(kind())
        except UntoldError as err:
            untold[name] = str(err)
            return False
        return True

    for kind in (ProcessMemory, ThermalZones, CpuClocks, JetsonGpuClock, Rapl, Nvml, PowerMode):
        take(kind.name, kind)
    monitors = take(Ina3221.name, Ina3221)
    take(JetsonStats.name, lambda: JetsonStats(with_power=not monitors))
    return Sources(opened=tuple(opened), untold=untold)
