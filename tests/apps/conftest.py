"""What tests of the programs on the live pipeline share."""

from tests.hsi_edge.live.conftest import ground, no_thread_left
from tests.hsi_edge.live.test_command import _own_log, _quick

__all__ = ["_own_log", "_quick", "ground", "no_thread_left"]
