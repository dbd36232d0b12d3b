from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Each thread frees what it allocated; malloc_info counts the heaps that the process has come to.
HEAPS = """
import ctypes, os, threading
from hsi_edge.live.heap import share_one_heap
if {shared}:
    share_one_heap()
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
barrier = threading.Barrier(4)
def work():
    barrier.wait()
    blocks = [libc.malloc(1000) for _ in range(1000)]
    barrier.wait()
    for block in blocks:
        libc.free(block)
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.fopen.restype = ctypes.c_void_p
libc.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
out = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, out)
libc.fclose(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives threads heaps of their own")
def test_threads_share_one_heap() -> None:
    def heaps(shared: bool) -> int:
        program = [sys.executable, "-c", HEAPS.format(shared=shared)]
        return subprocess.run(program, check=True, capture_output=True, text=True).stdout.count("<heap nr=")

    assert heaps(False) > 1
    assert heaps(True) == 1
