from __future__ import annotations

from tests.hsi_edge.sensors.source_contract import SourceContract


class TestEverySource(SourceContract):
    pass
