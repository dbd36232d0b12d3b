"""A narrow network and its export, made once: the exporter takes seconds."""

from __future__ import annotations

import pytest
import torch

from export.networks.pzres import PZResNet
from export.to_onnx import Forms, onnx_from_network

BANDS = 8


@pytest.fixture(scope="session")
def narrow_network() -> PZResNet:
    torch.manual_seed(1)
    return PZResNet(BANDS).eval()


@pytest.fixture(scope="session")
def narrow_forms(narrow_network: PZResNet) -> Forms:
    return onnx_from_network(narrow_network, BANDS, 3)
