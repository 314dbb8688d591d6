"""What the driver does before its first batch, and what a task does when PostgreSQL fails, without Spark."""

import contextlib
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg2
import pyarrow as pa
import pytest
from kafka import KafkaProducer

from integration.services.broker import Broker
from integration.services.database import PASSWORD, Database
from integration.services.records import APPENDED, as_arrow, bar, records, task
from market_pulse import access
from market_pulse.errors import PositionError, SettingsError, StateError, TopicError
from market_pulse.kafka_login import Principal
from market_pulse.topic import look_up
from market_pulse_stream import postgresql, start, writer
from market_pulse_stream.decode import Record
from market_pulse_stream.positions import Plan
from market_pulse_stream.sink import Account
from market_pulse_stream.start import OnlyConsumer, resume
from market_pulse_stream.truncation import LogWatch
from market_pulse_stream.writer import PartitionWriter


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mp_postgresql_writer_password"
    path.write_text(PASSWORD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return path


@pytest.fixture
def sink(database: Database, credentials: Path) -> postgresql.Database:
    assert credentials.exists()
    server = database.server
    return postgresql.Database(
        server.host, server.port, database.name, server.accounts["writer"], str(server.authority)
    )


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


def fill(broker: Broker, topic: str, count: int) -> int:
    """Send records of one key and return the partition they are in."""
    producer = KafkaProducer(**broker.options, acks="all", enable_idempotence=True)
    try:
        return {producer.send(topic, key=b"IBM", value=b"{}").get(timeout=20).partition for _ in range(count)}.pop()
    finally:
        producer.close()


def started(sink: postgresql.Database, broker: Broker, topic: str) -> Plan:
    """Begin as the driver does, with the topic as it is now."""
    login = broker.login(Principal.CONSUMER)
    with contextlib.closing(LogWatch(login, look_up(login, topic))) as watch:
        return resume(sink, watch)


def test_a_first_start_stores_the_position_of_every_partition(
    broker: Broker, topic: str, database: Database, sink: postgresql.Database
) -> None:
    partition = fill(broker, topic, 3)
    held = look_up(broker.login(Principal.CONSUMER), topic)
    assert held.end == {0: 0, 1: 0, 2: 0} | {partition: 3}
    assert started(sink, broker, topic).next_offset == {0: 0, 1: 0, 2: 0}
    stored = database.query("SELECT topic_id::text, partition, topic, next_offset FROM market.stream_position")
    assert sorted(stored) == [(str(held.id), number, topic, 0) for number in range(3)]


def test_a_topic_made_anew_is_said_and_read_from_its_beginning(
    broker: Broker, database: Database, sink: postgresql.Database
) -> None:
    name = broker.create_topic(partitions=1)
    first = look_up(broker.login(Principal.CONSUMER), name)
    started(sink, broker, name)
    database.query("UPDATE market.stream_position SET next_offset = 17")
    broker.delete_topic(name)
    broker.create_topic(partitions=1, name=name)
    planned = started(sink, broker, name)
    assert planned.next_offset == {0: 0}
    assert str(first.id) in planned.notes[0]
    assert database.query("SELECT next_offset FROM market.stream_position ORDER BY 1") == [(0,), (17,)]
    broker.delete_topic(name)


def test_what_was_gone_before_the_first_start_is_a_loss_that_waits_to_be_accepted(
    broker: Broker, topic: str, database: Database, sink: postgresql.Database
) -> None:
    partition = fill(broker, topic, 10)
    broker.delete_records(topic, partition, 4)
    known = look_up(broker.login(Principal.CONSUMER), topic)
    for _ in range(2):
        assert started(sink, broker, topic).next_offset[partition] == 4
    columns = "partition, log_epoch, from_offset, until_offset, reason, accepted_by, stored_until"
    lost = f"SELECT {columns} FROM market.lost_range"
    assert [row[:4] for row in database.query(lost)] == [(partition, 0, 0, 4)]
    ((*_, reason, accepted_by, stored_until),) = database.query(lost)
    assert (accepted_by, stored_until) == (None, None)
    way_out = f"SELECT market.accept_loss('{known.id}', {partition})"
    assert reason.startswith(f"topic {topic} partition {partition}: offsets 0 to 3 were gone")
    assert reason.endswith(way_out)
    database.query(way_out)
    assert database.query("SELECT accepted_by, accepted_at IS NULL FROM market.lost_range") == [("postgres", False)]
    with pytest.raises(psycopg2.errors.RaiseException, match=f"no loss of partition {partition}"):
        database.query(way_out)
    database.query("SELECT market.accept_position(%s, %s, 6)", str(known.id), partition)
    assert [row[:4] for row in database.query(f"{lost} ORDER BY from_offset")][1] == (partition, 0, 4, 6)


def test_positions_that_the_topic_does_not_have_are_refused(
    broker: Broker, topic: str, database: Database, sink: postgresql.Database
) -> None:
    partition = fill(broker, topic, 10)
    started(sink, broker, topic)
    broker.delete_records(topic, partition, 5)
    where = f"topic {topic} partition {partition}"
    with pytest.raises(PositionError, match=f"{where}: offsets 0 to 4 were deleted by retention"):
        started(sink, broker, topic)
    topic_id = look_up(broker.login(Principal.CONSUMER), topic).id
    database.query("SELECT market.accept_position(%s, %s, 5)", str(topic_id), partition)
    assert started(sink, broker, topic).next_offset[partition] == 5
    database.query("UPDATE market.stream_position SET next_offset = 99 WHERE partition = %s", partition)
    with pytest.raises(PositionError, match=f"{where}: offsets 10 to 98 are stored"):
        started(sink, broker, topic)


def test_a_loss_is_refused_until_it_is_accepted_however_far_the_log_has_grown(
    broker: Broker, topic: str, database: Database, sink: postgresql.Database
) -> None:
    partition = fill(broker, topic, 3)
    before = look_up(broker.login(Principal.CONSUMER), topic)
    started(sink, broker, topic)
    database.query("UPDATE market.stream_position SET next_offset = 5 WHERE partition = %s", partition)
    with pytest.raises(PositionError, match="offsets 3 to 4 are stored"):
        started(sink, broker, topic)
    fill(broker, topic, 9)
    with pytest.raises(PositionError, match="offsets 3 to 4 are stored") as refused:
        started(sink, broker, topic)
    way_out = f"SELECT market.accept_position('{before.id}', {partition}, 0)"
    assert str(refused.value).endswith(way_out)
    database.query(way_out)
    assert started(sink, broker, topic).next_offset[partition] == 0
    state = "SELECT next_offset, log_epoch, held FROM market.stream_position WHERE partition = %s"
    assert database.query(state, partition) == [(0, 1, None)]


def test_a_missing_topic_is_named(broker: Broker) -> None:
    # Of a name that it has no right on, a principal is not even told that there is none.
    with broker.admin() as admin:
        access.agree_on_acls(admin, access.rights("nowhere"), only=False)
    with pytest.raises(TopicError, match="topic nowhere does not exist"):
        look_up(broker.login(Principal.CONSUMER), "nowhere")


def test_a_second_consumer_is_refused_while_the_first_lives(
    sink: postgresql.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "LOCK_SECONDS", 0)
    first = OnlyConsumer(sink, "bars")
    OnlyConsumer(sink, "other bars").release()
    with pytest.raises(StateError, match="another consumer stores topic bars"):
        OnlyConsumer(sink, "bars")
    # The server notices a moment later that a session is gone.
    monkeypatch.setattr(start, "LOCK_SECONDS", 5)
    first.release()
    OnlyConsumer(sink, "bars").release()


def test_the_lock_is_taken_again_after_the_session_was_lost(database: Database, sink: postgresql.Database) -> None:
    only = OnlyConsumer(sink, "bars")
    terminate(database)
    only.check()
    only.check()
    assert database.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == [(1,)]
    only.release()


def terminate(database: Database) -> None:
    database.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s AND datname = %s",
        database.server.accounts["writer"],
        database.name,
    )


