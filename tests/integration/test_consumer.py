"""Real records through a real broker and Spark into a real database; few runs, because each JVM takes seconds."""

import os
import random
import re
import shutil
import signal
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaProducer

from integration.consumed import RECEIVED, SYMBOLS, assert_nothing_lost_or_doubled, await_received, bars, publish
from integration.services.broker import Broker, kafka_broker
from integration.services.consumer import Consumer, consumer
from integration.services.database import Database
from integration.services.records import OPENING, bar
from market_pulse.contract import Bar, encode
from market_pulse.kafka_login import Principal
from market_pulse.topic import look_up
from support.waiting import eventually


def exit_code(started: Consumer) -> int:
    return started.process.wait(60)


def test_a_life_of_the_consumer(broker: Broker, database: Database, topic: str, tmp_path: Path) -> None:
    sent = publish(broker, topic, [*bars(range(20)), (b"IBM", b"junk"), (b"AAPL", encode(bar("MSFT")))])
    with consumer(tmp_path, broker, database, topic) as first:
        await_received(database, sent, first)
        reasons = database.query("SELECT reason FROM market.quarantine ORDER BY reason")
        assert reasons == [("key_mismatch",), ("not_json",)]
        assert_nothing_lost_or_doubled(database, 100)
        assert list(first.sockets.glob(".*.sock")), "Java and Python of a task talk by TCP, which waits 40 ms each time"
        sent += publish(broker, topic, bars(range(20)))
        await_received(database, sent, first)
        assert_nothing_lost_or_doubled(database, 100)
        assert database.query("SELECT sum(unchanged)::int FROM market.batch") == [(100,)]
        told = {"state": "running", "rows_total": sent, "behind": 0}
        eventually(lambda: told.items() <= (first.progress or {}).items(), within=20, what=f"the report says {told}")
        reported = first.progress
        eventually(lambda: first.progress["at"] != reported["at"], within=20, what="an idle consumer reports again")
        first.process.send_signal(signal.SIGTERM)
        assert exit_code(first) != 0
        assert re.search(r"batch stored: batch=\d+ received=\d+ stored=\d+", first.log)
        assert "Traceback" not in first.log
        assert "Exception" not in first.log

    # Emptied, garbled and of another query at once: PostgreSQL's positions are the truth, and a start makes it anew.
    checkpoint = tmp_path / "checkpoint"
    for commit in (checkpoint / "commits").iterdir():
        commit.write_bytes(b"")
    for offsets in (checkpoint / "offsets").iterdir():
        offsets.write_text('v1\n{}\n{"elsewhere":{"0":1000000}}\n')
    (checkpoint / "metadata").write_text('{"id":"00000000-0000-4000-8000-000000000001"}')
    sent += publish(broker, topic, bars(range(20, 30)))
    with consumer(tmp_path, broker, database, topic) as second:
        await_received(database, sent, second)
        assert_nothing_lost_or_doubled(database, 150)


@pytest.mark.slow
def test_a_log_that_lost_its_tail_and_grew_again_is_not_read_on_as_if_nothing_had_been(
    database: Database, tmp_path: Path
) -> None:
    kafka = tmp_path / "kafka"
    kafka.mkdir()
    with kafka_broker(kafka) as broker:
        topic = broker.create_topic(partitions=1)
        sent = publish(broker, topic, bars(range(4)))
        port = int(broker.bootstrap_servers.rpartition(":")[2])
        with consumer(tmp_path, broker, database, topic) as reader:
            await_received(database, sent, reader)
            broker.process.kill()
            broker.process.wait()
            segment = broker.segment(topic, 0)
            os.truncate(segment, segment.stat().st_size - 100)
            with kafka_broker(kafka, port) as again:
                (end,) = look_up(again.login(Principal.CONSUMER), topic).end.values()
                assert end < sent
                publish(again, topic, bars(range(4, 10)))
                assert exit_code(reader) != 0
                lost = f"offsets {end} to {sent - 1} are stored, but the broker's log ended at {end}"
                assert lost in reader.log
                with consumer(tmp_path, again, database, topic) as held:
                    assert exit_code(held) != 0
                    (accept,) = set(re.findall(r"SELECT market\.accept_position\([^)]*\)", held.log))
                    assert lost in held.log
                database.query(accept)
                with consumer(tmp_path, again, database, topic) as released:
                    await_received(database, sent + end + 30, released)
                assert database.query("SELECT count(*) FROM market.bar") == [(50,)]


def test_transactions_of_another_producer_do_not_stop_the_stream(
    broker: Broker, database: Database, topic: str, tmp_path: Path
) -> None:
    publish(broker, topic, [(b"IBM", encode(bar()))])
    partition = partition_of(broker, topic)
    in_transaction(broker, topic, [bar(minute=1)], commit=True)
    with consumer(tmp_path, broker, database, topic) as first:
        await_position(broker, database, topic, first)
        in_transaction(broker, topic, [bar(minute=2, close="11.99"), bar(minute=3)], commit=False)
        await_position(broker, database, topic, first)
        publish(broker, topic, [(b"IBM", encode(bar(minute=4)))])
        in_transaction(broker, topic, [bar(minute=5)], commit=True)
        in_transaction(broker, topic, [bar(minute=6)], commit=True)
        await_position(broker, database, topic, first)
    in_transaction(broker, topic, [bar(minute=7)], commit=True)
    with consumer(tmp_path, broker, database, topic) as second:
        await_position(broker, database, topic, second)
    minutes = "SELECT extract(minute FROM bar_time - %s)::int FROM market.bar ORDER BY 1"
    assert database.query(minutes, OPENING) == [(0,), (1,), (4,), (5,), (6,), (7,)]
    told = "SELECT sum(until_offset - from_offset)::int, sum(received)::int, sum(empty)::int FROM market.batch"
    # Four commits, one abort, and the two records that it took back.
    assert database.query(told) == [(13, 6, 7)]
    assert database.query("SELECT DISTINCT partition FROM market.batch") == [(partition,)]


