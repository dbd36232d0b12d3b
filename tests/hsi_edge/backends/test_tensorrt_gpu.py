"""TensorRT and TensorRT-RTX on a GPU: what they compute against OpenVINO."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.backends import open_backend
from hsi_edge.backends.tensorrt import TensorRTBackend
from hsi_edge.backends.tensorrt_library import MODULES
from hsi_edge.engine_build import BuildOrder, build_engine
from hsi_edge.engine_choice import choose_engine
from hsi_edge.errors import EngineLoadError
from hsi_edge.gpu import find_device
from tests.hsi_edge.backends.gpu_libraries import why_not
from tests.tiny_bundles import fusion_manifest, write_tiny_bundle

pytestmark = pytest.mark.gpu

TILE = (12, 16)
FORMS = {"whole": "fp32.onnx", "given": "fp32-given.onnx"}


@pytest.fixture(params=list(MODULES))
def kind(request):
    if reason := why_not(request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "bundle", fusion_manifest())


@pytest.fixture
def device():
    found, reason = find_device()
    assert found is not None, reason
    return found


@pytest.fixture
def engine(bundle, kind, device, tmp_path):
    """Built here, with the sample as large as the tile."""
    order = BuildOrder(kind=kind, device=device, precision="fp32", tile_lr=TILE, frame_lr=(2 * TILE[0], 2 * TILE[1]))
    return build_engine(bundle, order, tmp_path / "engines")


def inputs(shapes, rng):
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("form", FORMS)
def test_an_engine_computes_what_openvino_does(bundle, engine, rng, form):
    name, shapes = FORMS[form], engine.facts.plans[form].shapes
    backend = TensorRTBackend(engine)
    given = inputs(shapes, rng)
    wanted = open_backend("openvino", "fp32", ("fp32",)).compile(bundle.read_bytes(name), shapes).run(given)
    session = backend.compile(bundle.read_bytes(name), shapes)
    for _ in range(2):
        outputs = session.run(given)
        assert set(outputs) == set(wanted)
        for key, value in wanted.items():
            np.testing.assert_allclose(outputs[key], value, atol=1e-4 * np.abs(value).max())
    backend.close()


def test_an_engine_that_was_built_ahead_of_time_for_this_gpu_runs_here(bundle, device, rng, tmp_path):
    if reason := why_not("tensorrt-rtx"):
        pytest.skip(reason)
    capabilities = (device.compute_capability,)
    order = BuildOrder(
        kind="tensorrt-rtx", device=None, capabilities=capabilities, precision="fp32", tile_lr=TILE, frame_lr=TILE
    )
    engine = build_engine(bundle, order, tmp_path / "engines")
    shapes = engine.facts.plans["whole"].shapes
    given = inputs(shapes, rng)
    graph = bundle.read_bytes(FORMS["whole"])
    wanted = open_backend("openvino", "fp32", ("fp32",)).compile(graph, shapes).run(given)["hr_hsi"]
    backend = TensorRTBackend(engine)
    output = backend.compile(graph, shapes).run(given)["hr_hsi"]
    np.testing.assert_allclose(output, wanted, atol=1e-4 * np.abs(wanted).max())
    backend.close()


def test_an_engine_that_was_built_here_is_chosen_and_its_layers_were_checked(bundle, engine, device):
    files = bundle.manifest.files
    hashes = {"fp32": {form: files[name].sha256 for form, name in FORMS.items()}}
    assert engine.facts.layers_checked
    choice = choose_engine(bundle.manifest, hashes, [engine], device)
    assert choice.engine is engine, choice.reasons


def test_a_truncated_plan_is_refused_by_the_library_with_its_own_words(bundle, engine, monkeypatch):
    plan = engine.read_plan("given")
    monkeypatch.setattr(type(engine), "read_plan", lambda *_: plan[: len(plan) // 2])
    with pytest.raises(EngineLoadError, match=r"does not load the engine; it says: ."):
        TensorRTBackend(engine).compile(bundle.read_bytes(FORMS["given"]), engine.facts.plans["given"].shapes)
