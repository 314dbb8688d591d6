"""What a task does of a batch, also when PostgreSQL fails, without Spark."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg2
import pyarrow as pa
import pytest

from integration.services.database import Database
from integration.services.records import APPENDED, OPENING, as_arrow, bar, records, task
from market_pulse_stream import postgresql, writer
from market_pulse_stream.decode import Record
from market_pulse_stream.sink import Account
from market_pulse_stream.writer import PartitionWriter


@pytest.fixture
def write(database: Database, sink: postgresql.Database) -> Iterator[Callable[[int, int], list[dict[str, int]]]]:
    """Write the bars of a range of minutes, whose offsets are the minutes, as an executor does."""
    topic_id = task(database).topic_id

    def written(first: int, last: int) -> list[dict[str, int]]:
        told = records(*(bar(minute=minute) for minute in range(first, last)), first=first)
        batch = as_arrow(told)
        accounts = PartitionWriter(sink, uuid4(), first, topic_id, "bars", {0: range(first, last)})(iter([batch]))
        return [row for account in accounts for row in account.to_pylist()]

    yield written
    for session in writer._sessions.values():  # noqa: SLF001 - what an executor's exit closes
        session.close()
    writer._sessions.clear()  # noqa: SLF001


def test_what_it_has_read_of_modules_is_no_garbage_to_look_for_after_each_task(
    write: Callable[[int, int], list[dict[str, int]]],
) -> None:
    gc.unfreeze()
    write(0, 1)
    frozen = gc.get_freeze_count()
    assert frozen > len(gc.get_objects())
    write(1, 2)
    assert gc.get_freeze_count() == frozen


def test_a_task_outlives_a_lost_session(database: Database, write: Callable[[int, int], list[dict[str, int]]]) -> None:
    assert write(0, 5)[0]["stored"] == 5
    database.end_sessions("writer")
    assert write(5, 9)[0]["stored"] == 4
    assert database.query("SELECT count(*) FROM market.bar") == [(9,)]


def test_a_task_waits_for_a_server_that_takes_no_sessions_yet(
    database: Database, write: Callable[[int, int], list[dict[str, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, failures = psycopg2.connect, iter([psycopg2.OperationalError("the database system is starting up")] * 2)

    def reluctant(*arguments: object, **options: object) -> object:
        for failure in failures:
            raise failure
        return connect(*arguments, **options)

    monkeypatch.setattr(psycopg2, "connect", reluctant)
    assert write(0, 2)[0]["stored"] == 2
    assert database.query("SELECT count(*) FROM market.batch") == [(1,)]


def test_a_missing_privilege_is_not_retried(
    database: Database, write: Callable[[int, int], list[dict[str, int]]]
) -> None:
    database.query("REVOKE INSERT ON market.bar FROM market_pulse_writer")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        write(0, 1)


def with_second_partition(database: Database, next_offset: int) -> UUID:
    """Give the topic that is stored a second partition, and return the topic's id."""
    ((topic_id,),) = database.query(
        "INSERT INTO market.stream_position (topic_id, partition, topic, next_offset)"
        " SELECT topic_id, 1, topic, %s FROM market.stream_position RETURNING topic_id::text",
        next_offset,
    )
    return UUID(topic_id)


def test_an_empty_task_writes_nothing(sink: postgresql.Database) -> None:
    assert list(PartitionWriter(sink, uuid4(), 0, uuid4(), "bars", {})(iter([]))) == []


def test_a_large_task_is_stored_part_by_part_and_the_rest_of_what_was_read_after_it(
    database: Database, sink: postgresql.Database, write: Callable[[int, int], list[dict[str, int]]]
) -> None:
    assert write(0, 1)[0]["until_offset"] == 1
    topic_id = UUID(database.query("SELECT topic_id::text FROM market.stream_position")[0][0])
    parts = [as_arrow(records(bar(minute=minute), first=minute)) for minute in (2, 3, 6)]
    written = PartitionWriter(sink, uuid4(), 1, topic_id, "bars", {0: range(1, 9)})
    accounts = [Account(**row) for made in written(iter([*parts, parts[0].slice(0, 0)])) for row in made.to_pylist()]
    assert [(made.from_offset, made.until_offset, made.empty) for made in accounts] == [(1, 3, 1), (3, 4, 0), (4, 7, 2)]
    assert list(written.store_rest(accounts)) == [Account(0, 7, 9, empty=2)]
    assert list(written.store_rest([*accounts, Account(0, 7, 9, empty=2)])) == []
    assert database.query("SELECT next_offset FROM market.stream_position") == [(9,)]