def test_a_task_outlives_a_lost_session(database: Database, write: Callable[[int, int], list[dict[str, int]]]) -> None:
    assert write(0, 5)[0]["stored"] == 5
    terminate(database)
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
    topic_id = UUID(database.query("SELECT topic_id::text FROM market.stream_position")[0][0])
    database.query(
        "INSERT INTO market.stream_position (topic_id, partition, topic, next_offset) VALUES (%s, 1, 'bars', 4)",
        str(topic_id),
    )
    of_zero = as_arrow(records(bar(minute=1), bar(minute=2), first=1), partition=0)
    of_one = [as_arrow(records(bar("AAPL", minute), first=minute), partition=1) for minute in (4, 6)]
    mixed = pa.Table.from_batches([of_zero, of_one[0]]).combine_chunks().to_batches()
    written = PartitionWriter(sink, uuid4(), 1, topic_id, "bars", {0: range(1, 3), 1: range(4, 7)})
    accounts = [Account(**row) for made in written(iter([*mixed, of_one[1]])) for row in made.to_pylist()]
    told = [(made.partition, made.from_offset, made.until_offset, made.stored, made.empty) for made in accounts]
    assert told == [(0, 1, 3, 2, 0), (1, 4, 5, 1, 0), (1, 5, 7, 1, 1)]
    assert list(written.store_rest(accounts)) == []
    assert database.query("SELECT count(*)::int FROM market.bar") == [(5,)]


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


def test_a_missing_credential_is_named(sink: postgresql.Database, credentials: Path) -> None:
    credentials.unlink()
    with pytest.raises(SettingsError, match="credential mp_postgresql_writer_password cannot be read"):
        sink.connect("test")


def test_sessions_are_bounded(sink: postgresql.Database) -> None:
    with contextlib.closing(sink.connect("test")) as connection, connection.cursor() as cursor:
        for bounded in ("statement", "lock", "idle_in_transaction_session"):
            cursor.execute(f"SHOW {bounded}_timeout")
            assert cursor.fetchall() != [("0",)], bounded
