"""The training losses of the papers and of FieldFuse; images are `(N, bands, H, W)`, and every loss is one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from export.networks.fieldfuse import FieldFuseOutput
from export.networks.gelin import GELINOutput
from export.networks.msssf import MSSSFOutput
from export.networks.pzres import PZResOutput

LossName = Literal["l1", "gelin", "pzres-code", "pzres-paper", "level-mse", "relative"]

SAM_WEIGHT, GRADIENT_WEIGHT = 0.3, 0.1
"""Of GELIN's loss, beside an L1 of weight 1."""
COSINE_MARGIN = 1e-6
"""Where the arc cosine's slope would be infinite, GELIN's program cuts the cosine off."""

FRAME_EDGE = 4
"""HR pixels at a frame's edge that the relative loss leaves out: a displaced image lacks what lies beyond."""
LEAST_ERROR, LEAST_ANGLE, LEAST_NORM = 1e-7, 1e-3, 1e-6
"""Mean square, radians and norm below which the relative loss sees no difference: 70 dB, 0.06 degrees."""


def final_image(output: Any) -> Tensor:
    """The HR image among all that a network of this project returns."""
    if isinstance(output, (PZResOutput, FieldFuseOutput)):
        return output.refined
    image: Tensor = output.output if isinstance(output, (GELINOutput, MSSSFOutput)) else output
    return image


def l1(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error (SSRNet)."""
    return (estimate - truth).abs().mean()


def spectral_angle(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean angle between the spectra of a pixel, in units of pi: 0 to 1 (GELIN)."""
    estimate, truth = estimate.float(), truth.float()
    power = estimate.square().sum(dim=1) * truth.square().sum(dim=1)
    # Replaced before the root, whose slope at zero is infinite; the norms' product is then 1e-6, as in the program.
    norms = torch.where(power == 0, 1e-12, power).sqrt()
    cosine = (estimate * truth).sum(dim=1) / norms
    angle: Tensor = torch.arccos(cosine.clamp(-1 + COSINE_MARGIN, 1 - COSINE_MARGIN))
    return angle.mean() / torch.pi


def gradient_difference(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the gradient's length, taken along rows, columns and bands together (GELIN)."""
    return (_gradient(estimate.float()) - _gradient(truth)).abs().mean()


def _gradient(image: Tensor) -> Tensor:
    here = image[:, 1:, 1:, 1:]
    differences = (here - image[:, 1:, 1:, :-1], here - image[:, 1:, :-1, 1:], here - image[:, :-1, 1:, 1:])
    return (torch.stack([difference.square() for difference in differences]).sum(dim=0) + 1e-6).sqrt()


def gelin(estimate: Tensor, truth: Tensor) -> Tensor:
    """GELIN: `L1 + 0.3 SAM / pi + 0.1 GRAD`."""
    angle, gradient = spectral_angle(estimate, truth), gradient_difference(estimate, truth)
    return l1(estimate, truth) + SAM_WEIGHT * angle + GRADIENT_WEIGHT * gradient


def pzres_code(output: PZResOutput, truth: Tensor) -> Tensor:
    """PZRes-Net's program: the mean absolute errors of the coarse and of the refined image."""
    return l1(output.coarse, truth) + l1(output.refined, truth)


def pzres_paper(output: PZResOutput, truth: Tensor) -> Tensor:
    """PZRes-Net's text with lambda = 1: the coarse image is compared without its means over the frame.

    The text has one symbol for both images; taken here as coarse in its first term and refined in its second.
    """
    return l1(_zero_mean(output.coarse), _zero_mean(truth)) + l1(output.refined, truth)


def _zero_mean(image: Tensor) -> Tensor:
    return image - image.mean(dim=(2, 3), keepdim=True)


def level_mse(output: MSSSFOutput, truth: Tensor) -> Tensor:
    """MS-SSFNet: the mean squared errors of all levels, added up.

    The text adds squares over the batch; means leave the learning rate independent of batch and patch. A level in
    between is compared with the truth after bicubic reduction, with antialiasing.
    """
    errors = [(level - _reduced(truth, level)).square().mean() for level in (*output.levels, output.output)]
    return torch.stack(errors).sum()


def _reduced(truth: Tensor, level: Tensor) -> Tensor:
    size = (level.shape[2], level.shape[3])
    if size == (truth.shape[2], truth.shape[3]):
        return truth
    return interpolate(truth, size, mode="bicubic", antialias=True)


def relative(output: FieldFuseOutput, truth: Tensor) -> Tensor:
    """FieldFuse: the logarithm of its errors against those of what it starts from, in every band and frame alike.

    Errors of pairs with much and without any noise differ by orders of magnitude. In logarithms each counts alike, and
    the sum is what the accuracy table shows: the mean PSNR over the bands, and beside it the spectral angle.
    """
    estimate, start, wanted = (
        image[:, :, FRAME_EDGE:-FRAME_EDGE, FRAME_EDGE:-FRAME_EDGE] for image in (*output, truth)
    )
    errors = torch.log(_band_errors(estimate, wanted) / _band_errors(start.detach(), wanted)).mean() / 2
    angles = torch.log(_frame_angles(estimate, wanted) / _frame_angles(start.detach(), wanted)).mean()
    return errors + angles / 2


def _band_errors(estimate: Tensor, truth: Tensor) -> Tensor:
    return (estimate - truth).square().mean(dim=(2, 3)) + LEAST_ERROR


def _frame_angles(estimate: Tensor, truth: Tensor) -> Tensor:
    norms = estimate.norm(dim=1) * truth.norm(dim=1) + LEAST_NORM
    cosine = (estimate * truth).sum(dim=1) / norms
    limit = 1 - COSINE_MARGIN
    return torch.arccos(cosine.clamp(-limit, limit)).mean(dim=(1, 2)) + LEAST_ANGLE


LOSSES: Mapping[LossName, Callable[[Any, Tensor], Tensor]] = {
    "l1": lambda output, truth: l1(final_image(output), truth),
    "gelin": lambda output, truth: gelin(final_image(output), truth),
    "pzres-code": pzres_code,
    "pzres-paper": pzres_paper,
    "level-mse": level_mse,
    "relative": relative,
}
"""Each takes what the network returns and the truth."""

ONLY_FOR: Mapping[LossName, str] = {
    "pzres-code": "pzres",
    "pzres-paper": "pzres",
    "level-mse": "msssf",
    "relative": "fieldfuse",
}
"""The losses that look at more than the final image, and the architecture that returns it."""
