"""What a reader saw at an instant, against what readers did see."""

import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg2.extensions
import pytest

from integration.services.database import Database, waiting_for_locks
from integration.services.records import APPENDED, OPENING, bar, records, task
from market_pulse import contract
from market_pulse.contract import Reason, Rejection
from market_pulse_stream import quarantine_replay
from market_pulse_stream.decode import BAR_COLUMNS, Record
from market_pulse_stream.quarantine import Choice
from market_pulse_stream.sink import store
from support.waiting import eventually

_COLUMNS = ", ".join(f"{name}::text" for name in BAR_COLUMNS)
_NOW = f"SELECT clock_timestamp(), {_COLUMNS} FROM market.bar ORDER BY symbol, interval, bar_time"
_THEN = f"SELECT {_COLUMNS} FROM market.bars_as_of(%s) ORDER BY symbol, interval, bar_time"

Rows = list[tuple[Any, ...]]


@pytest.fixture
def writer(database: Database) -> Iterator[psycopg2.extensions.connection]:
    with contextlib.closing(database.connect("writer")) as connection:
        yield connection


def seen(database: Database) -> tuple[datetime, Rows]:
    """Return an instant and what a reader sees at it."""
    ((instant,),) = database.query("SELECT clock_timestamp()")
    return instant, [row[1:] for row in database.query(_NOW)]


