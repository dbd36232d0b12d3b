"""SSRNet with its last two layers as one on the LR grid: the same output, without a transposed convolution.

Between the transposed convolution and the tail stands nothing that is not linear. So both together are a convolution
from the LR features to the `ratio` squared HR pixels of each LR pixel, with a fraction of the multiplications, and no
feature is ever held at HR. At the frame's border the tail sees zeros where the transposed convolution, not cropped,
would have gone on by one pixel: what came from there is subtracted, side by side.

What was tried on OpenVINO and ONNX Runtime at ratio 4 (31 bands, a tile of 32 LR pixels, 2-core AVX-512 BF16 machine,
one thread, the least CPU time of 6 interleaved runs against the plain graph, which took 0.65 s / 0.12 s / 1.31 s; times
as fast on OpenVINO in FP32 / in BF16 / on ONNX Runtime; "merged" is this file's, "2-D" has the bands in the batch):

| trunk | last two layers | gain | kept |
|---|---|---|---|
| 3-D | merged | 1.63 to 1.77 / 1.53 to 1.57 / 1.85 to 1.91 | yes |
| 3-D | merged, 2-D over three bands side by side | 1.66 / 1.50 / 1.90 | no |
| 3-D | 2-D transposed convolution over three bands side by side, 2-D tail | 1.15 / 1.14 / 1.38 | no |
| 2-D, spectral as three 1x1 convolutions of shifted bands | merged | 1.47 / 1.23 / 2.62 | no |
| 2-D, spectral as one 1x1 convolution over three bands side by side | merged | 1.42 / 1.20 / 2.60 | no |
| the same | merged as one 2-D transposed convolution | 1.26 / 0.67 / 2.63 | no |
| the same | 2-D transposed convolution, 2-D tail | 1.03 / 0.92 / 1.70 | no |
| 2-D, spectral as one 1x1 convolution to three outputs, shifted and summed | merged | 1.22 / 0.90 / 1.72 | no |
| 2-D, bands below each other in an image's rows for the spectral ones | merged | 0.77 / 0.55 / 2.47 | no |
| 2-D, rows of all bands in turn: dilated spatial, 3x1 spectral convolutions | merged | 1.09 / 0.81 / 2.60 | no |

At ratio 2 the kept form is 1.19 / 1.18 times as fast on OpenVINO; at ratio 4 with a tile of 64 LR pixels 1.68 / 1.54.
ONNX Runtime is faster still with the 2-D trunk, but is the second backend; a device's default is OpenVINO.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.ssrnet import SSRNet, without_weight_norm

TAPS = 3
"""Of the tail along each axis, and of both layers along the bands."""


def merged(network: SSRNet) -> MergedSSRNet:
    """A network that computes the same as `network`, which is not changed."""
    return MergedSSRNet(without_weight_norm(network))


class MergedSSRNet(nn.Module):
    """SSRNet for running, not for training; `plain` is one without weight norm."""

    band_mean: Tensor

    def __init__(self, plain: SSRNet) -> None:
        super().__init__()
        self.register_buffer("band_mean", plain.band_mean)
        self.head = plain.head
        self.trunk = plain.trunk
        self.upsample = MergedUpsampling(plain.upsample, plain.tail, plain.ratio)

    def forward(self, lr_hsi: Tensor) -> Tensor:
        """See `SSRNet.forward`."""
        mean = self.band_mean[:, None, None]
        shallow = x = self.head((lr_hsi - mean)[:, None])
        for module in self.trunk:
            x = module(x) + shallow
        residual: Tensor = self.upsample(x)
        return residual + mean


class MergedUpsampling(nn.Module):
    """`tail(upsample(x))`, computed on the LR grid.

    Each axis has three cases: all pixels with the layers as if nothing was cropped between them, and the first and the
    last pixel with what cropping takes away. Their products are the inside, the four sides and the four corners.
    """

    def __init__(self, upsample: nn.ConvTranspose3d, tail: nn.Conv3d, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        cases = _axis_cases(ratio)
        parts = [_merged_convolution(upsample, tail, rows, cols) for rows in cases for cols in cases]
        self.parts = nn.ModuleList(parts)
        # The tail's own bias comes once per output, so with its middle band tap.
        with torch.no_grad():
            _bias(parts[0]).view(TAPS, -1)[1] += _bias(tail)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, features, bands, h, w)` to `(N, bands, ratio h, ratio w)`."""
        slices = [slice(None), slice(0, 1), slice(-1, None)]
        height, width = x.shape[3:]
        below, beside = ([(0, 0), (0, side - 1), (side - 1, 0)] for side in (height, width))
        pixels = self.parts[0](x)
        for index, part in enumerate(self.parts[1:], start=1):
            rows, cols = divmod(index, TAPS)
            border = functional.pad(part(x[..., slices[rows], slices[cols]]), (*beside[cols], *below[rows]))
            # A corner has been taken off twice, with its row and with its column.
            pixels = pixels + border if rows and cols else pixels - border
        return self._on_the_hr_grid(self._over_bands(pixels))

    @staticmethod
    def _over_bands(pixels: Tensor) -> Tensor:
        """Add up what each band gets from itself and its two neighbours."""
        before, own, after = functional.pad(pixels, (0, 0, 0, 0, 1, 1)).chunk(TAPS, dim=1)
        return before[:, :, :-2] + own[:, :, 1:-1] + after[:, :, 2:]

    def _on_the_hr_grid(self, pixels: Tensor) -> Tensor:
        frames, _, bands, height, width = pixels.shape
        shuffled = functional.pixel_shuffle(pixels.transpose(1, 2).flatten(0, 1), self.ratio)
        return shuffled.view(frames, bands, self.ratio * height, self.ratio * width)


