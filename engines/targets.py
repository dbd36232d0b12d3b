"""The devices that bundles are made for: `targets/*.yaml`, one strict record each, every figure with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.records import plain_from_yaml, record_from_plain

FOLDER = Path(__file__).with_name("targets")
MAX_TARGET_BYTES = 1 << 16

Basis = Literal["stated", "derived", "measured", "recalled"]
"""How a figure is known: its source states it; it follows from what the source states, as the note says; it was
measured, where the source says; or it is from memory of the maker's data sheet and to be checked."""
Arithmetic = Literal["fp32", "bf16", "fp16", "int8"]
Built = Literal["not needed", "ahead of time", "on the device"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number of a device.

    Attributes:
        value: In the unit that the field's name says.
        basis: How it is known.
        source: A key of the target's `sources`.
        note: How it was derived, and what it leaves out.
    """

    value: float
    basis: Basis
    source: str
    note: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether it rests on more than memory."""
        return self.basis != "recalled"


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What a device can do at most: dense (no sparsity), accumulating in FP32 where the maker tells it apart.

    Attributes:
        fp32, bf16, fp16: TFLOP/s, an addition and a multiplication counted as two; None where it has no such unit, or
            nothing is known of it.
        int8: TOP/s.
        at: The clock or power mode that these hold at.
    """

    fp32: Figure
    bf16: Figure | None = None
    fp16: Figure | None = None
    int8: Figure | None = None
    at: str


@dataclass(frozen=True, kw_only=True)
class PowerMode:
    """A power mode.

    Attributes:
        name: As the device's tools call it.
        watts: Its limit; 0 where it has none.
        compute: The share of the peaks that its clocks leave; None where that is not known.
        memory: The same of the bandwidth.
        basis: How the limit and the shares are known.
        source: A key of the target's `sources`.
    """

    name: str
    watts: float
    basis: Basis
    source: str
    compute: float | None = None
    memory: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Dla:
    """Deep-learning accelerators beside the GPU. No engine here uses them; they are listed for who plans with them."""

    cores: int
    int8: Figure


@dataclass(frozen=True, kw_only=True)
class Library:
    """A TensorRT that a system carries or takes: `system` (JetPack 6.2), `library` (TensorRT 10.3), how known."""

    system: str
    library: str
    basis: Basis
    source: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """A device to make a bundle for.

    Attributes:
        name: As commands take it; also the file's name.
        title: Which device, exactly, the figures are of.
        kind: What sort of device.
        platform: Operating system and processor, as engines record it.
        compute_capability: Of its GPU; empty for a CPU.
        unified_memory: Whether the GPU shares the CPU's memory.
        backends: The first that can be had is used.
        built: Where its engines come from.
        memory_gb: Size of the memory that the network runs in.
        memory_gb_s: Its bandwidth, GB/s.
        peaks: Arithmetic.
        dla: None where there is none.
        power_modes: Empty where it has one fixed limit or none.
        libraries: Which TensorRT its systems carry.
        sources: Documents by a short key.
        note: What a buyer should know.

    Raises:
        ManifestError: A figure names a source that is not listed.
    """

    name: str
    title: str
    kind: Literal["jetson", "desktop", "server", "cpu"]
    platform: str
    compute_capability: str
    unified_memory: bool
    backends: tuple[str, ...]
    built: Built
    memory_gb: Figure
    memory_gb_s: Figure
    peaks: Peaks
    dla: Dla | None = None
    power_modes: tuple[PowerMode, ...] = ()
    libraries: tuple[Library, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        used = {figure.source for figure in self.figures().values()}
        used |= {library.source for library in self.libraries} | {mode.source for mode in self.power_modes}
        if unknown := sorted(used - self.sources.keys()):
            raise ManifestError(f"sources lacks {', '.join(unknown)}; it has {', '.join(self.sources)}")

    def figures(self) -> dict[str, Figure]:
        """Every figure by its name."""
        peaks = {f"peaks.{name}": self.peak(name) for name in ARITHMETIC}
        dla = {} if self.dla is None else {"dla.int8": self.dla.int8}
        known = {name: figure for name, figure in peaks.items() if figure is not None}
        return {"memory_gb": self.memory_gb, "memory_gb_s": self.memory_gb_s, **known, **dla}

    @property
    def runs(self) -> tuple[Arithmetic, ...]:
        """What this SDK runs there, as far as there are figures: BF16 on CPUs alone, FP16 graphs on GPUs alone."""
        other: Arithmetic = "bf16" if self.kind == "cpu" else "fp16"
        wanted: tuple[Arithmetic, ...] = ("fp32", other, "int8")
        return tuple(arithmetic for arithmetic in wanted if self.peak(arithmetic) is not None)

    def peak(self, arithmetic: Arithmetic) -> Figure | None:
        """The figure for an arithmetic; None where the device has no unit for it."""
        figure: Figure | None = getattr(self.peaks, arithmetic)
        return figure


ARITHMETIC: tuple[Arithmetic, ...] = ("fp32", "bf16", "fp16", "int8")


def target_names() -> tuple[str, ...]:
    """The names of all targets, sorted."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.yaml")))


def read_target(name: str) -> Target:
    """Read one target.

    Raises:
        InputError: There is none of that name.
        ManifestError: Its file is wrong.
    """
    if name not in target_names():
        raise InputError(f"there is no target {name!r}; there are {', '.join(target_names())}")
    file = FOLDER / f"{name}.yaml"
    try:
        target = record_from_plain(Target, plain_from_yaml(file.read_bytes(), MAX_TARGET_BYTES))
    except ManifestError as err:
        raise ManifestError(f"{file}: {err}") from err
    if target.name != name:
        raise ManifestError(f"{file}: name is {target.name!r}; wanted {name}, as the file is called")
    return target


def chosen_targets(names: Sequence[str]) -> list[Target]:
    """The targets of these names; `all` stands for every one.

    Raises:
        InputError: There is none of a name.
    """
    wanted = target_names() if "all" in names else dict.fromkeys(names)
    return [read_target(name) for name in wanted]
