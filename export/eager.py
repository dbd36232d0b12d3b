"""The torch network on a whole frame: what the runtime's speed and memory are measured against."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from export.networks.pzres import PZResNet
from hsi_edge.machine import peak_resident_bytes, resident_bytes


@dataclass(frozen=True, kw_only=True)
class EagerRun:
    """What one process measured.

    Attributes:
        seconds: Of every timed pass; the base image is given, so the network alone is timed.
        peak_bytes: The most that the process held.
        growth_bytes: That, less what it held with its imports, weights and inputs made.
        threads: That torch computes with.
    """

    seconds: tuple[float, ...]
    peak_bytes: int
    growth_bytes: int
    threads: int


@torch.inference_mode()
def run_eager(bands: int, msi_bands: int, side: int, repeats: int, *, compiled: bool = False) -> EagerRun:
    """Run PZRes-Net with random weights on a `side` x `side` frame in FP32, once to warm up and `repeats` times.

    With `compiled`, through `torch.compile`; what that takes itself falls into the warm-up.
    """
    torch.manual_seed(0)
    network: Callable[..., object] = PZResNet(bands, msi_bands).eval()
    if compiled:
        network = torch.compile(network)
    base, msi = torch.rand(1, bands, side, side), torch.rand(1, msi_bands, side, side)
    before = resident_bytes()
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter_ns()
        network(base, msi)
        seconds.append((time.perf_counter_ns() - start) / 1e9)
    peak = peak_resident_bytes()
    return EagerRun(
        seconds=tuple(seconds[1:]), peak_bytes=peak, growth_bytes=peak - before, threads=torch.get_num_threads()
    )
