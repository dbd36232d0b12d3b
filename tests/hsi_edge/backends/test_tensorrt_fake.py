"""The stand-in for TensorRT agrees with what is known of the real libraries."""

from __future__ import annotations

import inspect

import pytest

from tests.hsi_edge.backends import fake_tensorrt
from tests.hsi_edge.backends.fake_tensorrt import make_tensorrt

CLASSES = {
    "Builder": fake_tensorrt._Builder,
    "IBuilderConfig": fake_tensorrt._RTXConfig,
    "IOptimizationProfile": fake_tensorrt._Profile,
    "ITimingCache": fake_tensorrt._TimingCache,
    "INetworkDefinition": fake_tensorrt._Network,
    "ILayer": fake_tensorrt._Layer,
    "OnnxParser": fake_tensorrt._OnnxParser,
    "ParserError": fake_tensorrt._ParserError,
    "Runtime": fake_tensorrt._Runtime,
    "ICudaEngine": fake_tensorrt._RTXEngine,
    "IRuntimeConfig": fake_tensorrt._RuntimeConfig,
    "IRuntimeCache": fake_tensorrt._RuntimeCache,
    "IExecutionContext": fake_tensorrt._Context,
    "ILogger": fake_tensorrt.ILogger,
}
ENUMS = (
    *("LayerType", "DataType", "TensorIOMode", "ProfilingVerbosity", "LayerInformationFormat"),
    *("NetworkDefinitionCreationFlag", "BuilderFlag", "ComputeCapability", "CudaGraphStrategy"),
)
OWN = {
    *(
        "trt",
        "variant",
        "fake",
        "read",
        "convolutions",
        "quantized",
        "strongly",
        "session",
        "inputs",
        "outputs",
        "plan",
    ),
    *("graph", "data", "shapes", "profiles"),
}
"""What the stand-in has for itself."""


@pytest.fixture(scope="module")
def real():
    return pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")


@pytest.mark.parametrize("name", ENUMS)
def test_its_enums_are_those_of_tensorrt_rtx(real, name):
    members = {member.name: int(member) for member in getattr(make_tensorrt("rtx"), name)}
    known = {key: int(member) for key, member in getattr(real, name).__members__.items()}
    # The number of a builder flag is not what the backend relies on.
    if name != "BuilderFlag":
        assert members.items() <= known.items()
    assert members.keys() <= known.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_its_classes_have_no_member_that_tensorrt_rtx_lacks(real, name):
    members = {key for key, _ in inspect.getmembers(CLASSES[name]) if not key.startswith("_")} - OWN
    assert members <= set(dir(getattr(real, name))) | set(dir(object))


def test_severities_are_ordered_as_the_real_ones(real):
    names = [severity.name for severity in fake_tensorrt.Severity]
    assert [int(getattr(real.ILogger, name)) for name in names] == list(range(5))


def test_tensorrt_11_lacks_the_flags_that_change_the_precision():
    assert {"FP16", "INT8"} <= set(make_tensorrt("10").BuilderFlag.__members__)
    assert not {"FP16", "INT8"} & set(make_tensorrt("11").BuilderFlag.__members__)
