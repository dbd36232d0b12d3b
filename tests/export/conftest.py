"""Narrow networks and their exports, each made once: the exporter takes seconds."""

from __future__ import annotations

import functools

import pytest

from tests.export.narrow import CHOICES, RATIOS, Narrow


@functools.cache
def _built(name: str) -> Narrow:
    return Narrow.built(CHOICES[name], RATIOS[name])


@pytest.fixture(scope="session", params=CHOICES)
def narrow(request: pytest.FixtureRequest) -> Narrow:
    """Each network in turn."""
    return _built(request.param)


@pytest.fixture(scope="session", params=["pzres", "gelin"])
def narrow_with_statistics(request: pytest.FixtureRequest) -> Narrow:
    """Each that has statistics over the frame."""
    return _built(request.param)


@pytest.fixture(scope="session")
def narrow_pzres() -> Narrow:
    return _built("pzres")


@pytest.fixture(scope="session")
def narrow_ssrnet() -> Narrow:
    return _built("ssrnet")


@pytest.fixture(scope="session")
def narrow_gelin() -> Narrow:
    return _built("gelin")
