"""Arrays that say that they lie on a GPU are checked before anything reads them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hsi_edge.cuda.arrays import device_array, taken_output, taken_to_host
from hsi_edge.cuda.driver import DEFAULT_STREAM
from hsi_edge.errors import InputError

TOLD = {"shape": (4, 6, 3), "typestr": "<f4", "data": (0x7000, False), "version": 3}


def array(**changes):
    return SimpleNamespace(__cuda_array_interface__=TOLD | changes)


def test_an_array_without_strides_is_dense():
    assert device_array("hr_msi", array()).strides == (72, 12, 4)
    assert device_array("hr_msi", array(strides=(4, 16, 96))).strides == (4, 16, 96)


@pytest.mark.parametrize("told", [{}, {"stream": None}, {"version": 2}], ids=["Numba", "PyCUDA", "torch"])
def test_where_no_stream_is_told_the_default_one_may_still_be_at_work_on_the_array(told):
    assert device_array("hr_msi", array(**told)).stream == DEFAULT_STREAM


def test_the_producers_stream_is_known():
    assert device_array("hr_msi", array(stream=0x55)).stream == 0x55
    assert device_array("hr_msi", array(stream=2)).stream == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (4, 6)}, r"hr_msi has shape \(4, 6\); wanted \(rows, cols, bands\)"),
        ({"shape": (4, 0, 3)}, r"hr_msi has shape \(4, 0, 3\)"),
        ({"typestr": "<f8"}, r"dtype float64; wanted uint8, uint16, int16, float32: convert it there"),
        ({"typestr": ">f4"}, r"dtype >f4"),
        ({"stream": 0}, r"names stream 0, which the protocol"),
        ({"strides": (72, 12, 3)}, r"strides \(72, 12, 3\); wanted multiples of 4"),
        ({"data": (0x7002, False)}, r"at 0x7002 with strides \(72, 12, 4\); wanted multiples of 4"),
        ({"mask": object()}, r"with a mask, which is not read; make invalid pixels NaN"),
        ({"data": None}, r"hr_msi is a SimpleNamespace with an unreadable __cuda_array_interface__"),
        ({"typestr": "no type"}, r"unreadable __cuda_array_interface__"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_way_out(changes, message):
    with pytest.raises(InputError, match=message):
        device_array("hr_msi", array(**changes))


def test_an_array_to_write_to_is_float32_and_not_read_only():
    assert device_array("out", array(), writeable=True).dtype == "float32"
    with pytest.raises(InputError, match="out lies on the GPU with dtype uint8; wanted float32"):
        device_array("out", array(typestr="|u1"), writeable=True)
    with pytest.raises(InputError, match="out lies on the GPU and is read-only"):
        device_array("out", array(data=(0x7000, True)), writeable=True)


def test_the_result_is_only_written_to_an_array_of_its_shape():
    assert taken_output(array(), (4, 6, 3), object()).address == 0x7000
    with pytest.raises(InputError, match=r"out lies on the GPU and is \(4, 6, 3\); wanted \(6, 4, 3\)"):
        taken_output(array(), (6, 4, 3), object())


def test_where_the_engine_runs_on_the_cpu_an_array_on_the_gpu_is_refused():
    with pytest.raises(InputError, match=r"hr_msi lies on a GPU, and this engine runs on the CPU; copy it to the host"):
        taken_to_host("hr_msi", array(), None)
    with pytest.raises(InputError, match=r"out lies on a GPU, and this engine runs on the CPU"):
        taken_output(array(), (4, 6, 3), None)


def test_what_lies_on_the_host_is_handed_back_as_it_is():
    image = np.zeros((2, 2, 3))
    host, device = taken_to_host("hr_msi", image, None)
    assert host is image
    assert device is None
