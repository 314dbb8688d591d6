from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from market_pulse.cli.checks import Check, checks
from market_pulse.cli.verdicts import (
    EXAMPLES,
    Kept,
    Outcome,
    Position,
    Verdict,
    judge,
    judge_archive,
    judge_topic,
    level,
    lines,
)
from market_pulse.topic import Topic

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
CHECK = Check("bars", "bars", "each is there", "SELECT")
ID = uuid4()


def topic(end: int, beginning: int = 0, topic_id: UUID = ID) -> Topic:
    return Topic("bars", topic_id, {0: beginning}, {0: end})


def kept(request_id: str, minute: int = 0, sha256: str | None = "a") -> Kept:
    return Kept(request_id, "IBM", "1min", NOON + timedelta(minutes=minute), sha256)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], 0),
        ([Verdict.OK, Verdict.ELSEWHERE], 0),
        ([Verdict.OK, Verdict.NOT_ASKED], 2),
        ([Verdict.NOT_ASKED, Verdict.FAILED, Verdict.OK], 1),
    ],
)
def test_the_exit_code(verdicts: list[Verdict], expected: int) -> None:
    assert level(Outcome("c", verdict, "") for verdict in verdicts) == expected


def test_figures_of_a_check_that_holds() -> None:
    outcome = judge(CHECK, [(None, 12, 12)], "12 of 12")
    assert list(lines(outcome)) == ["ok         bars        12 bars: each is there; 12 of 12"]


def test_what_breaks_a_rule_is_counted_and_named() -> None:
    counted = [(None, 5, 40), *((f"bar {number:02}", 1, 40) for number in range(EXAMPLES))]
    outcome = judge(CHECK, counted)
    assert (outcome.verdict, outcome.broken, outcome.examined) == (Verdict.FAILED, 35, 40)
    printed = list(lines(outcome))
    assert printed[0] == "FAILED     bars        35 of 40 bars break the rule: each is there"
    assert [line.strip() for line in printed[1:]] == [*(f"bar {number:02}" for number in range(10)), "and 25 more"]


def test_nothing_to_look_at_holds_and_says_so() -> None:
    assert judge(CHECK, []).sentence == "0 bars: each is there"


def test_a_whole_that_is_broken_is_broken() -> None:
    assert judge(CHECK, [("bar 1", 2, 2)]).broken == 2


@pytest.mark.parametrize(
    ("before", "after", "positions", "verdict", "said"),
    [
        (topic(10), topic(12), {0: Position(9)}, Verdict.OK, "lag 3"),
        (topic(10), topic(12), {0: Position(12)}, Verdict.OK, "lag 0"),
        (topic(10), topic(12), {0: Position(13)}, Verdict.FAILED, "ends at offset 12"),
        (topic(10, beginning=5), topic(12, beginning=9), {0: Position(7)}, Verdict.OK, "lag 5"),
        (topic(10, beginning=5), topic(12), {0: Position(3)}, Verdict.FAILED, "offsets 3 to 4 are not stored"),
        (topic(10, beginning=5), topic(12), {}, Verdict.OK, "lag 7"),
        (topic(10), topic(12), {0: Position(9, "2 were lost")}, Verdict.FAILED, "held: 2 were lost"),
        (topic(10), topic(12), {0: Position(9), 3: Position(1)}, Verdict.FAILED, "partition 3 has a position"),
        (topic(10), topic(12, topic_id=uuid4()), {0: Position(9)}, Verdict.NOT_ASKED, "made anew"),
    ],
)
def test_positions_against_the_log(
    before: Topic, after: Topic, positions: Mapping[int, Position], verdict: Verdict, said: str
) -> None:
    outcome = judge_topic(before, after, positions)
    assert outcome.verdict is verdict
    assert said in "\n".join(lines(outcome))


def test_what_only_one_side_has() -> None:
    stored = {"r1": kept("r1"), "r2": kept("r2", 2), "r3": kept("r3", 3, None), "old": kept("old", -60)}
    newest = {("IBM", "1min"): NOON + timedelta(minutes=3)}
    archived = [kept("r1", sha256="b"), kept("lost", 1), kept("on its way", 4), kept("r3", 3, None)]
    outcome = judge_archive(stored, archived, newest, NOON)
    assert outcome.examples == (
        "request r1 for IBM 1min fetched 2026-01-05T12:00:00Z: the archive has b, the database a",
        "request lost for IBM 1min fetched 2026-01-05T12:01:00Z is archived, and its answer is not stored",
        "request r2 for IBM 1min fetched 2026-01-05T12:02:00Z is stored and not archived",
    )


def test_an_empty_archive_lacks_every_answer() -> None:
    outcome = judge_archive({"r1": kept("r1")}, [], {}, None)
    assert outcome.broken == 1
    assert outcome.sentence.endswith("the archive is empty")


def test_a_day_and_the_whole_are_checked_for_the_same() -> None:
    names = [check.name for check in checks(of_one_day=True)]
    assert names == [check.name for check in checks(of_one_day=False)]
    assert len(names) == len(set(names))
