"""Sources that are plain files of a Linux kernel: thermal zones, CPU clocks, RAPL energy, INA3221 power monitors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hsi_edge.acceptance.telemetry import Rail, Readings, Signal, UntoldError
from hsi_edge.machine import resident_bytes

THERMAL = Path("/sys/class/thermal")
CPU = Path("/sys/devices/system/cpu")
POWERCAP = Path("/sys/class/powercap")
HWMON = Path("/sys/class/hwmon")
DEVFREQ = Path("/sys/class/devfreq")
WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VIN")
"""The names under which Jetson modules call the rail that feeds all of them."""
JETSON_GPUS = ("gpu", "ga10b", "gv11b", "gp10b", "gb10b")
"""What device trees call the GPUs of Jetson modules."""
_JOULES = 1e-6


class ProcessMemory:
    """What this process holds in memory."""

    name = "process memory"
    rails: Mapping[str, Rail] = {}

    def __init__(self) -> None:
        try:
            resident_bytes()
        except OSError as err:
            raise UntoldError("this system has no /proc/self/status") from err

    def facts(self) -> dict[str, str]:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        return {}

    def read(self) -> Readings:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        return {Signal("process_bytes", "process"): float(resident_bytes())}

    def close(self) -> None:
        """See `hsi_edge.acceptance.telemetry.Source`."""


class ThermalZones:
    """Temperatures, by the kernel's names of its zones."""

    name = "temperatures"
    rails: Mapping[str, Rail] = {}

    def __init__(self, root: Path = THERMAL) -> None:
        zones = {zone: text_of(zone / "type") or zone.name for zone in sorted(root.glob("thermal_zone*"))}
        names = list(zones.values())
        # Several zones of a laptop may be called acpitz.
        parts = {zone: name if names.count(name) == 1 else f"{name} ({zone.name})" for zone, name in zones.items()}
        self._zones = {zone / "temp": part for zone, part in parts.items()}
        self._zones = {path: part for path, part in self._zones.items() if number_of(path) is not None}
        if not self._zones:
            raise UntoldError(f"no thermal zone in {root} gives a temperature")

    def facts(self) -> dict[str, str]:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        return {}

    def read(self) -> Readings:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        told = {part: number_of(path) for path, part in self._zones.items()}
        return {Signal("temperature_c", part): value / 1000 for part, value in told.items() if value is not None}

    def close(self) -> None:
        """See `hsi_edge.acceptance.telemetry.Source`."""


class CpuClocks:
    """The mean clock of the cores, the governor that sets it, and how often the CPU held itself down."""

    name = "CPU clocks"
    rails: Mapping[str, Rail] = {}

    def __init__(self, root: Path = CPU) -> None:
        cores = sorted(root.glob("cpu[0-9]*"))
        self._clocks = [core / "cpufreq" / "scaling_cur_freq" for core in cores]
        self._clocks = [path for path in self._clocks if number_of(path) is not None]
        if not self._clocks:
            raise UntoldError(f"no cpufreq in {root}, as in most virtual machines")
        counters = ("core_throttle_count", "package_throttle_count")
        self._throttles = [core / "thermal_throttle" / name for core in cores for name in counters]
        self._throttles = [path for path in self._throttles if number_of(path) is not None]

    def facts(self) -> dict[str, str]:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        folders = [path.parent for path in self._clocks]
        governors = sorted({name for folder in folders if (name := text_of(folder / "scaling_governor"))})
        tops = [top for folder in folders if (top := number_of(folder / "scaling_max_freq")) is not None]
        told = {"CPU governor": ", ".join(governors), "CPU clock allowed": f"{max(tops) / 1e6:.2f} GHz" if tops else ""}
        return {name: text for name, text in told.items() if text}

    def read(self) -> Readings:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        clocks = [clock for path in self._clocks if (clock := number_of(path)) is not None]
        counts = [count for path in self._throttles if (count := number_of(path)) is not None]
        told: Readings = {Signal("clock_mhz", "CPU"): sum(clocks) / len(clocks) / 1000} if clocks else {}
        return told | ({Signal("throttle_count", "CPU"): sum(counts)} if counts else {})

    def close(self) -> None:
        """See `hsi_edge.acceptance.telemetry.Source`."""


class JetsonGpuClock:
    """The clock of a GPU that shares its chip with the CPU, as the kernel sets it."""

    name = "Jetson GPU clock"
    rails: Mapping[str, Rail] = {}

    def __init__(self, root: Path = DEVFREQ) -> None:
        devices = [device for device in sorted(root.glob("*")) if _tree_name(device) in JETSON_GPUS]
        self._clocks = {f"GPU {_tree_name(device)}": device / "cur_freq" for device in devices}
        self._clocks = {part: path for part, path in self._clocks.items() if number_of(path) is not None}
        if not self._clocks:
            raise UntoldError(f"no GPU in {root}; Jetson boards have one there")

    def facts(self) -> dict[str, str]:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        folders = {part: path.parent for part, path in self._clocks.items()}
        return {f"{part} governor": name for part, folder in folders.items() if (name := text_of(folder / "governor"))}

    def read(self) -> Readings:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        told = {part: number_of(path) for part, path in self._clocks.items()}
        return {Signal("clock_mhz", part): value / 1e6 for part, value in told.items() if value is not None}

    def close(self) -> None:
        """See `hsi_edge.acceptance.telemetry.Source`."""


