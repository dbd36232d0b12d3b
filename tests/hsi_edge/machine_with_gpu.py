"""A machine with a GPU and TensorRT, both stand-ins on the host; all that lies between them is real."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from hsi_edge.engine import HSIEngine
from hsi_edge.engine_build import BuildOrder, build_engine
from hsi_edge.engine_store import device_engines, save_engine
from hsi_edge.gpu import DeviceFacts, this_platform
from hsi_edge.signing import KEY_VARIABLE
from tests.hsi_edge.backends.fake_tensorrt import KINDS, VARIANTS, install
from tests.hsi_edge.cuda.host_cuda import HostCuda
from tests.tiny_bundles import frame_pair

CLOSE = 1e-4
"""Largest difference from the CPU's result, in parts of its largest value."""
FRAME = (40, 50)


class Machine:
    """One with a GPU and a library of TensorRT.

    Attributes:
        trt: The library's stand-in.
        opened: The GPU's stand-ins, one for each opening.
        device: What is told of the GPU.
        seen: The plans that the library was given to deserialise, and the graphs to parse.
    """

    def __init__(self, variant, trt, kernels) -> None:
        self.kind = KINDS[variant]
        self.trt = trt
        self.opened: list[HostCuda] = []
        self.seen: list[bytes] = []
        self.free = 1 << 30
        self.device: DeviceFacts | None = DeviceFacts(
            name=HostCuda.name,
            compute_capability="8.7",
            driver="R36",
            platform=this_platform(),
            versions={self.kind: VARIANTS[variant][1]},
        )
        self.why_none = ""
        self._kernels = kernels

    def cuda(self) -> HostCuda:
        self.opened.append(HostCuda(self._kernels, free=self.free))
        self.trt.fake.put = self.opened[-1].put
        return self.opened[-1]

    def found(self):
        return self.device, self.why_none

    def watch(self, monkeypatch, kind, name):
        original = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda own, data: self.seen.append(data) or original(own, data))


def make_machine(monkeypatch: pytest.MonkeyPatch, tmp_path, kernels, variant="rtx") -> Machine:
    """Let the tests' process be such a machine, with an empty cache and no trusted key."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    # How long a tile takes decides nothing here.
    monkeypatch.setattr("hsi_edge.network.MEASURE_S", 0)
    one = Machine(variant, install(monkeypatch, variant), kernels)
    for module in ("opening", "build"):
        monkeypatch.setattr(f"hsi_edge.{module}.find_device", one.found)
    monkeypatch.setattr("hsi_edge.backends.tensorrt.Cuda", one.cuda)
    one.watch(monkeypatch, one.trt.Runtime, "deserialize_cuda_engine")
    one.watch(monkeypatch, one.trt.OnnxParser, "parse")
    return one


def built(machine, bundle, root=None, **changes):
    """An engine for the machine, below `root` or in its cache."""
    fields = {"kind": machine.kind, "device": machine.device, "precision": "fp32", "tile_lr": (10, 12)}
    return build_engine(bundle, BuildOrder(**(fields | changes)), root or device_engines(bundle))


def replaced_plan(engine, data):
    """The engine with another plan, which its facts list."""
    whole = engine.facts.plans["whole"]
    listed = replace(whole, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    return save_engine(engine.folder.parent, replace(engine.facts, plans={"whole": listed}), {"whole": data})


def damage(engine):
    """Flip a bit of an engine's plan."""
    data = bytearray(engine.read_plan("whole"))
    data[len(data) // 2] ^= 1
    (engine.folder / "whole.plan").write_bytes(data)


def cpu_result(bundle, pair, **how):
    with HSIEngine(bundle.path, backend="openvino", precision="fp32", **how) as engine:
        return engine.run(*pair)


def ran(bundle, rng, **how):
    """The report of a frame, and how far its result is from the CPU's in FP32, in parts of the largest value."""
    pair = frame_pair(rng, FRAME, bundle.manifest.ratio)
    wanted = cpu_result(bundle, pair)
    with HSIEngine(bundle.path, **how) as engine:
        got = engine.run(*pair)
        assert (engine.report.fallback is None) == (engine.report.warnings == ())
        assert engine.report.fallback in (*engine.report.warnings, None)
        return engine.report, np.abs(got - wanted).max() / np.abs(wanted).max()
