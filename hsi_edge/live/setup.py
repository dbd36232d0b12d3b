"""What a flight was made with: kept in each file of a recording, so that it can be replayed by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hsi_edge._version import __version__


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """Which model ran, and on what.

    Attributes:
        role: Whether it made the fused results or those of the spectral frame alone.
        name: The bundle's.
        manifest_sha256: Of its manifest, which has the hashes of all its files.
        precision, backend, device: As in the run report.
    """

    role: Literal["fusion", "single"]
    name: str
    manifest_sha256: str
    precision: str
    backend: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a replay needs besides the frames.

    Attributes:
        files: Name and content of the flight file and of all that it names: the rig, the radiometry, and what belongs
            to them.
        bundles: That ran.
        version: Of this package.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    bundles: tuple[BundleFacts, ...] = ()
    version: str = __version__
