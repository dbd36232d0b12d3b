"""What a compiled engine must offer so that its tensors can stay on the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class DeviceEngine(Protocol):
    """An engine compiled for static shapes, with float32 inputs and outputs."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of every input and output tensor, with the batch axis (NCHW)."""

    @property
    def workspace_bytes(self) -> int:
        """Device memory that the engine holds for itself."""

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Put one run into a stream.

        Args:
            addresses: Device addresses by tensor name.
            stream: The stream's handle.

        Raises:
            EngineLoadError: The engine refuses.
        """
