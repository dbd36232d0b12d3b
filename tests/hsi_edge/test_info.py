from __future__ import annotations

import pytest

from hsi_edge.info import describe
from hsi_edge.manifest import Cost
from tests.tiny_bundles import fusion_manifest, lr_manifest, regression_manifest, subspace_manifest, write_tiny_bundle


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (fusion_manifest(), "tiny, adds to a bilinear base"),
        (lr_manifest(("lr_hsi", "base")), "tiny-lr, adds to a bicubic base"),
        (lr_manifest(("lr_hsi",)), "tiny-lr"),
        (regression_manifest(), "regression"),
        (subspace_manifest(), "tiny-subspace, works on the frame's own components"),
        (
            lr_manifest(("lr_hsi",), cost=Cost(parameters=1275138, macs_per_px=9876.4)),
            "tiny-lr, 1,275,138 parameters, 9,876 MAC per HR pixel",
        ),
    ],
    ids=["base", "bicubic base", "no base", "no graph", "components", "cost"],
)
def test_the_network_is_told_with_its_base_and_its_cost_where_it_has_them(tmp_path, manifest, words):
    bundle = write_tiny_bundle(tmp_path / "b", manifest)
    (line,) = (line for line in describe(bundle.path).splitlines() if line.strip().startswith("network"))
    assert line.split(maxsplit=1)[1] == words


def test_a_single_image_model_is_not_said_to_take_an_msi(tmp_path):
    text = describe(write_tiny_bundle(tmp_path / "b", lr_manifest(("lr_hsi",))).path)
    assert "takes LR-HSI" in text
    assert "takes HR-MSI" not in text


def test_a_model_on_components_takes_any_bands_and_a_photo_that_is_registered_roughly(tmp_path):
    text = describe(write_tiny_bundle(tmp_path / "b", subspace_manifest()).path)
    assert "any bands; reflectance or dn" in text
    assert "3 bands, registered to the LR-HSI within half an LR pixel (the rest is found in each frame" in text
