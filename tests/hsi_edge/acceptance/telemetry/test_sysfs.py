"""Sources that are files of the kernel, read from trees as real machines have them."""

from __future__ import annotations

import pytest

from hsi_edge.acceptance.telemetry import Signal, UntoldError
from hsi_edge.acceptance.telemetry.sysfs import CpuClocks, Ina3221, JetsonGpuClock, ProcessMemory, Rapl, ThermalZones

# Jetson Orin Nano: channel 4 and up are the chip's own sums, without a current.
ORIN_NANO = {
    "hwmon0/name": "pwmfan",
    "hwmon1/name": "ina3221",
    **{f"hwmon1/in{n}_label": name for n, name in ((1, "VDD_IN"), (2, "VDD_CPU_GPU_CV"), (3, "VDD_SOC"))},
    "hwmon1/in7_label": "sum of shunt voltages",
    **{f"hwmon1/in{n}_input": value for n, value in ((1, "5080"), (2, "5072"), (3, "5072"), (7, "12"))},
    **{f"hwmon1/curr{n}_input": value for n, value in ((1, "968"), (2, "120"), (3, "272"))},
}
# Jetson AGX Orin: two chips, no rail for the whole module, one channel not connected.
AGX_ORIN = {
    "hwmon1/name": "ina3221",
    **{f"hwmon1/in{n}_label": name for n, name in ((1, "VDD_GPU_SOC"), (2, "VDD_CPU_CV"), (3, "VIN_SYS_5V0"))},
    **{f"hwmon1/in{n}_input": "10000" for n in (1, 2, 3)},
    **{f"hwmon1/curr{n}_input": "500" for n in (1, 2, 3)},
    "hwmon2/name": "ina3221",
    **{f"hwmon2/in{n}_label": name for n, name in ((1, "NC"), (2, "VDDQ_VDD2_1V8AO"))},
    **{f"hwmon2/in{n}_input": "5000" for n in (1, 2)},
    **{f"hwmon2/curr{n}_input": "100" for n in (1, 2)},
}


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def test_orin_nano_tells_its_rails_and_counts_the_one_that_feeds_all(tmp_path):
    source = Ina3221(tree(tmp_path, ORIN_NANO))
    assert source.read()[Signal("power_w", "VDD_IN")] == pytest.approx(5.08 * 0.968)
    assert {part for part, rail in source.rails.items() if rail.whole} == {"VDD_IN"}
    assert set(source.rails) == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}


def test_agx_orin_has_no_rail_of_the_whole_so_all_count(tmp_path):
    source = Ina3221(tree(tmp_path, AGX_ORIN))
    assert set(source.rails) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}
    assert not any(rail.whole for rail in source.rails.values())
    assert sum(source.read().values()) == pytest.approx(15.5)


def test_a_rail_that_does_not_answer_is_left_out_and_not_zero(tmp_path):
    source = Ina3221(tree(tmp_path, ORIN_NANO))
    (tmp_path / "hwmon1" / "curr2_input").write_text("")
    assert {signal.part for signal in source.read()} == {"VDD_IN", "VDD_SOC"}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Ina3221, "no INA3221"),
        (Rapl, "no RAPL domain"),
        (ThermalZones, "no thermal zone"),
        (CpuClocks, "no cpufreq"),
        (JetsonGpuClock, "no GPU"),
    ],
)
def test_where_there_is_nothing_to_read_the_source_says_so(kind, words, tmp_path):
    with pytest.raises(UntoldError, match=words):
        kind(tmp_path)
    with pytest.raises(UntoldError, match=words):
        kind(tmp_path / "not there")


LAPTOP = {
    "intel-rapl:0/name": "package-0",
    "intel-rapl:0/energy_uj": "262143000000",
    "intel-rapl:0/max_energy_range_uj": "262143328850",
    "intel-rapl:0:0/name": "core",
    "intel-rapl:0:0/energy_uj": "1",
    "intel-rapl:0:1/name": "dram",
    "intel-rapl:0:1/energy_uj": "1000000",
    "intel-rapl:0:1/max_energy_range_uj": "65712999613",
}


