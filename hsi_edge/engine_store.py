"""Engines on the disk: one folder each, with the plans and the facts that say what they are valid for.

```
<root>/<id>/engine.yaml     the facts (`EngineFacts`), strict
<root>/<id>/whole.plan      the compiled graph that measures its statistics, or has none
<root>/<id>/given.plan      the one that takes them, for a network with statistics
```

A root is the folder `engines` of a bundle, for engines built ahead of time for other devices, or one in this device's
cache (`device_engines`), for those that were built here for this very device: a bundle may be read-only or signed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hsi_edge.backends import EngineBackend
from hsi_edge.bundle import Bundle
from hsi_edge.device_facts import cache_folder
from hsi_edge.errors import EngineLoadError, ManifestError, OutputError, SignatureError
from hsi_edge.io.atomic import atomic_path
from hsi_edge.manifest import GraphPrecision
from hsi_edge.records import plain_from_record, plain_from_yaml, record_from_plain, yaml_from_plain

Kind = EngineBackend
Form = Literal["whole", "given"]

FACTS = "engine.yaml"
MAX_FACTS_BYTES = 1 << 16
_PLAN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}\.plan")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _want(ok: bool, key: str, value: object, wanted: str) -> None:
    if not ok:
        raise ManifestError(f"{key} is {value!r}; wanted {wanted}")


@dataclass(frozen=True, kw_only=True)
class PlanFile:
    """One compiled graph.

    Attributes:
        file: Its name in the engine's folder.
        sha256, size_bytes: Of the file.
        graph_sha256: Of the ONNX graph that it was made of.
        shapes: Of every input, NCHW, by name; it runs at no other.
    """

    file: str
    sha256: str
    size_bytes: int
    graph_sha256: str
    shapes: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        _want(_PLAN_NAME.fullmatch(self.file) is not None, "file", self.file, "the name of a .plan file, no path")
        for key in ("sha256", "graph_sha256"):
            value = getattr(self, key)
            _want(_SHA256.fullmatch(value) is not None, key, value, "64 hexadecimal digits")
        _want(self.size_bytes > 0, "size_bytes", self.size_bytes, "1 or more")
        sides = [side for shape in self.shapes.values() for side in shape]
        _want(bool(sides) and min(sides) > 0, "shapes", self.shapes, "the shape of every input, sides above 0")


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What an engine is valid for, and how it was made.

    Attributes:
        backend: The library that made it, and that alone runs it.
        version: Of that library.
        platform: System and processor, such as `linux-x86_64`.
        device: The GPU's name; empty for an engine built ahead of time.
        compute_capabilities: Those that it runs on, such as `8.6`.
        driver: Of the device that it was built on, or its JetPack; empty for one built ahead of time.
        precision: Of the graph.
        tile_lr: Rows and columns of the tile that it runs, with halo, in LR pixels.
        flags: What else was set for the build.
        layers_checked: Whether the compiled layers were seen to compute in the precision asked for; if not, that is
            done when the engine is first opened.
        built: The day, as YYYY-MM-DD.
        plans: By form of the graph.

    Raises:
        ManifestError: Names the key, its value and what was wanted.
    """

    backend: Kind
    version: str
    platform: str
    device: str
    compute_capabilities: tuple[str, ...]
    driver: str
    precision: GraphPrecision
    tile_lr: tuple[int, int]
    flags: Mapping[str, str | int | float | bool]
    layers_checked: bool
    built: str
    plans: Mapping[Form, PlanFile]

    def __post_init__(self) -> None:
        dotted = [re.fullmatch(r"\d{1,2}\.\d", capability) is not None for capability in self.compute_capabilities]
        _want(bool(dotted) and all(dotted), "compute_capabilities", self.compute_capabilities, "such as ['8.6']")
        tile_fits = len(self.tile_lr) == 2 and min(self.tile_lr) > 0
        _want(tile_fits, "tile_lr", self.tile_lr, "rows and columns, above 0")
        _want("whole" in self.plans, "plans", list(self.plans), "a plan for the form whole")

    @property
    def engine_id(self) -> str:
        """A name for its folder, from what it is valid for."""
        where = self.device or "-".join(f"sm{capability.replace('.', '')}" for capability in self.compute_capabilities)
        tile = "x".join(str(side) for side in self.tile_lr)
        words = f"{self.backend}-{self.version}-{self.platform}-{where}-{self.precision}-{tile}"
        return re.sub(r"[^a-z0-9._]+", "-", words.lower())