def test_a_task_of_several_partitions_has_an_account_for_each_part_of_each(
    database: Database, sink: postgresql.Database, write: Callable[[int, int], list[dict[str, int]]]
) -> None:
    assert write(0, 1)[0]["until_offset"] == 1
    topic_id = with_second_partition(database, next_offset=4)
    of_zero = as_arrow(records(bar(minute=1), bar(minute=2), first=1), partition=0)
    of_one = [as_arrow(records(bar("AAPL", minute), first=minute), partition=1) for minute in (4, 6)]
    mixed = pa.Table.from_batches([of_zero, of_one[0]]).combine_chunks().to_batches()
    written = PartitionWriter(sink, uuid4(), 1, topic_id, "bars", {0: range(1, 3), 1: range(4, 7)})
    accounts = [Account(**row) for made in written(iter([*mixed, of_one[1]])) for row in made.to_pylist()]
    told = [(made.partition, made.from_offset, made.until_offset, made.stored, made.empty) for made in accounts]
    assert told == [(0, 1, 3, 2, 0), (1, 4, 5, 1, 0), (1, 5, 7, 1, 1)]
    assert list(written.store_rest(accounts)) == []
    assert database.query("SELECT count(*)::int FROM market.bar") == [(5,)]


def test_partitions_that_come_together_are_stored_together(
    database: Database, sink: postgresql.Database, write: Callable[[int, int], list[dict[str, int]]]
) -> None:
    assert write(0, 1)[0]["until_offset"] == 1
    topic_id = with_second_partition(database, next_offset=0)
    # A symbol has changed its partition, a bar is told twice, and one record is no bar.
    newer = bar(minute=1, close="11.50", fetched_at=OPENING + timedelta(minutes=9))
    of_zero = as_arrow([*records(bar(minute=1), bar(minute=1), newer, first=1), Record(4, b"IBM", b"junk")])
    of_one = as_arrow(records(bar(minute=1), bar("AAPL"), first=0), partition=1)
    (together,) = pa.Table.from_batches([of_zero, of_one]).combine_chunks().to_batches()
    written = PartitionWriter(sink, uuid4(), 1, topic_id, "bars", {0: range(1, 5), 1: range(2)})
    (made,) = written(iter([together]))
    zero, one = (Account(**row) for row in made.to_pylist())
    assert (zero.received, zero.stored, zero.unchanged, zero.superseded, zero.quarantined) == (4, 1, 0, 2, 1)
    assert (one.received, one.stored, one.unchanged, one.superseded) == (2, 1, 0, 1)
    committed = "SELECT partition, xmin::text FROM market.{} WHERE {} ORDER BY partition"
    rows = database.query(committed.format("batch", "batch_id = 1"))
    assert [partition for partition, _ in rows] == [0, 1]
    assert database.query(committed.format("stream_position", "true")) == rows
    assert len({transaction for _, transaction in rows}) == 1
    told = "SELECT partition, record_offset::int, close::text FROM market.bar_revision WHERE symbol = 'IBM'"
    assert sorted(database.query(f"{told} AND bar_time > %s", OPENING)) == [(0, 3, "11.50"), (1, 0, "11.25")]


def test_memory_is_that_of_a_part_however_large_the_task(database: Database, sink: postgresql.Database) -> None:
    topic_id, size, parts = task(database).topic_id, 2**20, 24
    junk = (
        as_arrow([Record(number, b"IBM", b"%d" % number * (size // 2), APPENDED)]) for number in range(10, 10 + parts)
    )
    written = PartitionWriter(sink, uuid4(), 0, topic_id, "bars", {0: range(10 + parts)})
    tracemalloc.start()
    try:
        assert len(list(written(junk))) == parts
        assert tracemalloc.get_traced_memory()[1] < 8 * size
    finally:
        tracemalloc.stop()
    assert database.query("SELECT count(*)::int, min(octet_length(value)) FROM market.quarantine") == [(parts, size)]
