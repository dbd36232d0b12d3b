from __future__ import annotations

import dataclasses
import inspect
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from export.merge_upsampling import merged
from export.networks.choices import (
    FieldFuseChoice,
    GELINChoice,
    MSSSFChoice,
    NetworkChoice,
    PZResChoice,
    SSRNetChoice,
    without_training_parts,
)
from export.networks.ssrnet import SSRNet
from hsi_edge.errors import ManifestError
from hsi_edge.records import plain_from_record, plain_from_yaml, record_from_plain, yaml_from_plain

NARROW: list[NetworkChoice] = [
    PZResChoice(hsi_bands=8, msi_bands=4),
    SSRNetChoice(hsi_bands=5, ratio=4, features=4, modules=1),
    GELINChoice(hsi_bands=7, ratio=4, group_bands=4, overlap=1, blocks=1, features=16),
    MSSSFChoice(hsi_bands=5, msi_bands=3, ratio=8, spectral_features=6, spatial_features=4),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holder:
    network: NetworkChoice


def images(choice: NetworkChoice, rows: int, cols: int) -> tuple[Tensor, ...]:
    """The network's inputs; rows and columns of the LR-HSI."""
    ratio = getattr(choice, "ratio", 8)
    bands = {"lr_hsi": choice.hsi_bands, "base": choice.hsi_bands, "hr_msi": getattr(choice, "msi_bands", 0)}
    sides = {"lr_hsi": 1, "base": ratio, "hr_msi": ratio}
    return tuple(torch.rand(1, bands[name], rows * sides[name], cols * sides[name]) for name in choice.images)


def image(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    if isinstance(output, Tensor):
        return output
    return getattr(output, "refined", output[0])


@pytest.mark.parametrize("choice", [*NARROW, FieldFuseChoice(width=8)], ids=lambda choice: choice.architecture)
def test_a_choice_comes_back_from_yaml_as_it_went(choice: NetworkChoice) -> None:
    data = yaml_from_plain(plain_from_record(Holder(network=choice)))
    assert record_from_plain(Holder, plain_from_yaml(data, 1 << 12)).network == choice


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ManifestError, match=r"network\.architecture is 'edsr'; wanted one of pzres, ssrnet, gelin, msssf"
    ):
        record_from_plain(Holder, {"network": {"architecture": "edsr"}})


@pytest.mark.parametrize("choice", NARROW, ids=lambda choice: choice.architecture)
def test_a_choice_holds_every_argument_of_its_network_and_is_told_apart_by_its_name(choice: NetworkChoice) -> None:
    network = choice.build()
    arguments = set(inspect.signature(type(network)).parameters)
    assert {field.name for field in dataclasses.fields(choice)} == {"architecture"} | arguments
    assert dataclasses.fields(choice)[0].name == "architecture"
    assert len({kind.architecture for kind in get_args(NetworkChoice)}) == len(get_args(NetworkChoice))


@pytest.mark.parametrize("choice", NARROW, ids=lambda choice: choice.architecture)
@torch.inference_mode()
def test_the_images_are_the_network_s_inputs_in_order_and_the_result_is_at_hr(choice: NetworkChoice) -> None:
    pair = images(choice, 4, 6)
    ratio = getattr(choice, "ratio", 8)
    assert image(choice.build()(*pair)).shape == (1, choice.hsi_bands, 4 * ratio, 6 * ratio)
    assert ("hr_msi" in choice.images) == (choice.task == "fusion")


@pytest.mark.parametrize("choice", NARROW, ids=lambda choice: choice.architecture)
@torch.inference_mode()
def test_training_parts_are_not_needed_for_the_output(choice: NetworkChoice) -> None:
    network, pair = choice.build().eval(), images(choice, 4, 4)
    torch.testing.assert_close(image(without_training_parts(network)(*pair)), image(network(*pair)))


@pytest.mark.slow
@pytest.mark.parametrize("choice", NARROW, ids=lambda choice: choice.architecture)
def test_a_network_exported_at_one_size_computes_the_same_at_another(choice: NetworkChoice) -> None:
    torch.manual_seed(0)
    network = choice.build().eval()
    network = merged(network) if isinstance(network, SSRNet) else without_training_parts(network)
    exported = _exported(network, choice)
    with torch.inference_mode():
        for rows, cols in ((4, 10), (16, 6)):
            pair = images(choice, rows, cols)
            torch.testing.assert_close(image(exported(*pair)), image(network(*pair)), atol=1e-6, rtol=0)


def _exported(network: nn.Module, choice: NetworkChoice) -> nn.Module:
    ratio = getattr(choice, "ratio", 8)
    # A network that sees no LR image takes any HR size.
    side = (
        {"lr_hsi": 1, "base": ratio, "hr_msi": ratio} if "lr_hsi" in choice.images else dict.fromkeys(choice.images, 1)
    )
    # Less would leave GELIN's pooling a single pixel, which the exporter treats apart.
    rows, cols = torch.export.Dim("rows", min=4), torch.export.Dim("cols", min=4)
    sizes = tuple({2: side[name] * rows, 3: side[name] * cols} for name in choice.images)
    return torch.export.export(network, images(choice, 6, 8), dynamic_shapes=sizes).module()