def test_every_earlier_sight_of_the_table_can_be_had_again(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    first, sights, offset = task(database), [seen(database)], 0
    for number in range(40):
        told = [
            bar(
                chance.choice(["IBM", "MSFT"]),
                chance.randrange(6),
                close=str(chance.choice(["10.0", "10.00", "11.5"])),
                fetched_at=OPENING + timedelta(minutes=10 + chance.randrange(60)),
                request_id=f"r{number}",
            )
            for _ in range(chance.randint(1, 3))
        ]
        unique = list({(item.symbol, item.bar_time, item.fetched_at): item for item in told}.values())
        store(writer, replace(first, batch_id=number), records(*unique, first=offset))
        offset += len(unique)
        sights.append(seen(database))
    for instant, rows in sights:
        assert database.query(_THEN, instant) == rows
    assert len({len(rows) for _, rows in sights}) > 3


def test_what_a_slow_transaction_stores_is_seen_from_its_commit_on(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    slow, quick = task(database), task(database)
    database.query("UPDATE market.stream_position SET partition = 1 WHERE topic_id = %s", str(quick.topic_id))
    quick = replace(quick, partition=1)
    store(writer, slow, records(bar()))
    with contextlib.closing(database.connect()) as reader, contextlib.closing(database.connect("writer")) as other:
        with reader.cursor() as cursor:
            cursor.execute("SELECT FROM market.bar WHERE symbol = 'IBM' FOR UPDATE")
        late = bar(close="11", fetched_at=OPENING + timedelta(hours=1))
        thread = threading.Thread(target=store, args=(writer, replace(slow, batch_id=1), records(late, first=1)))
        thread.start()
        eventually(lambda: waiting_for_locks(database) == 1, within=20, what="it waits", every=0.02)
        store(other, quick, records(bar("MSFT")))
        during = seen(database)
        reader.rollback()
        thread.join(20)
    after = seen(database)
    assert [row[6] for row in during[1]] == ["11.25", "11.25"]
    assert [row[6] for row in after[1]] == ["11", "11.25"]
    assert database.query(_THEN, during[0]) == during[1]
    assert database.query(_THEN, after[0]) == after[1]


def test_what_came_out_of_quarantine_is_seen_from_then_on(
    database: Database, writer: psycopg2.extensions.connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as release:
        release.setattr(contract, "decode", lambda *_: Rejection(Reason.BAD_PRICE, "refused by mistake"))
        store(writer, task(database), records(bar(), bar(minute=1)))
    before = seen(database)
    done = list(quarantine_replay.replay(writer, Choice("bars"), "someone"))
    assert [part.stored for part in done] == [2]
    after = seen(database)
    assert database.query(_THEN, before[0]) == before[1] == []
    assert database.query(_THEN, after[0]) == after[1]
    assert len(after[1]) == 2
    # Between the transaction's start and its end nobody saw them.
    ((begun,),) = database.query("SELECT recorded_at FROM market.quarantine_replay")
    assert database.query(_THEN, begun) == []


def test_one_symbol_is_looked_up_by_its_key(database: Database, writer: psycopg2.extensions.connection) -> None:
    symbols = [f"S{number}" for number in range(200)]
    told = [bar(symbol, minute) for symbol in symbols for minute in range(50)]
    store(writer, task(database), records(*told))
    database.query("SELECT market.ensure_partitions('2026-05-01Z', '2026-05-01Z')")
    database.query("ANALYZE")
    one = f"EXPLAIN (FORMAT JSON) SELECT {_COLUMNS} FROM market.bars_as_of(now()) WHERE symbol = 'S7'"
    scans = [node for node in nodes(database, one) if node.get("Relation Name", "").startswith("bar_revision_2026")]
    assert [("symbol = 'S7'" in node["Index Cond"]) for node in scans if "Index Cond" in node] == [True]
    assert "Seq Scan" not in {node["Node Type"] for node in scans}
    latest = nodes(database, "EXPLAIN (FORMAT JSON) SELECT * FROM market.bar")
    assert {node["Relation Name"] for node in latest if "Relation Name" in node} == {"bar_default", "bar_2026_05"}


def nodes(database: Database, explain: str) -> list[dict[str, Any]]:
    waiting = [database.query(explain)[0][0][0]["Plan"]]
    found = []
    while waiting:
        found.append(waiting.pop())
        waiting += found[-1].get("Plans", [])
    return found


def test_a_clock_that_is_set_back_refuses_no_batch(database: Database) -> None:
    database.query(
        "INSERT INTO market.batch (run_id, batch_id, topic_id, partition, from_offset, until_offset, received, stored,"
        " unchanged, superseded, quarantined, recorded_at, stored_at)"
        " VALUES (gen_random_uuid(), 0, gen_random_uuid(), 0, 0, 1, 1, 1, 0, 0, 0, now(), now() - interval '1 hour')"
    )


def test_the_monitor_may_look_back_and_readers_may_not(database: Database) -> None:
    with contextlib.closing(database.connect("monitor")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM market.bars_as_of(now())")
        assert cursor.fetchall() == [(0,)]
    with (
        contextlib.closing(database.connect("bi_reader")) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute("SELECT count(*) FROM market.bars_as_of(now())")


def test_a_range_that_is_given_up_is_noted(database: Database, writer: psycopg2.extensions.connection) -> None:
    first = task(database)
    store(writer, first, [*records(bar()), Record(1, b"IBM", b"junk", APPENDED)])
    stored_until = database.query("SELECT updated_at FROM market.stream_position")
    held = "topic bars partition 0: offsets 2 to 6 were deleted by retention"
    database.query("UPDATE market.stream_position SET held = %s", held)
    database.query("SELECT market.accept_position(%s, 0, 7)", str(first.topic_id))
    noted = "SELECT topic, log_epoch, from_offset, until_offset, reason, accepted_by FROM market.lost_range ORDER BY 2"
    assert database.query(noted) == [("bars", 0, 2, 7, held, "postgres")]
    assert database.query("SELECT stored_until FROM market.lost_range") == stored_until
    database.query("SELECT market.accept_position(%s, 0, 3)", str(first.topic_id))
    assert database.query(noted)[1][:4] == ("bars", 1, 7, 7)
    state = "SELECT next_offset, log_epoch, held FROM market.stream_position"
    assert database.query(state) == [(3, 2, None)]
    store(writer, replace(first, batch_id=1), records(bar(minute=3), first=3))
    with contextlib.closing(database.connect("monitor")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM market.lost_range")
        assert cursor.fetchall() == [(2,)]
