from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from export import figures
from export.data.scenes import Scene
from export.figures import draw_scenes, write_scenes
from export.pack import pack_graphless


@pytest.fixture
def drawn(rng, tmp_path, monkeypatch):
    spectra = rng.random((4, 31)).astype(np.float32)
    scene = Scene("patches", spectra[np.kron(rng.integers(0, 4, (12, 13)), np.ones((4, 4), np.int64))])
    monkeypatch.setattr(figures, "load_scenes", lambda _folder, _split: [scene, replace(scene, name="again")])
    camera = np.kron(np.eye(3), np.full((1, 10), 0.1)) @ np.eye(30, 31)
    monkeypatch.setattr(figures, "SETTING", replace(figures.SETTING, cameras=lambda _data: [camera]))
    bundle = pack_graphless("regression", 8, tmp_path / "regression-x8")
    return draw_scenes([bundle.path], tmp_path, tmp_path / "docs")


def test_there_is_a_small_figure_per_scene_and_ratio(drawn):
    assert [file.name for file in drawn] == ["patches-x8.png", "again-x8.png"]
    for file in drawn:
        assert file.stat().st_size < 250_000
        # Pictures, maps and spectra take more colours than a page of text.
        assert len(Image.open(file).convert("RGB").getcolors(1 << 16)) > 100


def test_the_page_shows_every_figure(drawn, tmp_path):
    write_scenes(tmp_path / "docs", drawn, {"command": "python -m export figures"})
    text = (tmp_path / "docs" / "scenes.md").read_text()
    assert "- command: python -m export figures" in text
    assert all(f"(figures/{file.name})" in text for file in drawn)
