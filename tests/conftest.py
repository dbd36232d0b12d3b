"""Fixtures and marks that every test may use."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

# No deadline: how long one example takes says more about the machine than about the code.
settings.register_profile("steady", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("steady")


def _missing_gpu() -> str | None:
    """Ask the driver itself; the names of device files differ between desktops and Jetsons."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver here (libcuda.so.1)"
    count = ctypes.c_int(0)
    found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    return None if found else "the NVIDIA driver finds no GPU"


def _missing_trt() -> str | None:
    return None if importlib.util.find_spec("tensorrt") else "TensorRT is not installed (module tensorrt)"


def _missing_browser() -> str | None:
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


MISSING: dict[str, Callable[[], str | None]] = {
    "gpu": _missing_gpu,
    "trt": _missing_trt,
    "browser": _missing_browser,
}


def _required() -> set[str]:
    return {name.strip() for name in os.environ.get("HSI_EDGE_REQUIRE", "").split(",") if name.strip()}


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what it puts into the background deaf to Ctrl-C, which some tests press.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A slip of the pen here would let a GPU run pass by skipping.
    if unknown := _required() - MISSING.keys():
        raise pytest.UsageError(f"HSI_EDGE_REQUIRE names {sorted(unknown)}; it knows {sorted(MISSING)}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, missing in MISSING.items():
        if item.get_closest_marker(name) is None or (reason := missing()) is None:
            continue
        if name in _required():
            pytest.fail(f"HSI_EDGE_REQUIRE asks for '{name}': {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run."""
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of research data, which is not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("research data is not here: ../shared/data")
    return SHARED_DATA
