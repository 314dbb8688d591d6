"""Each way of damaging the database by hand is found by the checks that it breaks, by name, and by no other."""

import pytest

from integration.services.command import DAY
from integration.services.database import Database
from integration.verifying import Verify, failed, of_day
from market_pulse.cli import verdicts
from market_pulse.cli.verdicts import Verdict
from market_pulse.cli.verification import Span

_COPY_BAR = """
INSERT INTO market.bar
SELECT symbol, interval, bar_time - n * INTERVAL '1 min', open, high, low, close, volume, is_final, source, request_id,
    fetched_at
FROM market.bar, generate_series(1, {}) AS n WHERE true
"""
_COPY_ANSWER = """
INSERT INTO market.answer
SELECT symbol, interval, asked_at, 'made up', fetched_at, source, cause, function, month, refusal, sha256, row_count, 0,
    unusable, covers_from, covers_until, recorded_at
FROM market.answer WHERE request_id = 'r2'
"""
_ADD_TO_QUARANTINE = """
INSERT INTO market.quarantine (topic_id, partition, record_offset, topic, reason, detail)
SELECT topic_id, 0, {}, topic, 'not_json', 'by hand' FROM market.stream_position
"""
_NO_LONGER_CHECKED = "ALTER TABLE market.batch DROP CONSTRAINT every_offset_is_accounted_for; "
_WEAKEN = """
ALTER TABLE market.latest_bar DROP CONSTRAINT price_finite,
ADD CONSTRAINT price_finite CHECK (high < 'Infinity') NOT VALID
"""


