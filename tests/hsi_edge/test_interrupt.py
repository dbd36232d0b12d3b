"""Ctrl-C before the command has begun, and when it is over, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hsi_edge.interrupt import INTERRUPTED, end_at_once_when_interrupted, ended_at_once_when_interrupted

ROOT = Path(__file__).parents[2]
COMMAND = "from hsi_edge.cli import main; sys.exit(main())"
AT_IMPORT = """
import os, signal, sys
def hook(event, arguments):
    if event == "import" and arguments[0] == {module!r}:
        {then}
sys.addaudithook(hook)
"""
PRESSED = "signal.raise_signal(signal.SIGINT)"
ONE_LINE = (INTERRUPTED, "", "hsi-edge: interrupted\n")


def started(program: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", program, "info", str(ROOT / "engines" / "bundles" / "regression-x8")]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("module", ["numpy", "numpy.linalg", "hsi_edge.engine", "hsi_edge.live.command"])
def test_ctrl_c_while_a_module_is_loaded_is_one_line(module: str) -> None:
    assert ended(started(AT_IMPORT.format(module=module, then=PRESSED) + COMMAND)) == ONE_LINE


@pytest.mark.parametrize("delay_s", [0, 0.02, 0.08])
def test_ctrl_c_from_outside_soon_after_the_start_is_one_line(delay_s: float) -> None:
    program = AT_IMPORT.format(module="numpy", then='os.write(1, b"loading\\n")')
    process = started(program + COMMAND)
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    assert ended(process) == ONE_LINE


def test_ctrl_c_when_the_work_is_done_is_one_line_and_the_work_is_kept() -> None:
    code, out, err = ended(started(f"import atexit, signal, sys; atexit.register(lambda: {PRESSED}); {COMMAND}"))
    assert (code, err) == (INTERRUPTED, "hsi-edge: interrupted\n")
    assert "regression-x8" in out


def test_who_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code, out, err = ended(started(program + AT_IMPORT.format(module="hsi_edge.engine", then=PRESSED) + COMMAND))
    assert (code, err) == (0, "")
    assert "regression-x8" in out


def test_after_the_block_ctrl_c_is_an_exception_again() -> None:
    with ended_at_once_when_interrupted():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_thread_may_load_the_program_too() -> None:
    seen: list[object] = []

    def load() -> None:
        with ended_at_once_when_interrupted():
            end_at_once_when_interrupted()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_the_package_still_offers_its_names_and_no_others() -> None:
    program = "import hsi_edge, sys; print('numpy' in sys.modules, hsi_edge.HSIEngine.__name__, hsi_edge.__all__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False HSIEngine ['Cube', 'HSIEdgeError', 'HSIEngine', 'InputError', '__version__']\n"
    import hsi_edge

    with pytest.raises(AttributeError, match="has no attribute 'Engine'"):
        hsi_edge.Engine  # noqa: B018