def partition_of(broker: Broker, topic: str) -> int:
    """Return the only partition that holds something."""
    (partition,) = (number for number, end in look_up(broker.login(Principal.CONSUMER), topic).end.items() if end)
    return partition


def in_transaction(broker: Broker, topic: str, bars: Iterable[Bar], *, commit: bool) -> None:
    producer = KafkaProducer(**broker.options, transactional_id=uuid4().hex)
    try:
        producer.init_transactions()
        producer.begin_transaction()
        for told in bars:
            producer.send(topic, key=told.symbol.encode(), value=encode(told)).get(timeout=30)
        (producer.commit_transaction if commit else producer.abort_transaction)()
    finally:
        producer.close()


def await_position(broker: Broker, database: Database, topic: str, started: Consumer) -> None:
    """Wait until all that the topic has given out is accounted for."""
    known = look_up(broker.login(Principal.CONSUMER), topic)

    def all_accounted_for() -> bool:
        assert started.process.poll() is None, f"the consumer ended\n{started.log}"
        positions = dict(database.query("SELECT partition, next_offset FROM market.stream_position"))
        return positions == known.end

    eventually(all_accounted_for, within=60, what=f"the positions are {dict(known.end)}", every=0.1)


def test_any_bytes_on_the_topic_end_as_bar_or_in_quarantine(
    broker: Broker, database: Database, topic: str, tmp_path: Path
) -> None:
    chance = random.Random(20260515)  # noqa: S311 - repeatable, not secret
    good = encode(bar())

    def mangled() -> bytes:
        place, more = chance.randrange(len(good)), chance.randbytes(chance.randrange(4))
        return good[:place] + more + good[place + chance.randrange(4) :]

    keys = (None, b"", b"IBM", b"\x00\xff")
    values = [
        None,
        b"",
        *(chance.randbytes(chance.randrange(1200)) for _ in range(300)),
        *(mangled() for _ in range(300)),
    ]
    odd = [(chance.choice(keys), value) for value in values]
    sent = publish(broker, topic, [item for pair in zip(odd, cycle(bars(range(20))), strict=False) for item in pair])
    with consumer(tmp_path, broker, database, topic) as started:
        await_received(database, sent, started)
        assert "Traceback" not in started.log
    whole = "SELECT sum(stored + unchanged + superseded)::int, sum(quarantined)::int FROM market.batch"
    kept, refused = database.query(whole)[0]
    assert kept + refused == sent
    assert kept >= len(odd), "the bars between are stored"
    assert database.query("SELECT count(*)::int FROM market.quarantine") == [(refused,)]


def test_large_records_are_stored_in_parts(broker: Broker, database: Database, topic: str, tmp_path: Path) -> None:
    junk = b"\xff" * 1_000_000
    publish(broker, topic, [(b"IBM", junk)] * 30)
    with consumer(tmp_path, broker, database, topic) as started:
        await_position(broker, database, topic, started)
    largest = "SELECT sum(received)::int, max(until_offset - from_offset)::int FROM market.batch"
    assert database.query(largest) == [(30, 9)]


def test_an_empty_topic_is_reported_as_soon_as_the_query_has_asked_for_it(
    broker: Broker, database: Database, topic: str, tmp_path: Path
) -> None:
    with consumer(tmp_path, broker, database, topic) as started:
        reported = eventually(lambda: started.progress, within=60, what="the consumer reports")
        assert reported["behind"] == 0
        eventually(
            lambda: (started.progress or {})["at"] != reported["at"], within=20, what="an idle consumer reports again"
        )


def test_kill_in_the_middle_of_a_stream(broker: Broker, database: Database, topic: str, tmp_path: Path) -> None:
    sent = publish(broker, topic, bars(range(2000)))
    with consumer(tmp_path, broker, database, topic, max_offsets_per_trigger=300) as first:
        eventually(lambda: database.query(RECEIVED)[0][0] > 1000, within=120, what="a part of it is stored", every=0.02)
        first.process.kill()
        exit_code(first)
        assert 0 < database.query(RECEIVED)[0][0] < sent
    largest = (
        "SELECT max(taken)::int FROM (SELECT sum(received) AS taken FROM market.batch GROUP BY run_id, batch_id) AS b"
    )
    assert database.query(largest)[0][0] <= 300
    shutil.rmtree(tmp_path / "checkpoint")
    with consumer(tmp_path, broker, database, topic) as second:
        await_received(database, sent, second)
    assert_nothing_lost_or_doubled(database, 2000 * len(SYMBOLS))
    assert database.query("SELECT count(*) FROM market.bar_revision") == [(2000 * len(SYMBOLS),)]


def test_a_failing_batch_ends_the_consumer_with_one_sentence(
    broker: Broker, database: Database, topic: str, tmp_path: Path
) -> None:
    database.query("REVOKE INSERT ON market.bar FROM market_pulse_writer")
    publish(broker, topic, [*bars(range(5)), (b"IBM", b"junk")])
    with consumer(tmp_path, broker, database, topic) as started:
        assert exit_code(started) == 1
        last = [line for line in started.log.splitlines() if line.strip()][-1]
        assert "InsufficientPrivilege: permission denied for table bar" in last
        assert len(started.log.splitlines()) < 30, started.log
    assert database.query("SELECT count(*) FROM market.quarantine") == [(0,)]