class Rapl:
    """Energy counters of x86 CPUs; `psys`, where it is, covers the whole platform."""

    name = "RAPL energy counters"

    def __init__(self, root: Path = POWERCAP) -> None:
        domains = [zone for zone in sorted(root.glob("intel-rapl:*")) if _is_rail(zone)]
        if not domains:
            raise UntoldError(f"no RAPL domain in {root}")
        self._counters = {text_of(zone / "name"): zone / "energy_uj" for zone in domains}
        self._counters = {part: path for part, path in self._counters.items() if number_of(path) is not None}
        if not self._counters:
            raise UntoldError(f"{root} has RAPL counters that this user may not read; root may, or whom it allows")
        self._ranges = {part: _wanted(path.parent / "max_energy_range_uj") for part, path in self._counters.items()}
        self._last = {part: _wanted(path) for part, path in self._counters.items()}
        self._total = dict.fromkeys(self._counters, 0.0)
        self.rails: Mapping[str, Rail] = {part: _rapl_rail(part) for part in self._counters}

    def facts(self) -> dict[str, str]:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        return {}

    def read(self) -> Readings:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        for part, path in self._counters.items():
            now = number_of(path)
            if now is None:
                continue
            # The counter starts again at its range, after minutes on a busy server.
            step = now - self._last[part]
            self._total[part] += step if step >= 0 else step + self._ranges[part]
            self._last[part] = now
        return {Signal("energy_j", part): total * _JOULES for part, total in self._total.items()}

    def close(self) -> None:
        """See `hsi_edge.acceptance.telemetry.Source`."""


class Ina3221:
    """Power monitors on Jetson boards, by the names of their rails."""

    name = "INA3221 power monitors"

    def __init__(self, root: Path = HWMON) -> None:
        self._rails: dict[str, tuple[Path, Path]] = {}
        for chip in sorted(root.glob("hwmon*")):
            if text_of(chip / "name") == "ina3221":
                self._rails.update(_channels(chip))
        if not self._rails:
            raise UntoldError(f"no INA3221 in {root}; Jetson boards have them")
        whole = [part for part in self._rails if part in WHOLE_BOARD]
        self.rails: Mapping[str, Rail] = {
            part: Rail(f"the rail {part} of the board", whole=part in whole) for part in self._rails
        }

    def facts(self) -> dict[str, str]:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        return {}

    def read(self) -> Readings:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        told: Readings = {}
        for part, (volt, current) in self._rails.items():
            millivolts, milliamperes = number_of(volt), number_of(current)
            if millivolts is not None and milliamperes is not None:
                told[Signal("power_w", part)] = millivolts * milliamperes / 1e6
        return told

    def close(self) -> None:
        """See `hsi_edge.acceptance.telemetry.Source`."""


def text_of(path: Path) -> str:
    """A file's text; empty where it cannot be read, as sensors of sleeping parts cannot."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def number_of(path: Path) -> float | None:
    """A file's number; None where it holds none or cannot be read."""
    try:
        return float(text_of(path))
    except ValueError:
        return None


def _wanted(path: Path) -> float:
    return number_of(path) or 0.0


def _tree_name(device: Path) -> str:
    return text_of(device / "device" / "of_node" / "name").strip("\0")


def _is_rail(zone: Path) -> bool:
    """Whole packages and the platform; of their parts only the memory, which packages do not contain."""
    return zone.name.count(":") == 1 or text_of(zone / "name") == "dram"


def _rapl_rail(part: str) -> Rail:
    if part == "psys":
        return Rail("the whole platform as the CPU sees it (RAPL psys)", whole=True)
    if part == "dram":
        return Rail("the memory modules (RAPL dram)")
    return Rail(f"the CPU {part} with its caches, without memory modules, disk and display (RAPL)")


def _channels(chip: Path) -> dict[str, tuple[Path, Path]]:
    found = {}
    for label in sorted(chip.glob("in[0-9]*_label")):
        part, number = text_of(label), label.name[len("in") : -len("_label")]
        volt, current = chip / f"in{number}_input", chip / f"curr{number}_input"
        # Channels that are not connected are called NC; the sum of the shunts has no current.
        if part and part != "NC" and number_of(volt) is not None and number_of(current) is not None:
            found[part] = (volt, current)
    return found
