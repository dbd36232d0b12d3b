"""Every number that the papers or the specification derived from them print, and that the networks must match."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import export.networks.pzres
from export.cli import main
from export.counts import Counts, count, count_network, profiler_macs
from export.counts_table import GELIN_CAVE, GELIN_CHIKUSEI, MSSSF, PZRES, SSRNET, prelu_slopes
from hsi_edge.errors import InputError

DOCUMENT = Path(__file__).parents[2] / "docs" / "networks.md"


@pytest.mark.parametrize(
    ("arguments", "parameters", "folded"),
    [
        ({}, 1_275_138, 1_272_129),
        ({"separable": False}, 2_562_690, 2_561_025),
        ({"ratio": 3}, 1_385_730, 1_382_721),
        ({"ratio": 4}, 1_520_898, 1_517_889),
        ({"modules": 2}, 916_866, None),
        ({"modules": 4}, 1_633_410, None),
        ({"modules": 5}, 1_991_682, None),
        ({"spectral_first": True}, 1_275_138, 1_272_129),
    ],
)
def test_ssrnet_has_the_published_parameters(arguments: dict[str, Any], parameters: int, folded: int | None) -> None:
    choice = replace(SSRNET, **arguments)
    counts = count(choice, 12 * choice.ratio, choice.ratio)
    assert counts.parameters == parameters
    assert folded in (None, counts.shipped_parameters)


@pytest.mark.parametrize(("ratio", "hr_side", "gmac"), [(2, 512, 2588.9), (3, 510, 1248.5), (4, 512, 782.6)])
def test_ssrnet_costs_what_the_specification_says(ratio: int, hr_side: int, gmac: float) -> None:
    assert count(replace(SSRNET, ratio=ratio), hr_side, ratio).macs / 1e9 == pytest.approx(gmac, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "parameters", "without_slopes", "paper_tflop", "tmac"),
    [
        ({}, 24_428_552, 24_428_040, 12.9796, 2.6698),
        ({"spectral": "none"}, 19_705_864, 19_705_352, 12.6652, 2.3557),
        ({"spectral": "conv"}, 24_426_504, 24_425_992, 13.0519, 2.7422),
        ({"ngim": False}, 18_989_448, 18_989_448, 2.0805, 2.0792),
    ],
)
def test_gelin_and_its_ablations_match_the_paper_s_table(
    arguments: dict[str, Any], parameters: int, without_slopes: int, paper_tflop: float, tmac: float
) -> None:
    choice = replace(GELIN_CAVE, **arguments)
    counts = count(choice, 512, 4)
    assert (counts.parameters, counts.parameters - prelu_slopes(choice)) == (parameters, without_slopes)
    assert counts.macs / 1e12 == pytest.approx(tmac, abs=5e-5)
    # 0.0002 T less than printed, the same in every row.
    assert profiler_macs(choice, 512, 4) / 1e12 == pytest.approx(paper_tflop - 2e-4, abs=6e-5)


@pytest.mark.parametrize("arguments", [{"resize": "bilinear"}, {"output_relu": False}])
def test_gelin_s_two_readings_have_the_same_parameters(arguments: dict[str, Any]) -> None:
    assert count(replace(GELIN_CAVE, **arguments), 64, 4) == count(GELIN_CAVE, 64, 4)


def test_gelin_matches_at_ratio_8_for_chikusei_and_for_a_small_patch() -> None:
    assert count(replace(GELIN_CAVE, ratio=8), 64, 8).parameters == 34_914_312
    assert count(GELIN_CHIKUSEI, 64, 4).parameters == 20_981_248
    assert count(GELIN_CAVE, 128, 4).macs / 1e12 == pytest.approx(0.1669, abs=5e-5)
    assert profiler_macs(GELIN_CAVE, 128, 4) / 1e12 == pytest.approx(0.8112, abs=2e-4)


@pytest.mark.parametrize(
    ("arguments", "hr_side", "parameters", "gflop"),
    [
        ({}, 512, 516_787, 270.0),
        ({"variant": "paper"}, 512, 538_555, 281.4),
        ({}, 1024, 516_787, 1080.1),
    ],
)
def test_pzres_net_matches(arguments: dict[str, Any], hr_side: int, parameters: int, gflop: float) -> None:
    counts = count(replace(PZRES, **arguments), hr_side, 8)
    assert counts.parameters == counts.shipped_parameters == parameters
    assert 2 * counts.macs / 1e9 == pytest.approx(gflop, abs=0.05)


@pytest.mark.parametrize(
    ("layers", "parameters"), [(4, 225_243), (6, 371_651), (8, 538_555), (10, 725_955), (12, 933_851)]
)
def test_pzres_net_has_the_parameters_of_its_depth(
    layers: int, parameters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.networks.pzres, "S3_PER_STAGE", layers)
    assert count(replace(PZRES, variant="paper"), 8, 8).parameters == parameters


@pytest.mark.parametrize(("stages", "parameters", "gflop"), [(1, 385_299, 201), (2, 490_275, 256)])
def test_pzres_net_with_fewer_stages_matches(
    stages: int, parameters: int, gflop: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.networks.pzres, "STAGES", stages)
    counts = count(PZRES, 512, 8)
    assert counts.parameters == parameters
    assert 2 * counts.macs / 1e9 == pytest.approx(gflop, abs=0.5)


@pytest.mark.parametrize(
    ("ratio", "features", "parameters", "gmac"),
    [
        (16, 32, 0.279e6, 17.6),
        (16, 64, 1.057e6, 65.4),
        (16, 128, 4.113e6, 251.3),
        (8, 32, 0.216e6, None),
        (8, 64, 0.807e6, None),
        (8, 128, 3.113e6, None),
    ],
)
def test_msssfnet_matches(ratio: int, features: int, parameters: float, gmac: float | None) -> None:
    choice = replace(MSSSF, ratio=ratio, spectral_features=features, spatial_features=features)
    counts = count(choice, 512, ratio)
    assert counts.parameters == pytest.approx(parameters, abs=500)
    # The multiplications are those of the output alone, the parameters those of both heads.
    assert gmac is None or counts.macs / 1e9 == pytest.approx(gmac, abs=0.05)
    assert counts.parameters - counts.shipped_parameters == 31 * (9 * features + 1)


def test_a_transposed_convolution_is_charged_per_input_pixel_and_by_the_profiler_per_output_pixel() -> None:
    assert count_network(nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1), [(1, 2, 5, 5)]) == Counts(
        parameters=99, shipped_parameters=99, macs=25 * 2 * 3 * 16
    )


def test_a_network_is_counted_as_it_is_and_left_as_it_is() -> None:
    network = nn.Conv2d(2, 3, 3, padding=1)
    before = network.weight.clone()
    assert count_network(network, [(1, 2, 4, 5)]).macs == 20 * 2 * 3 * 9
    assert torch.equal(network.weight, before)


def test_a_frame_of_no_whole_lr_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="hr_side is 510; wanted a multiple of the ratio 4"):
        count(GELIN_CAVE, 510, 4)


def test_the_document_holds_the_table_that_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["counts"]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed in DOCUMENT.read_text()
