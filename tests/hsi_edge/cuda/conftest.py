"""What the tests of the CUDA runtime share."""

from __future__ import annotations

import pytest

from tests.hsi_edge.cuda.host_cuda import HostCuda
from tests.hsi_edge.cuda.rig import Rig
from tests.tiny_bundles import write_tiny_bundle


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """Where the kernels are compiled to, once."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def rig(tmp_path, kernels):
    """Makes rigs of tiny bundles on a stand-in of a GPU."""
    count = 0

    def make(manifest, tile=(10, 12), budget_bytes=None, **gpu):
        nonlocal count
        count += 1
        bundle = write_tiny_bundle(tmp_path / f"bundle{count}", manifest)
        return Rig(bundle, HostCuda(kernels, **gpu), tile, budget_bytes)

    return make
