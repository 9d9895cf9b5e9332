"""A few rounds of kill -9 in every test run; `rounds.py --rounds 200` is the long drill."""

from __future__ import annotations

from tests.chaos import rounds
from tests.chaos.arena import VICTIMS


def test_nothing_acknowledged_is_lost_and_nothing_is_doubled_when_parts_are_killed():
    judgment = rounds.run(4, seed=7, victims=VICTIMS)

    assert judgment.broken == []
    assert judgment.acked > 30
    assert judgment.welcomed > 3
