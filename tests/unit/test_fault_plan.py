from itertools import pairwise
from pathlib import Path

import pytest

from system.faults.plan import plan
from system.faults.scorecard import replaced

FAULTS = ["kill the broker", "cut the network", "pause the host"]


def test_the_seed_decides_the_whole_plan() -> None:
    assert plan(7, 300, FAULTS) == plan(7, 300, FAULTS)
    assert plan(7, 300, FAULTS) != plan(8, 300, FAULTS)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    short = plan(7, 300, FAULTS)
    assert plan(7, 3000, FAULTS)[: len(short)] == short


@pytest.mark.parametrize("seed", range(50))
def test_faults_come_every_twenty_to_forty_seconds_and_are_over_in_time(seed: int) -> None:
    steps = plan(seed, 300, FAULTS)
    assert 7 <= len(steps) <= 15
    assert all(20 <= after.at - before.at <= 40 for before, after in pairwise(steps))
    assert all(0 < step.seconds < 20 and step.at + step.seconds <= 300 for step in steps)


def test_every_fault_has_its_turn() -> None:
    assert {step.fault for step in plan(7, 3000, FAULTS)} == set(FAULTS)


ROWS = "| P10 | old |\n| D1 | kept |\n| nemesis | kept |\n"
CARD = f"before\n<!-- score card: begin -->\n{ROWS}<!-- score card: end -->\nafter\n"


def test_a_card_gets_new_rows_beside_those_that_were_not_tried_again() -> None:
    table = replaced(CARD, {"P10": "| P10 | new |", "P2": "| P2 | more |"})
    rows = [line for line in table.splitlines() if line.endswith((" kept |", " more |", " new |", " old |"))]
    assert rows == ["| D1 | kept |", "| P2 | more |", "| P10 | new |", "| nemesis | kept |"]
    assert table.startswith("before\n")
    assert table.endswith("after\n")
    assert replaced(table, {}) == table


def test_a_file_without_a_place_for_the_card_is_refused() -> None:
    with pytest.raises(ValueError, match="no table"):
        replaced(Path(__file__).name, {})
