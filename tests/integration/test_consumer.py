"""Real records through a real broker and Spark into a real database; few runs, because each JVM takes seconds."""

import re
import signal
from collections.abc import Iterable
from pathlib import Path

from kafka import KafkaProducer

from integration.services.broker import Broker
from integration.services.consumer import Consumer, consumer
from integration.services.database import Database
from integration.services.records import bar
from market_pulse.contract import encode
from support.waiting import eventually

_SYMBOLS = ("IBM", "AAPL", "MSFT", "ON", "BRK.B")
_RECEIVED = "SELECT coalesce(sum(received), 0)::int FROM market.batch"


def publish(broker: Broker, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> int:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all", enable_idempotence=True)
    try:
        futures = [producer.send(topic, key=key, value=value) for key, value in records]
        for future in futures:
            future.get(timeout=30)
    finally:
        producer.close()
    return len(futures)


def bars(minutes: Iterable[int]) -> list[tuple[bytes | None, bytes | None]]:
    return [(symbol.encode(), encode(bar(symbol, minute))) for minute in minutes for symbol in _SYMBOLS]


def await_received(database: Database, count: int, started: Consumer) -> None:
    def all_received() -> bool:
        assert started.process.poll() is None, f"the consumer ended\n{started.log}"
        return database.query(_RECEIVED) == [(count,)]

    eventually(all_received, within=60, what=f"{count} records are accounted for", every=0.1)


def assert_nothing_lost_or_doubled(database: Database, expected_bars: int) -> None:
    assert database.query("SELECT count(*) FROM market.bar") == [(expected_bars,)]
    holes = (
        "SELECT count(*) FROM (SELECT from_offset, lag(until_offset, 1, 0::bigint)"
        " OVER (PARTITION BY topic_id, partition ORDER BY from_offset) AS expected FROM market.batch) AS ledger"
        " WHERE from_offset <> expected"
    )
    assert database.query(holes) == [(0,)]
    positions = "SELECT sum(next_offset)::int FROM market.stream_position"
    assert database.query(positions) == database.query(_RECEIVED)


def exit_code(started: Consumer) -> int:
    return started.process.wait(60)


def test_a_life_of_the_consumer(broker: Broker, database: Database, topic: str, tmp_path: Path) -> None:
    sent = publish(broker, topic, [*bars(range(20)), (b"IBM", b"junk"), (b"AAPL", encode(bar("MSFT")))])
    with consumer(tmp_path, broker, database, topic) as first:
        await_received(database, sent, first)
        reasons = database.query("SELECT reason FROM market.quarantine ORDER BY reason")
        assert reasons == [("key_mismatch",), ("not_json",)]
        assert_nothing_lost_or_doubled(database, 100)
        sent += publish(broker, topic, bars(range(20)))
        await_received(database, sent, first)
        assert_nothing_lost_or_doubled(database, 100)
        assert database.query("SELECT sum(unchanged)::int FROM market.batch") == [(100,)]
        eventually(lambda: (first.progress or {}).get("behind") == 0, within=20, what="the report says nothing waits")
        reported = first.progress
        assert (reported["state"], reported["rows_total"]) == ("running", sent)
        eventually(lambda: first.progress["at"] != reported["at"], within=20, what="an idle consumer reports again")
        first.process.send_signal(signal.SIGTERM)
        assert exit_code(first) != 0
        assert re.search(r"batch stored: batch=\d+ received=\d+ stored=\d+", first.log)
        assert "Traceback" not in first.log
        assert "Exception" not in first.log

    sent += publish(broker, topic, bars(range(20, 30)))
    with consumer(tmp_path, broker, database, topic) as second:
        await_received(database, sent, second)
        assert_nothing_lost_or_doubled(database, 150)


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
        eventually(
            lambda: database.query(_RECEIVED)[0][0] > 1000, within=60, what="a part of the stream is stored", every=0.02
        )
        first.process.kill()
        exit_code(first)
        assert 0 < database.query(_RECEIVED)[0][0] < sent
    with consumer(tmp_path, broker, database, topic) as second:
        await_received(database, sent, second)
    assert_nothing_lost_or_doubled(database, 2000 * len(_SYMBOLS))
    assert database.query("SELECT count(*) FROM market.bar_revision") == [(2000 * len(_SYMBOLS),)]


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