@dataclass(frozen=True)
class StoredEngine:
    """An engine on the disk, its facts read, its plans not yet."""

    folder: Path
    facts: EngineFacts

    def read_plan(self, form: Form) -> bytes:
        """The plan, its size and hash checked before anything else sees it.

        Raises:
            EngineLoadError: There is none of that form, or it is not the one that the facts list.
        """
        if form not in self.facts.plans:
            raise EngineLoadError(
                f"the engine {self.folder.name} has no plan for the form {form}; it has {', '.join(self.facts.plans)}"
            )
        plan = self.facts.plans[form]
        path = self.folder / plan.file
        try:
            with path.open("rb") as stream:
                data = stream.read(plan.size_bytes + 1)
        except OSError as err:
            raise EngineLoadError(f"the plan {path} cannot be read ({err.strerror}); build the engine anew") from err
        if len(data) != plan.size_bytes:
            raise EngineLoadError(
                f"the plan {path} is not the one that was built: it has {path.stat().st_size} bytes, its facts say "
                f"{plan.size_bytes}; build the engine anew"
            )
        if hashlib.sha256(data).hexdigest() != plan.sha256:
            raise EngineLoadError(
                f"the plan {path} is not the one that was built: its bytes were altered; build the engine anew"
            )
        return data


def plan_file(form: Form, plan: bytes, *, graph: bytes, shapes: Mapping[str, tuple[int, ...]]) -> PlanFile:
    """The record of a plan just built from a graph for the given input shapes."""
    return PlanFile(
        file=f"{form}.plan",
        sha256=hashlib.sha256(plan).hexdigest(),
        size_bytes=len(plan),
        graph_sha256=hashlib.sha256(graph).hexdigest(),
        shapes=dict(shapes),
    )


def device_engines(bundle: Bundle) -> Path:
    """Where this device keeps the engines that it built for a bundle's model; the folder need not exist."""
    manifest = bundle.manifest
    graph = manifest.files[manifest.graphs["fp32"].whole]
    return cache_folder() / "engines" / f"{manifest.name}-{graph.sha256[:12]}"


def save_engine(root: Path, facts: EngineFacts, plans: Mapping[Form, bytes]) -> StoredEngine:
    """Write an engine below `root`, in place of one with the same identity; a killed process leaves no half engine.

    Args:
        root: Made where it is missing.
        facts: Its `plans` describe the given ones.
        plans: The bytes by form.

    Raises:
        OutputError: It cannot be written.
    """
    folder = root / facts.engine_id
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make the folder {root} for engines ({err.strerror}); choose another one") from err
    with atomic_path(folder) as partial:
        partial.mkdir()
        for form, data in plans.items():
            (partial / facts.plans[form].file).write_bytes(data)
        (partial / FACTS).write_bytes(yaml_from_plain(plain_from_record(facts)))
    return StoredEngine(folder, facts)


def stored_engines(root: Path, covered: Mapping[str, str] | None = None) -> tuple[list[StoredEngine], list[str]]:
    """The engines below a root, by name, and one line for each that is there and cannot be read or trusted.

    Only the facts are read: the plans are large, and none is trusted before its turn.

    Args:
        root: Need not exist.
        covered: What a bundle's signature covers (`Bundle.covered`), the root being its `engines`: other facts are not
            parsed, and covered ones hold their plans' hashes. None where no key is trusted.
    """
    engines, unreadable = [], []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        # A leading dot marks what a killed build left behind.
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            engines.append(StoredEngine(folder, _read_facts(folder, covered)))
        except SignatureError as err:
            unreadable.append(f"{folder.name}: {err}")
        except (ManifestError, OSError) as err:
            unreadable.append(f"the engine {folder.name} cannot be read: {err}; remove it, or build it anew")
    return engines, unreadable


def drop_predecessors(engine: StoredEngine) -> None:
    """Remove what the same library built before for the same precision beside an engine: only one of them would run."""
    for other in stored_engines(engine.folder.parent)[0]:
        same = (other.facts.backend, other.facts.precision) == (engine.facts.backend, engine.facts.precision)
        if same and other.folder != engine.folder:
            # Out of sight at once, so that nobody finds half of it.
            aside = other.folder.with_name(f".old-{other.folder.name}")
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(other.folder.replace(aside), ignore_errors=True)


def has_zipped_engines(bundle: Bundle) -> bool:
    """Whether a bundle is a `.zip` file with engines, which are not read there."""
    if bundle.path.is_dir():
        return False
    with zipfile.ZipFile(bundle.path) as archive:
        return any(name.endswith(f"/{FACTS}") for name in archive.namelist())


def _read_facts(folder: Path, covered: Mapping[str, str] | None) -> EngineFacts:
    with (folder / FACTS).open("rb") as stream:
        data = stream.read(MAX_FACTS_BYTES + 1)
    name = f"engines/{folder.name}/{FACTS}"
    if covered is not None and covered.get(name) != hashlib.sha256(data).hexdigest():
        raise SignatureError("the bundle's signature does not cover it; sign the bundle anew")
    return record_from_plain(EngineFacts, plain_from_yaml(data, MAX_FACTS_BYTES))