@pytest.mark.parametrize("span", [Span(), of_day()], ids=["everything", "day"])
def test_what_the_sink_stored_holds(verified: Verify, span: Span) -> None:
    outcomes = verified(span)
    assert failed(outcomes) == {}
    assert outcomes["archive"].verdict is Verdict.ELSEWHERE
    assert verdicts.level(outcomes.values()) == 0
    assert {name: outcome.examined for name, outcome in outcomes.items()} == {
        "topic": 1,
        "ledger": 4,
        "offsets": 4,
        "positions": 1,
        "losses": 0,
        "quarantine": 2,
        "answers": 4,
        "tellings": 3,
        "told": 4,
        "origins": 3,
        "bars": 5,
        "latest": 2,
        "rules": outcomes["rules"].examined,
        "archive": 0,
    }
    assert outcomes["rules"].examined > 5
    assert outcomes["ledger"].sentence.endswith(
        "8 received = 6 stored + 0 unchanged + 0 superseded + 2 quarantined; "
        "12 offsets = 8 received + 4 answers + 0 empty"
    )


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            "DELETE FROM market.bar WHERE bar_time = '2026-05-15T13:31Z'",
            {"bars": "IBM 1min 2026-05-15T13:31Z was told"},
        ),
        ("UPDATE market.bar SET close = 11 WHERE bar_time = '2026-05-15T13:31Z'", {"bars": "T13:31Z is 10.10 12.00"}),
        (
            "UPDATE market.bar SET volume = 1 WHERE bar_time = '2026-05-15T13:34Z'",
            {"bars": "2026-05-15T13:34Z is", "latest": "IBM 1min has as the latest bar"},
        ),
        (
            _COPY_BAR.format("1") + " AND bar_time = '2026-05-15T13:34Z'",
            {"bars": "2026-05-15T13:33Z is a bar that no request has told"},
        ),
        ("DELETE FROM market.latest_bar WHERE symbol = 'MSFT'", {"latest": "MSFT 1min has bars and no latest one"}),
        (
            "DELETE FROM market.batch WHERE from_offset = 5",
            {
                "offsets": "offsets 5 to 7 are in no batch and no lost range",
                "tellings": "2 tellings of IBM and others, partition 0 offsets 5 to 6",
                "answers": "1 answers about IBM",
            },
        ),
        (
            "UPDATE market.batch SET from_offset = 4, received = 3, unchanged = 1 WHERE from_offset = 5",
            {"offsets": "offsets 4 to 4 are accounted for twice"},
        ),
        (
            _NO_LONGER_CHECKED + "UPDATE market.batch SET answers = 0 WHERE from_offset = 5",
            {"ledger": "3 offsets = 2 received + 0 answers + 0 empty", "answers": "1 answers about IBM"},
        ),
        (
            "UPDATE market.stream_position SET next_offset = 11",
            {"positions": "ends at offset 12 and the position is 11"},
        ),
        (
            "UPDATE market.stream_position SET next_offset = 13",
            {"positions": "the position is 13", "topic": "bars partition 0 ends at offset 12"},
        ),
        ("DELETE FROM market.stream_position", {"positions": "has batches up to offset 12 and no position"}),
        (
            "UPDATE market.stream_position SET held = 'offsets 12 to 20 were deleted'",
            {"topic": "bars partition 0 is held: offsets 12 to 20"},
        ),
        ("DELETE FROM market.answer WHERE request_id = 'r1'", {"origins": "request r1 told 3 bars of IBM 1min"}),
        (
            _COPY_ANSWER,
            {"answers": "2 answers about IBM"},
        ),
        (
            "DELETE FROM market.bar_revision WHERE record_offset = 2",
            {"told": "told 4 bars: 2 are stored and 1 in quarantine"},
        ),
        (
            "DELETE FROM market.bar_revision WHERE record_offset = 5",
            {"told": "request r2 for IBM 1min", "bars": "2026-05-15T13:32Z is 10.10"},
        ),
        (
            "UPDATE market.bar_revision SET record_offset = 9 WHERE record_offset = 6",
            {"tellings": "offsets 5 to 9 recorded"},
        ),
        (
            _ADD_TO_QUARANTINE.format(6),
            {"quarantine": "offset 5 counts 0 in quarantine, of which 1 are there"},
        ),
        (
            "DELETE FROM market.quarantine WHERE record_offset = 3",
            {"quarantine": "offset 0 counts 1 in quarantine, of which 0 are there", "told": "3 are stored and 0 in"},
        ),
    ],
)
def test_damage_is_found_by_what_it_breaks(
    verified: Verify, database: Database, damage: str, expected: dict[str, str]
) -> None:
    database.query(damage)
    for span in (Span(), of_day()):
        outcomes = verified(span)
        found = failed(outcomes)
        assert found.keys() == expected.keys()
        for name, part in expected.items():
            assert any(part in example for example in found[name]), found[name]
        assert verdicts.level(outcomes.values()) == 1


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            _ADD_TO_QUARANTINE.format(40),
            {"quarantine": "has 1 records in quarantine outside of every batch, first offset 40"},
        ),
        (
            "DELETE FROM market.batch WHERE from_offset = 10",
            {"positions": "the ledger ends at offset 10", "tellings": "1 tellings of MSFT", "answers": "about MSFT"},
        ),
        ("ALTER TABLE market.bar DROP CONSTRAINT price_finite", {"rules": "price_finite is a rule of 2"}),
        (
            _WEAKEN,
            {"rules": "price_finite has not been checked"},
        ),
    ],
)
def test_damage_outside_of_the_day_is_found_in_the_whole(
    verified: Verify, database: Database, damage: str, expected: dict[str, str]
) -> None:
    database.query(damage)
    found = failed(verified())
    assert found.keys() == expected.keys()
    for name, part in expected.items():
        assert any(part in example for example in found[name]), found[name]


def test_another_day_says_nothing_of_this_one(verified: Verify, database: Database) -> None:
    database.query("DELETE FROM market.bar WHERE bar_time = '2026-05-15T13:31Z'")
    other = of_day(DAY.replace(day=14))
    assert failed(verified(other)) == {}
    assert verified(other)["bars"].examined == 0


def test_many_problems_are_counted_and_some_named(verified: Verify, database: Database) -> None:
    database.query(_COPY_BAR.format(50) + " AND symbol = 'MSFT'")
    outcome = verified()["bars"]
    assert (outcome.broken, outcome.examined, len(outcome.examples)) == (50, 55, verdicts.EXAMPLES)
