"""Our counts of the published networks beside those that their papers print, and of our own network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from export.counts import count, profiler_macs
from export.networks.choices import (
    FieldFuseChoice,
    GELINChoice,
    MSSSFChoice,
    NetworkChoice,
    PZResChoice,
    SSRNetChoice,
)

SSRNET = SSRNetChoice(hsi_bands=31, ratio=2)
GELIN_CAVE = GELINChoice(hsi_bands=31, ratio=4, group_bands=8, overlap=2, blocks=8)
GELIN_CHIKUSEI = GELINChoice(hsi_bands=128, ratio=4, group_bands=32, overlap=8, blocks=6)
PZRES = PZResChoice(hsi_bands=31, msi_bands=3)
MSSSF = MSSSFChoice(hsi_bands=31, msi_bands=3, ratio=16)
FIELDFUSE = FieldFuseChoice()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network at one size, and what its paper prints; empty where it prints nothing."""

    name: str
    choice: NetworkChoice
    ratio: int
    hr_side: int = 512
    parameters: str = ""
    cost: str = ""


ROWS = (
    Row(name="SSRNet", choice=SSRNET, ratio=2, parameters="1275K"),
    Row(name="SSRNet, full 3-D convolutions", choice=replace(SSRNET, separable=False), ratio=2, parameters="2562K"),
    Row(name="SSRNet", choice=replace(SSRNET, ratio=3), ratio=3, hr_side=510),
    Row(name="SSRNet", choice=replace(SSRNET, ratio=4), ratio=4),
    Row(name="GELIN, CAVE", choice=GELIN_CAVE, ratio=4, parameters="24.4280M", cost="12.9796T"),
    Row(
        name="GELIN without SCConv",
        choice=replace(GELIN_CAVE, spectral="none"),
        ratio=4,
        parameters="19.7054M",
        cost="12.6652T",
    ),
    Row(
        name="GELIN, plain convolution for SCConv",
        choice=replace(GELIN_CAVE, spectral="conv"),
        ratio=4,
        parameters="24.4260M",
        cost="13.0519T",
    ),
    Row(
        name="GELIN without NGIM",
        choice=replace(GELIN_CAVE, ngim=False),
        ratio=4,
        parameters="18.8984M",
        cost="2.0805T",
    ),
    Row(name="GELIN, CAVE", choice=replace(GELIN_CAVE, ratio=8), ratio=8),
    Row(name="GELIN, Chikusei", choice=GELIN_CHIKUSEI, ratio=4),
    Row(name="PZRes-Net, as the program", choice=PZRES, ratio=8, parameters="0.7M", cost="271G"),
    Row(name="PZRes-Net, Harvard", choice=PZRES, ratio=8, hr_side=1024, parameters="0.7M", cost="1.08T"),
    Row(name="PZRes-Net, as the text", choice=replace(PZRES, variant="paper"), ratio=8),
    Row(name="MS-SSFNet", choice=replace(MSSSF, ratio=4), ratio=4),
    Row(name="MS-SSFNet", choice=replace(MSSSF, ratio=8), ratio=8),
    Row(name="MS-SSFNet", choice=MSSSF, ratio=16),
    Row(name="FieldFuse (ours), any ratio and bands", choice=FIELDFUSE, ratio=8),
)


def counts_markdown() -> str:
    """The table, one network per line."""
    ours_and_theirs = "as the paper counts | the paper"
    titles = f"| network | ratio | HR side | parameters | {ours_and_theirs} | GMAC | {ours_and_theirs} |"
    return "\n".join([titles, "|---" * (titles.count("|") - 1) + "|", *(_line(row) for row in ROWS)])


def _line(row: Row) -> str:
    counts = count(row.choice, row.hr_side, row.ratio)
    cells = [
        row.name,
        str(row.ratio),
        str(row.hr_side),
        f"{counts.parameters:,}",
        _parameters_as_printed(row.choice, counts.parameters) if row.parameters else "",
        row.parameters,
        f"{counts.macs / 1e9:.1f}",
        _cost_as_printed(row, counts.macs) if row.cost else "",
        row.cost,
    ]
    return "| " + " | ".join(cells) + " |"


def _parameters_as_printed(choice: NetworkChoice, parameters: int) -> str:
    if isinstance(choice, SSRNetChoice):
        return f"{parameters // 1000}K"
    if isinstance(choice, GELINChoice):
        return f"{(parameters - prelu_slopes(choice)) / 1e6:.4f}M"
    return f"{parameters / 1e6:.1f}M"


def _cost_as_printed(row: Row, macs: int) -> str:
    if isinstance(row.choice, GELINChoice):
        return f"{profiler_macs(row.choice, row.hr_side, row.ratio) / 1e12:.4f}T"
    flops = 2 * macs
    return f"{flops / 1e12:.2f}T" if flops >= 1e12 else f"{flops / 1e9:.0f}G"


def prelu_slopes(choice: NetworkChoice) -> int:
    """Parameters of PReLU layers, which GELIN's paper does not count."""
    with torch.device("meta"):
        network = choice.build()
    return sum(module.num_parameters for module in network.modules() if isinstance(module, nn.PReLU))
