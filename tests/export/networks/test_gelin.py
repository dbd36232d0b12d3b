from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from export.networks.gelin import GELIN, group_starts
from hsi_edge.errors import InputError


def small(ratio: int = 4, **switches: Any) -> GELIN:
    torch.manual_seed(0)
    return GELIN(11, ratio, group_bands=4, overlap=1, blocks=2, features=16, **switches).eval()


def images(rows: int, cols: int, ratio: int = 4, bands: int = 11) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = (1, bands, rows, cols), (1, bands, rows * ratio, cols * ratio)
    return torch.rand(shapes[0], generator=generator), torch.rand(shapes[1], generator=generator)


@pytest.mark.parametrize(
    ("bands", "group_bands", "overlap", "wanted"),
    [
        (31, 8, 2, [0, 6, 12, 18, 23]),
        (128, 32, 8, [0, 24, 48, 72, 96]),
        (102, 32, 8, [0, 24, 48, 70]),
        (9, 8, 0, [0, 1]),
    ],
)
def test_groups_start_where_the_paper_has_them(bands: int, group_bands: int, overlap: int, wanted: list[int]) -> None:
    assert group_starts(bands, group_bands, overlap) == wanted


@pytest.mark.parametrize(("group_bands", "overlap"), [(11, 2), (12, 2), (4, 4), (4, -1)])
def test_bands_that_make_no_two_groups_are_refused(group_bands: int, overlap: int) -> None:
    with pytest.raises(InputError, match=f"11 bands in groups of {group_bands} that overlap by {overlap}; wanted"):
        GELIN(11, 4, group_bands=group_bands, overlap=overlap, blocks=1, features=16)


def test_features_and_ratios_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="features is 24; wanted a multiple of 16"):
        GELIN(11, 4, group_bands=4, overlap=1, blocks=1, features=24)
    with pytest.raises(InputError, match="ratio is 6; without NGIM it must be a power of 2"):
        GELIN(11, 6, group_bands=4, overlap=1, blocks=1, features=16, ngim=False)


@pytest.mark.parametrize("ratio", [4, 8])
@pytest.mark.parametrize("ngim", [True, False])
@pytest.mark.parametrize("spectral", ["scconv", "none", "conv"])
@torch.inference_mode()
def test_every_ablation_gives_an_image_of_the_base_s_size(ratio: int, ngim: bool, spectral: str) -> None:
    output = small(ratio, ngim=ngim, spectral=spectral)(*images(4, 6, ratio))
    assert output.output.shape == (1, 11, 4 * ratio, 6 * ratio)


@pytest.mark.parametrize(("rows", "cols"), [(5, 6), (6, 5)])
def test_an_odd_size_is_refused_with_the_way_out(rows: int, cols: int) -> None:
    with pytest.raises(InputError, match=f"lr_hsi has {rows} x {cols} pixels; GELIN wants even numbers: repeat"):
        small()(*images(rows, cols))


@torch.inference_mode()
def test_bands_of_several_groups_are_averaged_and_the_base_is_added() -> None:
    network = small()
    for parameter in network.integrate.reconstruct.parameters():
        parameter.zero_()
    network.integrate.reconstruct.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    lr_hsi, base = images(4, 4)
    residual = network(lr_hsi, base).output - base
    # Groups 0-3, 3-6, 6-9 and 7-10: each gives its bands 1, 2, 3, 4.
    wanted = [1, 2, 3, (4 + 1) / 2, 2, 3, (4 + 1) / 2, (2 + 1) / 2, (3 + 2) / 2, (4 + 3) / 2, 4]
    torch.testing.assert_close(residual[0].mean(dim=(1, 2)), torch.tensor(wanted))


@torch.inference_mode()
def test_the_first_and_the_last_group_are_neighbours() -> None:
    network = small()
    lr_hsi, base = images(4, 4)
    changed = lr_hsi.clone()
    changed[:, 10] += 1
    moved = (network(changed, base).output - network(lr_hsi, base).output).abs().amax(dim=(0, 2, 3)) > 1e-7
    # Band 10 is in group 7-10 alone, whose neighbours are 6-9 and 0-3; group 3-6 does not see it.
    assert moved.tolist() == [True] * 4 + [False] * 2 + [True] * 5


@pytest.mark.parametrize(("first", "second"), [({}, {"resize": "bilinear"}), ({}, {"output_relu": False})])
@torch.inference_mode()
def test_the_program_s_way_and_the_text_s_way_differ(first: dict[str, Any], second: dict[str, Any]) -> None:
    ours, other = small(**first), small(**second)
    assert not torch.equal(ours(*images(6, 6)).output, other(*images(6, 6)).output)
    assert ours.state_dict().keys() == other.state_dict().keys()


@torch.inference_mode()
def test_there_is_one_mean_per_feature_block_and_group_and_given_ones_change_nothing() -> None:
    network, pair = small(), images(6, 8)
    measured = network(*pair)
    assert measured.statistics.shape == (1, 16 * 2 * 4)
    assert torch.equal(network(*pair, measured.statistics).output, measured.output)


@torch.inference_mode()
def test_given_statistics_of_another_frame_matter() -> None:
    network, pair = small(), images(6, 8)
    network.embed.blocks[0].spatial.attention[0].bias.fill_(1)
    measured = network(*pair)
    given = network(*pair, measured.statistics * torch.rand(measured.statistics.shape))
    assert not torch.allclose(given.output, measured.output, atol=1e-5)


@pytest.mark.parametrize("resize", ["nearest", "bilinear"])
@torch.inference_mode()
def test_a_tile_with_the_frame_s_statistics_is_the_frame_s_crop(resize: str) -> None:
    torch.manual_seed(0)
    network = GELIN(5, 4, group_bands=3, overlap=1, blocks=2, features=16, resize=resize).eval()
    lr_hsi, base = images(60, 8, bands=5)
    whole = network(lr_hsi, base)
    halo = 22
    rows = slice(26 - halo, 34 + halo)
    tile = network(lr_hsi[:, :, rows], base[:, :, 4 * rows.start : 4 * rows.stop], whole.statistics).output
    core = tile[:, :, 4 * halo : -4 * halo]
    torch.testing.assert_close(core, whole.output[:, :, 4 * 26 : 4 * 34], atol=1e-6, rtol=0)
    own = network(lr_hsi[:, :, rows], base[:, :, 4 * rows.start : 4 * rows.stop]).output
    assert (own[:, :, 4 * halo : -4 * halo] - core).abs().max() > 1e-7