def test_rapl_counts_packages_and_memory_from_its_opening(tmp_path):
    source = Rapl(tree(tmp_path, LAPTOP))
    (tmp_path / "intel-rapl:0:1" / "energy_uj").write_text("3000000")
    told = source.read()
    assert told == {Signal("energy_j", "package-0"): 0.0, Signal("energy_j", "dram"): pytest.approx(2.0)}


def test_rapl_goes_on_where_its_counter_starts_again(tmp_path):
    source = Rapl(tree(tmp_path, LAPTOP))
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("1671150")
    assert source.read()[Signal("energy_j", "package-0")] == pytest.approx(2.0)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("2671150")
    assert source.read()[Signal("energy_j", "package-0")] == pytest.approx(3.0)


def test_rapl_platform_counter_covers_everything(tmp_path):
    psys = {"intel-rapl:1/name": "psys", "intel-rapl:1/energy_uj": "5", "intel-rapl:1/max_energy_range_uj": "9"}
    source = Rapl(tree(tmp_path, LAPTOP | psys))
    assert {part for part, rail in source.rails.items() if rail.whole} == {"psys"}


def test_two_sockets_are_two_rails(tmp_path):
    second = {"intel-rapl:1/name": "package-1", "intel-rapl:1/energy_uj": "5", "intel-rapl:1/max_energy_range_uj": "9"}
    assert set(Rapl(tree(tmp_path, LAPTOP | second)).rails) == {"package-0", "package-1", "dram"}


def test_rapl_that_this_user_may_not_read_says_so(tmp_path):
    (tree(tmp_path, LAPTOP) / "intel-rapl:0" / "energy_uj").write_text("")
    (tmp_path / "intel-rapl:0:1" / "energy_uj").unlink()
    with pytest.raises(UntoldError, match="may not read"):
        Rapl(tmp_path)


def test_temperatures_are_told_in_degrees_by_the_kernels_names(tmp_path):
    zones = {"thermal_zone0/type": "cpu-thermal", "thermal_zone0/temp": "48500"}
    zones |= {"thermal_zone1/type": "gpu-thermal", "thermal_zone1/temp": "invalid", "cooling_device0/type": "fan"}
    assert ThermalZones(tree(tmp_path, zones)).read() == {Signal("temperature_c", "cpu-thermal"): 48.5}


def test_two_zones_of_one_name_are_both_told(tmp_path):
    zones = {
        f"thermal_zone{n}/{key}": value for n in (0, 1) for key, value in (("type", "acpitz"), ("temp", f"{n + 3}0000"))
    }
    assert sorted(ThermalZones(tree(tmp_path, zones)).read().values()) == [30, 40]


def test_cpu_clock_is_the_mean_of_the_cores_with_its_governor(tmp_path):
    files = {}
    for core, clock in ((0, "1510000"), (1, "2010000")):
        files |= {f"cpu{core}/cpufreq/scaling_cur_freq": clock, f"cpu{core}/cpufreq/scaling_governor": "schedutil"}
        files |= {
            f"cpu{core}/cpufreq/scaling_max_freq": "2201600",
            f"cpu{core}/thermal_throttle/core_throttle_count": "3",
        }
    source = CpuClocks(tree(tmp_path, files | {"cpufreq/boost": "1", "cpuidle/current_driver": "none"}))
    assert source.read() == {Signal("clock_mhz", "CPU"): 1760.0, Signal("throttle_count", "CPU"): 6}
    assert source.facts() == {"CPU governor": "schedutil", "CPU clock allowed": "2.20 GHz"}


def test_the_gpu_of_a_jetson_tells_its_clock(tmp_path):
    files = {"17000000.gpu/device/of_node/name": "gpu\0", "17000000.gpu/cur_freq": "624750000"}
    files |= {"17000000.gpu/governor": "nvhost_podgov", "13e10000.host1x/cur_freq": "1"}
    source = JetsonGpuClock(tree(tmp_path, files))
    assert source.read() == {Signal("clock_mhz", "GPU gpu"): 624.75}
    assert source.facts() == {"GPU gpu governor": "nvhost_podgov"}


def test_this_process_tells_its_memory():
    (value,) = ProcessMemory().read().values()
    assert value > 10 << 20
