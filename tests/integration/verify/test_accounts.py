"""What is accounted for although it is not in its place: a loss, a replay, an answer on its way, a month that left."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from integration.services.database import Database, Server
from integration.verifying import Verify, failed, verifying
from market_pulse.topic import Topic

_ADD_BATCH = """
INSERT INTO market.batch (run_id, batch_id, topic_id, partition, log_epoch, from_offset, until_offset, received, stored,
    unchanged, superseded, quarantined)
VALUES (gen_random_uuid(), 0, %s, 0, 1, %s, %s, 1, 0, 1, 0, 0)
"""


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
        assert failed(verifying(database, topic, tmp_path, monkeypatch)()) == {}


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
