from __future__ import annotations

import sys

import pytest

from calib.calibrate import calibrate
from calib.diff import compare, diff_markdown, first_above, side, tolerance_of
from calib.gate import DEFAULT_GATES
from hsi_edge.errors import InputError, MissingPackageError
from tests.calib.chain import chain, write_chain, write_scenes
from tests.tiny_bundles import fusion_manifest, subspace_manifest, write_tiny_bundle


@pytest.fixture
def scenes(tmp_path):
    return write_scenes(tmp_path / "scenes", 3)


@pytest.mark.parametrize("broken", ["first", "second", "last"])
def test_the_layer_that_was_broken_is_the_first_that_diverges(tmp_path, scenes, broken):
    write_chain(tmp_path / "good", chain())
    write_chain(tmp_path / "bad", chain(broken=broken))
    first, second = side(str(tmp_path / "good"), None), side(str(tmp_path / "bad"), None)
    found = compare(first, second, scenes)
    culprit = first_above(found, tolerance_of(first, second))
    assert culprit is not None
    assert culprit.layer == broken
    assert culprit.relative == pytest.approx(0.5, abs=0.01)
    assert f"The first layer that differs by more than 0.001 of its output: {broken} (Conv)" in diff_markdown(
        found, first, second, 1e-3
    )


def test_two_backends_agree_on_every_layer(tmp_path, scenes):
    write_chain(tmp_path / "chain", chain())
    first, second = side(str(tmp_path / "chain"), "openvino"), side(str(tmp_path / "chain"), "onnxruntime")
    found = compare(first, second, scenes)
    assert [each.layer for each in found] == [
        *("seen", "first", "first.relu", "second", "second.relu", "third", "third.relu", "last", "base.add")
    ]
    assert first_above(found, tolerance_of(first, second)) is None
    assert "No layer differs by more than 0.001" in diff_markdown(found, first, second, 1e-3)


def test_an_overflow_in_half_arithmetic_is_found_where_it_begins(tmp_path, scenes):
    write_chain(tmp_path / "chain", chain(1e6))
    calibrate(tmp_path / "chain", "fp16", scenes, DEFAULT_GATES["fp16"], say=lambda _: None)
    write_chain(tmp_path / "other", chain())
    first = side(str(tmp_path / "chain"), None)
    assert first_above(compare(first, side(f"{tmp_path / 'chain'}:fp16", None), scenes), 1e-2) is None
    culprit = first_above(compare(first, side(str(tmp_path / "other"), None), scenes), 1e-2)
    assert culprit is not None
    assert culprit.layer == "second"


def test_the_form_that_takes_statistics_is_compared(tmp_path, scenes):
    write_tiny_bundle(tmp_path / "tiny", fusion_manifest(2))
    one, other = (side(str(tmp_path / "tiny"), name) for name in ("openvino", "onnxruntime"))
    found = compare(one, other, scenes)
    assert len(found) > 5
    assert first_above(found, 1e-3) is None


def test_a_precision_that_the_bundle_lacks_is_wrong_use(tmp_path):
    write_chain(tmp_path / "chain", chain())
    with pytest.raises(InputError, match="has no graph 'int8'; it has fp32"):
        side(f"{tmp_path / 'chain'}:int8", None)
    with pytest.raises(InputError, match="no backend 'cuda'; choose one of openvino"):
        side(str(tmp_path / "chain"), "cuda")


def test_networks_that_share_no_layer_are_wrong_use(tmp_path, scenes):
    write_chain(tmp_path / "chain", chain())
    write_tiny_bundle(tmp_path / "tiny", subspace_manifest(2))
    with pytest.raises(InputError, match="share no layer; compare graphs of one network"):
        compare(side(str(tmp_path / "chain"), None), side(str(tmp_path / "tiny"), None), scenes)


def test_without_polygraphy_the_message_says_how_to_get_it(tmp_path, scenes, monkeypatch):
    write_chain(tmp_path / "chain", chain())
    one = side(str(tmp_path / "chain"), None)
    monkeypatch.setitem(sys.modules, "polygraphy.backend.onnx", None)
    with pytest.raises(MissingPackageError, match="comparing graphs layer by layer needs the package 'polygraphy'"):
        compare(one, one, scenes)
