"""Bars that a consumer is given through a topic, and what a database then says of them."""

from collections.abc import Iterable

from kafka import KafkaProducer

from integration.services.broker import Broker
from integration.services.consumer import Consumer
from integration.services.database import Database
from integration.services.records import bar
from market_pulse.contract import encode
from support.waiting import eventually

SYMBOLS = ("IBM", "AAPL", "MSFT", "ON", "BRK.B")
RECEIVED = "SELECT coalesce(sum(received), 0)::int FROM market.batch"


def publish(broker: Broker, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> int:
    producer = KafkaProducer(**broker.options, acks="all", enable_idempotence=True)
    try:
        futures = [producer.send(topic, key=key, value=value) for key, value in records]
        for future in futures:
            future.get(timeout=30)
    finally:
        producer.close()
    return len(futures)


def bars(minutes: Iterable[int]) -> list[tuple[bytes | None, bytes | None]]:
    return [(symbol.encode(), encode(bar(symbol, minute))) for minute in minutes for symbol in SYMBOLS]


def await_received(database: Database, count: int, started: Consumer) -> None:
    def all_received() -> bool:
        assert started.process.poll() is None, f"the consumer ended\n{started.log}"
        return database.query(RECEIVED) == [(count,)]

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
    assert database.query(positions) == database.query(RECEIVED)
