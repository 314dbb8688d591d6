"""Each way of damaging the database by hand is found by the checks that it breaks, by name, and by no other."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from integration.services.command import DAY, END, archive_in, credentials_in, settings_of, stored_day
from integration.services.database import Database, Server
from market_pulse.cli import verdicts, verification
from market_pulse.cli.verdicts import Outcome, Verdict
from market_pulse.cli.verification import Span
from market_pulse.producer.archive import Archive
from market_pulse.topic import Topic

_LATER = datetime(2026, 11, 1, tzinfo=UTC)
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
_ADD_BATCH = """
INSERT INTO market.batch (run_id, batch_id, topic_id, partition, log_epoch, from_offset, until_offset, received, stored,
    unchanged, superseded, quarantined)
VALUES (gen_random_uuid(), 0, %s, 0, 1, %s, %s, 1, 0, 1, 0, 0)
"""
_NO_LONGER_CHECKED = "ALTER TABLE market.batch DROP CONSTRAINT every_offset_is_accounted_for; "
_WEAKEN = """
ALTER TABLE market.latest_bar DROP CONSTRAINT price_finite,
ADD CONSTRAINT price_finite CHECK (high < 'Infinity') NOT VALID
"""
Verify = Callable[..., dict[str, Outcome]]


@pytest.fixture
def verified(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Verifies a database in which `stored_day` is stored, against a topic that ends where that does."""
    topic_id = stored_day(database).topic_id
    topic = Topic("bars", topic_id, beginning={0: 0}, end={0: END})
    monkeypatch.setattr(verification, "look_up", lambda *_: topic)

    def run(span: Span | None = None, archive: Archive | None = None) -> dict[str, Outcome]:
        found = verification.outcomes(
            settings_of(database), span or Span(), archive, credentials=credentials_in(tmp_path, "monitor")
        )
        return {outcome.check: outcome for outcome in found}

    return run


def of_day() -> Span:
    return Span.of(DAY, "XNYS", _LATER)


def failed(outcomes: dict[str, Outcome]) -> dict[str, tuple[str, ...]]:
    unasked = [outcome for outcome in outcomes.values() if outcome.verdict is Verdict.NOT_ASKED]
    assert unasked == []
    return {name: outcome.examples for name, outcome in outcomes.items() if outcome.verdict is Verdict.FAILED}


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
    other = Span.of(DAY.replace(day=14), "XNYS", _LATER)
    assert failed(verified(other)) == {}
    assert verified(other)["bars"].examined == 0


def test_many_problems_are_counted_and_some_named(verified: Verify, database: Database) -> None:
    database.query(_COPY_BAR.format(50) + " AND symbol = 'MSFT'")
    outcome = verified()["bars"]
    assert (outcome.broken, outcome.examined, len(outcome.examples)) == (50, 55, verdicts.EXAMPLES)


def test_an_accepted_loss_is_accounted_for_and_a_hidden_one_is_not(verified: Verify, database: Database) -> None:
    topic_id = UUID(database.query("SELECT topic_id::text FROM market.stream_position")[0][0])
    database.query("SELECT market.accept_position(%s, 0, 20)", str(topic_id))
    assert "positions" not in failed(verified())
    database.query(_ADD_BATCH, str(topic_id), 20, 21)
    database.query("UPDATE market.stream_position SET next_offset = 21")
    assert failed(verified()).keys() == {"topic"}
    database.query("DELETE FROM market.lost_range")
    assert "offsets 12 to 19 are in no batch" in failed(verified())["offsets"][0]


def test_a_loss_that_nobody_has_accepted_is_named(verified: Verify, database: Database) -> None:
    (topic_id,) = database.query("SELECT topic_id::text FROM market.stream_position")[0]
    database.query("UPDATE market.batch SET log_epoch = 1; UPDATE market.quarantine SET log_epoch = 1")
    database.query("UPDATE market.stream_position SET log_epoch = 1")
    database.query(
        "INSERT INTO market.lost_range (topic_id, partition, log_epoch, topic, from_offset, until_offset, reason)"
        " VALUES (%s, 0, 0, 'bars', 0, 7, 'offsets 0 to 6 were gone')",
        topic_id,
    )
    assert failed(verified()) == {"losses": ("offsets 0 to 6 were gone",)}
    database.query("SELECT market.accept_loss(%s, 0)", topic_id)
    assert failed(verified()) == {}


_BEFORE = """
INSERT INTO market.stream_position (topic_id, partition, topic, next_offset, log_epoch, updated_at)
VALUES ('{topic}', 0, 'bars', 40, 3, '2026-05-04Z'), ('{topic}', 1, 'bars', 9, 1, '2026-05-05Z'),
    ('{topic}', 2, 'bars', 4, 0, '2026-05-05Z');
INSERT INTO market.batch (run_id, batch_id, topic_id, partition, log_epoch, from_offset, until_offset, received, stored,
    unchanged, superseded, quarantined, recorded_at)
VALUES (gen_random_uuid(), 0, '{topic}', 0, 0, 0, 10, 10, 10, 0, 0, 0, '2026-05-01Z'),
    (gen_random_uuid(), 0, '{topic}', 0, 1, 20, 30, 8, 0, 8, 0, 0, '2026-05-02Z'),
    (gen_random_uuid(), 0, '{topic}', 0, 3, 30, 40, 10, 0, 10, 0, 0, '2026-05-03Z'),
    (gen_random_uuid(), 0, '{topic}', 1, 0, 0, 12, 12, 12, 0, 0, 0, '2026-05-01Z'),
    (gen_random_uuid(), 0, '{topic}', 2, 0, 0, 4, 4, 4, 0, 0, 0, '2026-05-01Z')
"""


