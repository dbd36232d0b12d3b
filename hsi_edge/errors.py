"""Every error that this package raises on purpose; the root is `HSIEdgeError`."""

from __future__ import annotations

import importlib
from types import ModuleType


class HSIEdgeError(Exception):
    """Root of all errors of this package."""


class InputError(HSIEdgeError, ValueError):
    """A caller's array, cube, file or argument is not what was wanted."""


class ManifestError(HSIEdgeError):
    """A model bundle is damaged, unsafe, or of a kind that this version does not know."""


class SignatureError(HSIEdgeError):
    """A key is trusted, and a model bundle is not signed with it or was altered, or the key cannot be used."""


class EngineLoadError(HSIEdgeError):
    """A backend could not load or run the graph, or its golden replay went wrong."""


class DeviceLostError(EngineLoadError):
    """The GPU, or the context on it, was lost; open the engine again."""


class OutputError(HSIEdgeError):
    """A result could not be written; what lay at its place before is untouched."""


class ExportError(HSIEdgeError):
    """A trained network could not be brought into a bundle, or does not behave there as in training."""


class CalibrationError(HSIEdgeError):
    """No graph of the precision asked for keeps the accuracy that its gate wants; says what could be had."""


class TilingError(HSIEdgeError, ValueError):
    """A frame cannot be cut as asked."""


class RegistrationError(HSIEdgeError):
    """Where the RGB pixels of the spectral pixels are could not be told from the frames that were given."""


class SensorError(HSIEdgeError):
    """A sensor cannot be opened, was lost, or sends what is no frame."""


class SensorTimeout(SensorError, TimeoutError):  # noqa: N818 - as TimeoutError, its other base
    """No frame came in time; the sensor may still send one."""


class SensorEnded(SensorError):  # noqa: N818 - no error in a recording that is over
    """A file, a folder or a recording has no more frames, and never will."""


class RecordingError(HSIEdgeError):
    """A recording cannot be written or read."""


class MissingPackageError(HSIEdgeError, ImportError):
    """An optional package is needed for what was asked and is not installed."""


def require(module: str, *, feature: str, extra: str) -> ModuleType:
    """Import a heavy or optional package on use.

    Raises:
        MissingPackageError: Names the package, the feature that wanted it and the install command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as err:
        package = module.split(".")[0]
        raise MissingPackageError(
            f"{feature} needs the package '{package}', which cannot be imported ({err}). "
            f"Install it with: pip install 'hsi-edge[{extra}]'"
        ) from err
