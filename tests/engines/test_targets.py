"""The targets are complete, strict, and say how each of their figures is known."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engines import targets
from engines.cli import main
from engines.targets import chosen_targets, read_target, target_names
from hsi_edge.errors import InputError, ManifestError

ALL = chosen_targets(["all"])


def test_every_device_that_was_promised_is_a_target():
    by_capability = {target.compute_capability for target in ALL}
    assert by_capability == {"", "7.5", "8.6", "8.7", "8.9", "9.0", "11.0", "12.0", "12.1"}
    assert {"jetson-orin-nano", "jetson-orin-nx", "jetson-agx-orin", "jetson-agx-thor"} <= set(target_names())
    assert {"cpu-x86-64", "cpu-x86-64-amx", "cpu-aarch64"} <= set(target_names())


@pytest.mark.parametrize("target", ALL, ids=lambda target: target.name)
def test_every_figure_is_positive_and_has_a_source(target):
    for name, figure in target.figures().items():
        assert figure.value > 0, name
        assert target.sources[figure.source], name


@pytest.mark.parametrize("target", ALL, ids=lambda target: target.name)
def test_peaks_are_dense_as_narrower_arithmetic_gains_no_more_than_a_tensor_core_can(target):
    """A figure with sparsity in it would be twice too large."""
    fp16, int8 = target.peak("fp16"), target.peak("int8")
    if fp16 is not None and int8 is not None:
        most = 4 if target.name.startswith("rtx") else 2  # FP16 with FP32 accumulation runs at half rate on GeForce
        assert int8.value <= most * fp16.value * 1.02


def test_a_figure_from_memory_is_not_confirmed():
    figures = read_target("rtx-50").figures()
    assert not any(figure.confirmed for figure in figures.values())
    assert all(figure.confirmed for figure in read_target("rtx-40").figures().values())


def test_only_cpus_need_no_engine_and_only_rtx_cards_are_built_ahead_of_time():
    for target in ALL:
        wanted = "not needed" if target.kind == "cpu" else "ahead of time" if "rtx" in target.name else "on the device"
        assert target.built == wanted, target.name


def test_bf16_is_predicted_on_cpus_and_fp16_on_gpus():
    assert read_target("cpu-x86-64-amx").runs == ("fp32", "bf16", "int8")
    assert read_target("h200").runs == ("fp32", "fp16", "int8")


def test_an_unknown_target_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"no target 'orin'; there are cpu-aarch64, .*rtx-50"):
        chosen_targets(["rtx-30", "orin"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("memory_gb:", "memory_gib:", "unknown key memory_gib .did you mean memory_gb"),
        ("source: table}", "source: rumour}", "sources lacks rumour"),
        ("basis: stated", "basis: heard", "wanted one of stated, derived, measured, recalled"),
        ("name: rtx-40", "name: rtx-4060", "wanted rtx-40, as the file is called"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, monkeypatch, old, new, message):
    copy = tmp_path / "rtx-40.yaml"
    shutil.copyfile(targets.FOLDER / "rtx-40.yaml", copy)
    copy.write_text(copy.read_text().replace(old, new))
    monkeypatch.setattr(targets, "FOLDER", tmp_path)
    with pytest.raises(ManifestError, match=f"rtx-40.yaml: .*{message}"):
        read_target("rtx-40")


def test_the_page_of_targets_is_up_to_date(capsys):
    assert main(["targets"]) == 0
    page = (Path(__file__).parents[2] / "docs" / "targets.md").read_text()
    assert page == capsys.readouterr().out, "write it anew with: python -m engines targets > docs/targets.md"
