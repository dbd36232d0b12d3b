from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hsi_edge.engine import HSIEngine
from hsi_edge.errors import HSIEdgeError, InputError
from hsi_edge.live.ground import CubeGround, PairGround, ground_cube
from tests.hsi_edge.live.flights import BUNDLES, SAMPLE

PAIR = PairGround(
    kind="pair", lr=str(SAMPLE / "frame.hdr"), msi=str(SAMPLE / "orthophoto.png"), rig=str(SAMPLE / "rig.yaml"), bands=5
)


@pytest.fixture(scope="module")
def engine() -> Iterator[HSIEngine]:
    with HSIEngine(BUNDLES / "regression-x8") as engine:
        yield engine


def test_a_pair_becomes_a_cube_with_evenly_spaced_bands_and_no_gaps(engine: HSIEngine) -> None:
    cube = ground_cube(PAIR, engine)
    assert cube.data.shape == (408, 448, 5)
    np.testing.assert_allclose(cube.wavelengths_nm, [400, 550, 700, 850, 1000])
    assert cube.quantity == "reflectance"
    values = np.asarray(cube.data)
    assert np.isfinite(values).all()
    assert values.min() >= 0


def test_a_cube_is_taken_as_it_is(engine: HSIEngine, ground: Path) -> None:
    assert ground_cube(CubeGround(kind="cube", cube=str(ground)), engine).data.shape == (408, 448, 31)


@pytest.mark.parametrize("wrong", [{"bands": 1}, {"first_nm": 900.0, "last_nm": 400.0}])
def test_bands_that_are_no_spectrum_are_refused(engine: HSIEngine, wrong: dict) -> None:
    with pytest.raises(InputError, match=r"simulation.ground: wanted two bands or more"):
        ground_cube(replace(PAIR, **wrong), engine)


def test_a_photograph_that_the_rig_does_not_belong_to_is_refused(engine: HSIEngine) -> None:
    with pytest.raises(HSIEdgeError, match="the rig was calibrated for"):
        ground_cube(replace(PAIR, msi=str(SAMPLE / "result.png")), engine)