def test_a_loss_that_was_accepted_before_its_range_was_noted_is_taken_from_the_ledger(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic_id = uuid4()
    topic = Topic("bars", topic_id, beginning=dict.fromkeys(range(3), 0), end={0: 40, 1: 12, 2: 4})
    monkeypatch.setattr(verification, "look_up", lambda *_: topic)
    with postgresql.empty_database() as database:
        postgresql.migrate(database.name, target="10")
        database.query(_BEFORE.format(topic=topic_id))
        postgresql.migrate(database.name)
        lost = "SELECT partition, log_epoch, from_offset, until_offset, accepted_at::date::text FROM market.lost_range"
        assert database.query(f"{lost} ORDER BY 1, 2") == [
            (0, 0, 10, 20, "2026-05-02"),
            (0, 1, 30, 30, "2026-05-03"),
            (1, 0, 12, 12, "2026-05-05"),
        ]
        assert database.query("SELECT from_offset, empty FROM market.batch WHERE empty <> 0") == [(20, 2)]
        found = verification.outcomes(
            settings_of(database), Span(), None, credentials=credentials_in(tmp_path, "monitor")
        )
        assert failed({outcome.check: outcome for outcome in found}) == {}


def test_a_log_that_lost_its_tail_is_accounted_for_from_where_it_goes_on(verified: Verify, database: Database) -> None:
    topic_id = database.query("SELECT topic_id::text FROM market.stream_position")[0][0]
    database.query("SELECT market.accept_position(%s, 0, 3)", topic_id)
    for first in (3, 7):
        database.query(_ADD_BATCH, topic_id, first, first + 1)
    database.query("UPDATE market.stream_position SET next_offset = 8")
    assert [text.split("partition ")[1] for text in failed(verified())["offsets"]] == [
        "0 offsets 4 to 6 are in no batch and no lost range"
    ]


def test_a_replay_from_quarantine_is_an_account_of_its_own(verified: Verify, database: Database) -> None:
    database.query("UPDATE market.bar_revision SET recorded_at = '2026-06-01Z' WHERE symbol = 'MSFT'")
    assert failed(verified()).keys() == {"tellings"}
    database.query(
        "INSERT INTO market.quarantine_replay (topic_id, partition, log_epoch, recorded_at, decoded, stored, unchanged,"
        " superseded, answers, still_rejected, requested_by)"
        " SELECT topic_id, 0, 0, '2026-06-01Z', 1, 1, 0, 0, 0, 0, 'root' FROM market.stream_position"
    )
    assert failed(verified()) == {}


def test_an_answer_on_its_way_is_no_problem_until_a_later_one_is_here(verified: Verify, database: Database) -> None:
    database.query("DELETE FROM market.answer WHERE request_id IN ('r2', 'r3')")
    database.query("UPDATE market.batch SET answers = 0, received = 2, until_offset = 7 WHERE from_offset = 5")
    assert "origins" not in failed(verified())


def test_a_dropped_month_is_no_problem(verified: Verify, database: Database) -> None:
    for table in ("bar", "bar_revision"):
        database.query(f"DELETE FROM market.{table}")
    assert {"bars", "told", "latest"} - failed(verified()).keys() == {"bars"}
    for table in ("bar", "bar_revision"):
        database.query(
            "INSERT INTO market.export (parent, month, part, file, row_count, content, sha256, dropped_at)"
            " VALUES (%s, '2026-05-01', 1, 'f', 1, 'c', 's', now())",
            table,
        )
    assert failed(verified()) == {}


def test_an_account_that_may_not_look_is_told_and_the_rest_is_asked(verified: Verify, database: Database) -> None:
    database.query("REVOKE SELECT ON market.bar_revision FROM market_pulse_monitor")
    outcomes = verified()
    unasked = {name for name, outcome in outcomes.items() if outcome.verdict is Verdict.NOT_ASKED}
    assert unasked == {"tellings", "told", "origins", "bars"}
    assert "permission denied" in outcomes["bars"].sentence
    assert outcomes["latest"].verdict is Verdict.OK
    assert verdicts.level(outcomes.values()) == 2


def test_the_archive_and_the_answers_are_compared(verified: Verify, tmp_path: Path) -> None:
    archive = archive_in(tmp_path / "archive", "r1", "r2", "r3", "r4")
    assert failed(verified(archive=archive)) == {}
    assert verified(archive=archive)["archive"].examined == 4
    lacking = archive_in(tmp_path / "lacking", "r1", "r4")
    assert failed(verified(archive=lacking)) == {
        "archive": ("request r2 for IBM 1min fetched 2026-05-15T13:36:00Z is stored and not archived",)
    }
    more = archive_in(tmp_path / "more", "r1", "r2", "r3", "r4", "r0")
    assert failed(verified(of_day(), archive=more)) == {
        "archive": ("request r0 for IBM 1min fetched 2026-05-15T13:30:00Z is archived, and its answer is not stored",)
    }
    archive_in(tmp_path / "archive", "r0", source="another")
    assert failed(verified(of_day(), archive=archive)) == {}, "what another source told is not this one's account"
    (tmp_path / "more" / "2026-05-15.sqlite3").write_bytes(b"damaged")
    assert "2026-05-15.sqlite3" in failed(verified(archive=more))["archive"][0]
