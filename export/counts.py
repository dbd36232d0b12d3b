"""Parameters and multiplications of a network, counted without computing anything (tensors without data)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from export.networks.choices import NetworkChoice, image_shapes, without_training_parts
from hsi_edge.errors import InputError

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The size and the cost of a network for one frame.

    Attributes:
        parameters: As trained, which is what papers count.
        shipped_parameters: Of the network in a bundle, without what only training needs.
        macs: Multiplications with addition of that network's convolutions; a transposed convolution's are those of its
            input pixels, biases are free.
    """

    parameters: int
    shipped_parameters: int
    macs: int


def count(choice: NetworkChoice, hr_side: int, ratio: int) -> Counts:
    """Count for a square frame.

    Args:
        choice: The network.
        hr_side: Rows and columns of the output, a multiple of `ratio`.
        ratio: LR GSD / HR GSD.

    Raises:
        InputError: `hr_side` is no multiple of `ratio`.
    """
    return count_network(_without_data(choice), _shapes(choice, hr_side, ratio))


def count_network(network: nn.Module, shapes: Sequence[Shape]) -> Counts:
    """Count for inputs of these shapes, in the order of the network's `forward`; the network is not changed."""
    shipped = without_training_parts(network)
    return Counts(
        parameters=_parameters(network),
        shipped_parameters=_parameters(shipped),
        # Of a multiplication and an addition the library makes two.
        macs=_counted(shipped, shapes, {}) // 2,
    )


def profiler_macs(choice: NetworkChoice, hr_side: int, ratio: int) -> int:
    """Count as the profiler does whose numbers GELIN's paper prints.

    It charges a transposed convolution as if each output pixel met every tap, which is `ratio` squared times too much,
    and a bias as one more multiplication per output value.
    """
    network, shapes = _without_data(choice), _shapes(choice, hr_side, ratio)
    return _counted(network, shapes, {torch.ops.aten.convolution: _profiled})


def _profiled(
    _image: Shape,
    weight: Shape,
    bias: Shape | None,
    _stride: object,
    _padding: object,
    _dilation: object,
    transposed: bool,
    *_: object,
    out_shape: Shape,
    **__: object,
) -> int:
    taps = weight[0] * math.prod(weight[2:]) if transposed else math.prod(weight[1:])
    return math.prod(out_shape) * (taps + (bias is not None))


def _counted(network: nn.Module, shapes: Sequence[Shape], formulas: dict[Any, Any]) -> int:
    network = copy.deepcopy(network).to("meta")
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    with torch.inference_mode(), counter:
        network(*(torch.zeros(shape, device="meta") for shape in shapes))
    return int(counter.get_total_flops())


def _without_data(choice: NetworkChoice) -> nn.Module:
    with torch.device("meta"):
        return choice.build()


def _shapes(choice: NetworkChoice, hr_side: int, ratio: int) -> list[Shape]:
    if hr_side % ratio:
        raise InputError(f"hr_side is {hr_side}; wanted a multiple of the ratio {ratio}")
    side = hr_side // ratio
    return [(1, *shape) for shape in image_shapes(choice, ratio, (side, side)).values()]


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
