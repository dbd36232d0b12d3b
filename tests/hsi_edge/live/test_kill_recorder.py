from __future__ import annotations

from tests.hsi_edge.live.kill_recorder import kill_many


def test_what_was_acknowledged_a_second_before_a_kill_is_there():
    kills = kill_many(10, at_once=10, least_s=1.0, most_s=1.8)
    assert sum(kill.old for kill in kills) > 0
    assert sum(kill.lost_old for kill in kills) == 0
    assert all(kill.standard == kill.sequential == kill.found for kill in kills)
    assert sum(kill.unfinished for kill in kills) > 0  # or it would have tested nothing
