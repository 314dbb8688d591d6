"""What the driver does before its first batch, without Spark."""

import contextlib
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from kafka import KafkaProducer

from integration.services.broker import Broker
from integration.services.database import Database
from market_pulse import access
from market_pulse.errors import PositionError, SettingsError, StateError, TopicError
from market_pulse.kafka_login import Principal
from market_pulse.topic import look_up
from market_pulse_stream import postgresql, start
from market_pulse_stream.positions import Plan
from market_pulse_stream.start import OnlyConsumer, resume
from market_pulse_stream.truncation import LogWatch


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
    database.end_sessions("writer")
    only.check(uuid4(), {})
    only.check(uuid4(), {})
    assert database.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == [(1,)]
    only.release()


def test_a_database_that_has_gone_back_is_noticed_without_a_new_record(
    broker: Broker, topic: str, database: Database, sink: postgresql.Database
) -> None:
    started(sink, broker, topic)
    topic_id = look_up(broker.login(Principal.CONSUMER), topic).id
    only = OnlyConsumer(sink, topic)
    database.query("UPDATE market.stream_position SET next_offset = 17 WHERE partition = 1")
    database.end_sessions("writer")
    only.check(topic_id, {0: 0, 1: 17})
    database.query("UPDATE market.stream_position SET next_offset = 9 WHERE partition = 1")
    database.end_sessions("writer")
    with pytest.raises(PositionError, match="1 was stored before offset 17, and in the database it is before 9"):
        only.check(topic_id, {0: 0, 1: 17})
    assert database.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == [(0,)]


def test_a_missing_credential_is_named(sink: postgresql.Database, credentials: Path) -> None:
    credentials.unlink()
    with pytest.raises(SettingsError, match="credential mp_postgresql_writer_password cannot be read"):
        sink.connect("test")


def test_sessions_are_bounded(sink: postgresql.Database) -> None:
    with contextlib.closing(sink.connect("test")) as connection, connection.cursor() as cursor:
        for bounded in ("statement", "lock", "idle_in_transaction_session"):
            cursor.execute(f"SHOW {bounded}_timeout")
            assert cursor.fetchall() != [("0",)], bounded
