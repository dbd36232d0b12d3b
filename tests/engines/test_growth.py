from __future__ import annotations

import json

import pytest

from engines.cli import main
from engines.growth import SIDES, FrameCost, Growth, measure_growth, repeats_of
from engines.growth_report import growth_markdown
from hsi_edge.errors import InputError


def test_growth_is_run_and_written_from_the_command_line(bundle, tmp_path, capsys):
    command = ["growth", str(bundle), "--sides", "128", "64", "--backend", "openvino", "-o", str(tmp_path / "out")]
    assert main(command) == 0, capsys.readouterr().err
    (one,) = json.loads((tmp_path / "out" / "growth.json").read_text())["bundles"]
    assert one["ran"][:2] == ["openvino", "fp32"]
    small, large = one["costs"]
    assert (small["side"], large["side"]) == (64, 128)
    assert large["array_bytes"] == 4 * small["array_bytes"]
    for cost in one["costs"]:
        assert len(cost["seconds"]) == repeats_of(cost["side"])
        assert cost["growth_bytes"] > 0
    assert (tmp_path / "out" / "growth.md").read_text().startswith("# How time and memory grow with the frame")
    assert (tmp_path / "out" / "figures" / "growth.png").stat().st_size > 1000


def test_a_size_that_fails_is_told_with_its_reason_and_the_others_are_measured(bundle):
    # Eight HR pixels are one LR pixel, which is less than the model's least frame.
    measured = measure_growth(bundle, (8, 64), None, None, lambda _line: None)
    assert [cost.side for cost in measured.costs] == [64]
    ((side, why),) = measured.failures
    assert side == 8
    assert f"8 x 8 was not measured: {why}" in growth_markdown([measured], {})


def test_where_nothing_runs_the_reason_is_an_error_and_nothing_is_written(bundle, tmp_path, capsys):
    command = ["growth", str(bundle), "--sides", "8", "-o", str(tmp_path / "out")]
    assert main(command) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("engines: mean ran on a frame of no size: lr_hsi")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("side", [0, -8, 66])
def test_a_side_that_the_ratio_does_not_divide_is_refused_before_anything_runs(bundle, side):
    with pytest.raises(InputError, match=f"a side is {side} pixels; mean takes multiples of its ratio"):
        measure_growth(bundle, (64, side), None, None, pytest.fail)


def test_every_size_is_run_at_least_twice_and_a_small_one_more_often():
    repeats = [repeats_of(side) for side in SIDES]
    assert repeats == sorted(repeats, reverse=True)
    assert repeats[0] == 30
    assert repeats[-1] == 2


def test_the_table_tells_time_per_pixel_and_memory_beside_what_was_planned():
    cost = FrameCost(
        side=1000,
        first_s=1.0,
        seconds=(0.3, 0.2, 0.7),
        prepare_s=0.05,
        array_bytes=10_000_000,
        growth_bytes=30_000_000,
        planned_bytes=20_000_000,
        planned_gpu_bytes=0,
        n_tiles=4,
        tile=(500, 600),
    )
    text = growth_markdown([Growth("some", ("openvino", "fp32", "CPU"), (cost,), ())], {"cpu": "one"})
    row = next(line for line in text.splitlines() if "1000 x 1000" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "1000 x 1000",
        "4 of 500 x 600",
        "1.000",
        "0.300",
        "0.700",
        "3",
        "0.050",
        "300",
        "10",
        "30",
        "20",
        "0",
    ]
