"""The runtime beside PyCUDA: in its context, from and to its arrays."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.gpu
pytest.importorskip("pycuda", reason="PyCUDA is not installed")


def test_a_pair_on_the_gpu_is_fused_into_an_array_there(capsys):
    from apps import pycuda_fusion

    pycuda_fusion.main(pycuda_fusion.BUNDLE)
    told = capsys.readouterr().out
    assert "ms per frame" in told
    # FP16 and TF32 engines keep three digits.
    assert float(told.split("by at most ")[1].split()[0]) < 1e-2
