"""Wider dense layers that compute the same: on a CPU, 64 channels are faster than 62, as its vectors hold 8 or 16."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from export.networks.pzres import PZResNet
from hsi_edge.errors import ExportError

VECTOR = 16
"""Channels are filled up to a multiple of this, the floats of an AVX-512 register."""


def widened(network: PZResNet) -> PZResNet:
    """A copy of the network whose dense features are filled up with channels that are always zero.

    Its output is the same. Its statistics have more entries; those that were added are zero.
    """
    wide = copy.deepcopy(network)
    stages: Any = wide.stages
    for stage in stages:
        growth = stage.dense[0].spectral.out_channels
        fixed = stage.dense[0].spectral.in_channels
        for layer in stage.dense:
            layer.spectral = _filled(layer.spectral, fixed, growth, outputs=_filled_up(growth))
            layer.spatial = _filled(layer.spatial, 0, growth, outputs=_filled_up(growth))
        stage.last.spectral = _filled(stage.last.spectral, fixed, growth, outputs=stage.last.spectral.out_channels)
    return wide


def _filled_up(channels: int) -> int:
    return math.ceil(channels / VECTOR) * VECTOR


def _filled(conv: nn.Conv2d, fixed: int, growth: int, *, outputs: int) -> nn.Conv2d:
    """`conv` over `fixed` channels and then features of `growth` channels; those wider, and with `outputs` channels."""
    if conv.groups != 1:
        raise ExportError(
            "a depthwise network cannot be widened; train with depthwise=False, which is the published one"
        )
    features = (conv.in_channels - fixed) // growth
    wide = _filled_up(growth)
    old = [*range(fixed), *(fixed + k * wide + channel for k in range(features) for channel in range(growth))]
    filled = nn.Conv2d(fixed + features * wide, outputs, conv.kernel_size[0], padding=conv.kernel_size[0] // 2)
    assert conv.bias is not None
    assert filled.bias is not None
    with torch.no_grad():
        filled.weight.zero_()[: conv.out_channels, old] = conv.weight
        filled.bias.zero_()[: conv.out_channels] = conv.bias
    return filled
