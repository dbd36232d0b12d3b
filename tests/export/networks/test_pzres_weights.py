from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.networks.pzres import PZResNet
from export.networks.pzres_weights import network_from_released
from export.widen import widened
from hsi_edge.errors import InputError

LAST = "stages.2.denselayers.7"


def released(network: PZResNet) -> dict[str, Tensor]:
    """Our weights as the released program saves them: each under two names, with its extra channel and branch."""
    state = {}
    for name, value in network.state_dict().items():
        *layer, place, kind = name.replace("dense.", "denselayers.").replace("last.", "denselayers.7.").split(".")
        theirs = {"lift": "Upconv", "spectral": "compressLayer", "spatial": "actlayer"}[place]
        for inside in ("conv", "Module.0" if place == "lift" else "Module.1"):
            state[".".join([*layer, theirs, inside, kind])] = value
    for part, inputs in (("compressLayer", 496), ("actlayer", 32)):
        size = 1 if part == "compressLayer" else 3
        weight = torch.zeros(32, inputs, size, size)
        old = state[f"{LAST}.{part}.conv.weight"]
        weight[:31, : old.shape[1]] = old
        state[f"{LAST}.{part}.conv.weight"] = weight
        state[f"{LAST}.{part}.conv.bias"] = torch.cat([state[f"{LAST}.{part}.conv.bias"], torch.ones(1)])
    state["scale_learning.dmodule.0.conv.weight"] = torch.rand(64, 31, 4, 4)
    return state


@pytest.fixture(scope="module")
def network() -> PZResNet:
    torch.manual_seed(0)
    return PZResNet(31).eval()


@torch.inference_mode()
def test_the_released_program_s_weights_compute_the_same_here(network: PZResNet) -> None:
    base, msi = torch.rand(1, 31, 16, 16), torch.rand(1, 3, 16, 16)
    converted = network_from_released(released(network))
    torch.testing.assert_close(converted(base, msi).refined, network(base, msi).refined)
    torch.testing.assert_close(widened(converted)(base, msi).refined, network(base, msi).refined, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_the_extra_inner_channel_is_kept_and_the_extra_output_is_not(network: PZResNet) -> None:
    state = released(network)
    state[f"{LAST}.actlayer.conv.weight"][:, 31] = 0.5
    converted = network_from_released(state)
    assert converted.stages[2].last.spatial.weight[:, 31].unique().tolist() == [0.5]
    # As many as the specification counts in the program's live weights, less the unread output.
    assert sum(parameter.numel() for parameter in converted.parameters()) == 517_852 - (32 * 9 + 1)


def test_weights_of_something_else_are_refused_by_name(network: PZResNet) -> None:
    state = released(network)
    with pytest.raises(InputError, match=r"stages\.0\.Upconv\.conv\.weight has the shape \(8, 4, 3, 3\); the released"):
        network_from_released(state | {"stages.0.Upconv.conv.weight": torch.zeros(8, 4, 3, 3)})
    del state["refine.0.actlayer.conv.bias"]
    with pytest.raises(InputError, match=r"the weights have no refine\.0\.actlayer\.conv\.bias; wanted those"):
        network_from_released(state)
