"""Every network of the papers with few channels and short, with random weights: what it computes is no matter here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.losses import final_image
from export.networks.choices import GELINChoice, MSSSFChoice, NetworkChoice, PZResChoice, SSRNetChoice
from export.to_onnx import Forms, onnx_from_network
from hsi_edge.manifest import LR_IMAGES

Float = NDArray[np.float32]
BANDS = 8
CHOICES: dict[str, NetworkChoice] = {
    "pzres": PZResChoice(hsi_bands=BANDS, msi_bands=3),
    "ssrnet": SSRNetChoice(hsi_bands=BANDS, ratio=4, features=8, modules=1),
    "gelin": GELINChoice(hsi_bands=BANDS, ratio=4, group_bands=5, overlap=2, blocks=2, features=16),
    "msssf": MSSSFChoice(hsi_bands=BANDS, msi_bands=3, ratio=4, spectral_features=8, spatial_features=8),
}
RATIOS = {"pzres": 8, "ssrnet": 4, "gelin": 4, "msssf": 4}


@dataclass(frozen=True)
class Narrow:
    """A narrow network, what it was built from, and its export."""

    choice: NetworkChoice
    ratio: int
    network: nn.Module
    forms: Forms

    @classmethod
    def built(cls, choice: NetworkChoice, ratio: int) -> Narrow:
        """With random weights, always the same."""
        torch.manual_seed(1)
        network = choice.build().eval()
        for name, buffer in network.named_buffers():
            if name == "band_mean":
                buffer.uniform_()
        return cls(choice, ratio, network, onnx_from_network(network, choice))

    def images(self, rng: np.random.Generator, lr_shape: tuple[int, int]) -> dict[str, Float]:
        """Random images of a frame, NCHW by name."""
        images = {}
        for name in self.choice.images:
            side = 1 if name in LR_IMAGES else self.ratio
            shape = (1, 3 if name == "hr_msi" else BANDS, *(side * length for length in lr_shape))
            images[name] = rng.random(shape, np.float32)
        return images

    @torch.inference_mode()
    def torch_output(self, images: dict[str, Float]) -> Float:
        """What torch makes of them."""
        return np.asarray(final_image(self.network(*(torch.from_numpy(image) for image in images.values()))))
