"""Weights that were trained with PZRes-Net's released program, for our network.

The program (ZHU-Zhiyu/PZRes-Net, `demo_cave`) saves `{"spenet": state}`. Its model holds more than it computes with:
the last stage gives one channel more than there are bands, which nothing reads, and a whole branch is never run. Both
are dropped. The inner width of that stage's last layer, which is one more as well, must stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from export.networks.pzres import S3_PER_STAGE, STAGES, PZResNet
from hsi_edge.errors import InputError

HSI_BANDS = 31
MSI_BANDS = 3


def network_from_released(state: Mapping[str, Tensor]) -> PZResNet:
    """The network of 31 bands and RGB that computes what the released program computes with these weights.

    Raises:
        InputError: A weight is missing, or has not the shape of the released program's.
    """
    network = PZResNet(HSI_BANDS, MSI_BANDS, variant="code")
    last: Any = network.stages[-1].last
    inner = HSI_BANDS + 1
    last.spectral = nn.Conv2d(last.spectral.in_channels, inner, 1)
    last.spatial = nn.Conv2d(inner, HSI_BANDS, 3, padding=1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            layer, kind = name.rsplit(".", 1)
            parameter.copy_(_found(state, f"{_LAYERS[layer]}.{kind}", tuple(parameter.shape)))
    return network


def _found(state: Mapping[str, Tensor], name: str, wanted: tuple[int, ...]) -> Tensor:
    if name not in state:
        raise InputError(
            f"the weights have no {name}; wanted those that PZRes-Net's released program saves under 'spenet'"
        )
    shape = tuple(state[name].shape)
    read = (wanted[0] + 1, *wanted[1:]) if name.startswith(_WIDER) else wanted
    if shape != read:
        raise InputError(f"{name} has the shape {shape}; the released program's for 31 bands and RGB is {read}")
    return state[name][: wanted[0]]


def _layers() -> dict[str, str]:
    """The released program's name for each of our convolutions."""
    pairs = {"refine.0": "refine.0"}
    names = {}
    for stage in range(STAGES):
        names[f"stages.{stage}.lift"] = f"stages.{stage}.Upconv.conv"
        ours = [*(f"dense.{layer}" for layer in range(S3_PER_STAGE - 1)), "last"]
        pairs |= {f"stages.{stage}.{name}": f"stages.{stage}.denselayers.{k}" for k, name in enumerate(ours)}
    for own, theirs in pairs.items():
        names[f"{own}.spectral"] = f"{theirs}.compressLayer.conv"
        names[f"{own}.spatial"] = f"{theirs}.actlayer.conv"
    return names


_LAYERS = _layers()
_WIDER = _LAYERS[f"stages.{STAGES - 1}.last.spatial"]
