"""FieldFuse: one network for every ratio, whatever the bands."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.counts import count
from export.losses import final_image
from export.networks.choices import FieldFuseChoice, image_shapes
from export.networks.fieldfuse import FieldFuse, FieldFuseOutput
from hsi_edge.subspace import CHANNELS, CONDITIONS, FEATURES, GUIDES, MARGIN_LR, REST

Images = tuple[Tensor, Tensor, Tensor]


def images(ratio: int, lr_shape: tuple[int, int] = (6, 5), batch: int = 2) -> Images:
    rows, cols = lr_shape
    torch.manual_seed(3)
    return (
        torch.randn(batch, GUIDES, ratio * rows, ratio * cols),
        torch.randn(batch, FEATURES, rows + 2 * MARGIN_LR, cols + 2 * MARGIN_LR),
        torch.rand(batch, CONDITIONS),
    )


@pytest.fixture
def network() -> FieldFuse:
    """With weights that all do something, unlike those that a training starts with."""
    torch.manual_seed(1)
    network = FieldFuse(width=8, deep_width=12, deep_blocks=2).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    return network


@pytest.mark.parametrize("ratio", [4, 8, 16])
@torch.inference_mode()
def test_the_same_weights_serve_every_ratio_that_the_images_tell(network: FieldFuse, ratio: int) -> None:
    given = images(ratio)
    shapes = image_shapes(FieldFuseChoice(), ratio, (6, 5))
    assert list(shapes) == list(FieldFuseChoice.images)
    assert list(shapes.values()) == [tuple(image.shape[1:]) for image in given]
    output = network(*given)
    assert output.refined.shape == output.start.shape == (2, CHANNELS, 6 * ratio, 5 * ratio)
    assert final_image(output) is output.refined
    network.ratio = ratio
    torch.testing.assert_close(network(*given).refined, output.refined)


@torch.inference_mode()
def test_a_tile_with_its_halo_gives_what_the_frame_does(network: FieldFuse) -> None:
    ratio, halo = 4, 14
    guide, features, condition = images(ratio, (44, 40), batch=1)
    whole = network(guide, features, condition).refined
    top, left, side = 3, 2, 2 * halo + 6

    def tile_core(margin: int) -> Tensor:
        """Of LR pixels `margin` inside of the tile, which is cut with its features' margin."""
        rows, cols = (slice(first * ratio, (first + side) * ratio) for first in (top, left))
        wide = [slice(first, first + side + 2 * MARGIN_LR) for first in (top, left)]
        tile = network(guide[:, :, rows, cols], features[:, :, wide[0], wide[1]], condition).refined
        edge = margin * ratio
        wanted = whole[:, :, rows, cols]
        return (tile - wanted)[:, :, edge:-edge, edge:-edge].abs().max()

    assert tile_core(halo) < 1e-5
    assert tile_core(1) > 1e-3


@torch.inference_mode()
def test_a_guide_without_noise_is_left_as_it_is(network: FieldFuse) -> None:
    guide, features, condition = images(8)
    condition[:, GUIDES + REST : 2 * GUIDES + REST] = 0
    refined, start = network(guide, features, condition)
    torch.testing.assert_close(refined[:, :GUIDES], guide, rtol=0, atol=0)
    assert (refined - start)[:, GUIDES:].abs().max() > 0.01


@pytest.mark.parametrize(("last", "left_alone"), [(-2, slice(0, GUIDES)), (-1, slice(GUIDES, CHANNELS))])
@torch.inference_mode()
def test_what_the_noise_calls_for_no_change_in_is_left_as_it_is(
    network: FieldFuse, last: int, left_alone: slice
) -> None:
    guide, features, condition = images(8)
    condition[:, last] = 0
    refined, start = network(guide, features, condition)
    changed = (refined - start).abs().amax(dim=(0, 2, 3))
    assert (changed[left_alone] == 0).all()
    assert (changed > 0.01).sum() == CHANNELS - (left_alone.stop - left_alone.start)


@torch.inference_mode()
def test_what_the_noise_is_makes_a_difference(network: FieldFuse) -> None:
    guide, features, condition = images(8)
    other = condition.clone()
    other[:, :GUIDES] += 0.5
    assert (network(guide, features, condition).refined - network(guide, features, other).refined).abs().max() > 1e-3


@torch.inference_mode()
def test_training_starts_near_the_start_image() -> None:
    torch.manual_seed(0)
    refined, start = FieldFuse()(*images(8, (8, 8)))
    assert 0 < (refined - start).square().mean().sqrt() < 0.1 * start.std()


@torch.inference_mode()
def test_the_start_is_the_rest_with_the_guides_detail_by_the_local_slopes(network: FieldFuse) -> None:
    guide, features, condition = images(4)
    rest, slopes = torch.randn(2, REST), torch.randn(2, REST, GUIDES)
    lr_guide = torch.randn(2, GUIDES)
    of_pixel = torch.cat([rest, slopes.flatten(1), lr_guide], dim=1)
    # The same everywhere, so interpolation changes nothing.
    features[:] = of_pixel[:, :, None, None]
    start = network(guide, features, condition).start
    detail = guide - lr_guide[:, :, None, None]
    wanted = rest[:, :, None, None] + torch.einsum("nrg,nghw->nrhw", slopes, detail)
    torch.testing.assert_close(start[:, GUIDES:], wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(start[:, :GUIDES], guide)


def test_components_are_mixed_to_bands() -> None:
    refined, start = torch.randn(2, 1, CHANNELS, 2, 3)
    mixing, offset = torch.randn(1, 5, CHANNELS), torch.randn(1, 5)
    mixed = FieldFuseOutput(refined, start).mixed(mixing, offset)
    for image, components in zip(mixed, (refined, start), strict=True):
        assert image.shape == (1, 5, 2, 3)
        torch.testing.assert_close(image[0, :, 1, 2], offset[0] + mixing[0] @ components[0, :, 1, 2])


def test_it_costs_a_twentieth_of_pzres_net() -> None:
    counts = count(FieldFuseChoice(), 512, 8)
    assert counts.parameters == counts.shipped_parameters == 236_195
    assert counts.macs / 1e9 == pytest.approx(6.46, abs=0.005)
    for ratio in (4, 16):
        assert count(FieldFuseChoice(), 512, ratio) == counts
