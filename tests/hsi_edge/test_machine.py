from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from hsi_edge import machine
from hsi_edge.machine import cpu_features, machine_facts, resident_bytes

MIB = 2**20
PROGRAM = """
import json, numpy as np
from hsi_edge.machine import forget_peak, peak_resident_bytes, resident_bytes
before = resident_bytes()
block = np.ones({mib} << 20, np.uint8)
del block
peak = peak_resident_bytes()
forget_peak()
print(json.dumps([before, peak, peak_resident_bytes()]))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's memory this way")


def measured(mib):
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(mib=mib)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_peak_holds_an_array_that_is_gone():
    before, peak, _ = measured(200)
    assert 199 * MIB < peak - before < 220 * MIB


def test_a_peak_that_was_forgotten_is_not_told_again():
    before, peak, afterwards = measured(200)
    assert afterwards < before + 20 * MIB < peak


def test_peak_of_a_process_is_not_that_of_the_one_that_started_it():
    held = np.ones(500 * MIB, np.uint8)
    _, peak, _ = measured(1)
    assert peak < resident_bytes() - held.nbytes // 2


def test_facts_name_the_cpu_and_the_versions():
    facts = machine_facts(("numpy", "no-such-package"))
    assert facts["numpy"] == np.__version__
    assert facts["no-such-package"] == "not installed"
    assert facts["cpu"]
    assert int(facts["cores"]) >= 1


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16 amx_bf16\n", ("avx2", "avx512_bf16", "amx_bf16")),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", ("asimd", "bf16", "i8mm")),
        ("processor\t: 0\n", ()),
    ],
)
def test_features_are_read_as_x86_and_arm_kernels_write_them(text, features, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "_CPU", tmp_path / "cpuinfo")
    assert cpu_features() == features