def _axis_cases(ratio: int) -> list[Tensor]:
    """Which taps of the two layers meet along one axis: all pixels, the first, the last.

    Returns:
        Three `(ratio, places, 3, ratio + 2)`: 1 where the HR pixel of that phase gets something from the LR pixel at
        that place (before, own, after; or own alone) by that tap of the tail and that of the transposed convolution.
    """
    whole = torch.zeros(ratio, TAPS, TAPS, ratio + 2, dtype=torch.float64)
    for phase in range(ratio):
        for place in range(TAPS):
            for tail in range(TAPS):
                tap = phase + tail - ratio * (place - 1)
                if 0 <= tap < ratio + 2:
                    whole[phase, place, tail, tap] = 1
    first, last = (torch.zeros(ratio, 1, TAPS, ratio + 2, dtype=torch.float64) for _ in range(2))
    first[0, 0, 0, 0] = last[-1, 0, -1, -1] = 1
    return [whole, first, last]


@torch.no_grad()
def _merged_convolution(upsample: nn.ConvTranspose3d, tail: nn.Conv3d, rows: Tensor, cols: Tensor) -> nn.Conv3d:
    """The convolution to `3 ratio^2` channels: for each of the tail's band taps the phases, row by row."""
    # A transposed convolution's taps run backwards; along the bands, where it has no stride, they are turned round.
    weight = upsample.weight.double().flip(2)
    weight_tail = tail.weight[0].double()
    # Phase p, place j, tail tap a, tap k of the rows; q, m, b, l of the columns; features i, o; band taps u, t.
    values = torch.einsum("pjak,qmbl,otab,ioukl->tpqiujm", rows, cols, weight_tail, weight)
    reached = torch.einsum(
        "pa,qb,otab,o->tpq", rows.amax((1, 3)), cols.amax((1, 3)), weight_tail, _bias(upsample).double()
    )
    size = (TAPS, rows.shape[1], cols.shape[1])
    conv = nn.Conv3d(weight.shape[0], reached.numel(), size, padding="same")
    conv.weight.copy_(values.reshape(conv.weight.shape))
    _bias(conv).copy_(reached.flatten())
    return conv


def _bias(conv: nn.Conv3d | nn.ConvTranspose3d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
