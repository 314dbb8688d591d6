"""The real driver, killed again and again in the middle of its batches."""

import contextlib
import random
import subprocess
from pathlib import Path

import pytest
from kafka import KafkaProducer

from integration.services.broker import Broker
from integration.services.consumer import Consumer, consumer
from integration.services.database import Database, Server
from integration.services.records import bar
from market_pulse.contract import Bar, encode
from market_pulse_stream import scratch
from support.waiting import eventually

_KILLS = 50
_SEED = 20261123
_SYMBOLS = ("IBM", "AAPL", "MSFT", "ON", "BRK.B")
_MINUTES = 6000
_PER_BATCH = 300
# A batch takes about this long here, so that a kill hits every part of one.
_LONGEST_DELAY = 0.6
_TELLINGS = """
SELECT symbol, count(*), min(bar_time), max(bar_time), sum(volume), count(DISTINCT bar_time)
FROM market.{table} GROUP BY symbol ORDER BY symbol
"""
_HOLES = """
SELECT count(*) FROM (
    SELECT from_offset, lag(until_offset, 1, 0::bigint) OVER (PARTITION BY partition ORDER BY from_offset) AS expected
    FROM market.batch
) AS ledger WHERE from_offset <> expected
"""


def _bars() -> list[Bar]:
    return [bar(symbol, minute, volume=str(minute)) for minute in range(_MINUTES) for symbol in _SYMBOLS]


def _publish(broker: Broker, topic: str, bars: list[Bar]) -> None:
    producer = KafkaProducer(**broker.options, acks="all", enable_idempotence=True)
    futures = [producer.send(topic, key=told.symbol.encode(), value=encode(told)) for told in bars]
    for future in futures:
        future.get(timeout=60)
    producer.close()


def _batches(database: Database) -> int:
    return int(database.query("SELECT count(*) FROM market.batch")[0][0])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills_lose_and_double_nothing(
    broker: Broker, postgresql: Server, database: Database, topic: str, tmp_path: Path
) -> None:
    told = _bars()
    _publish(broker, topic, told)
    delays = random.Random(_SEED)  # noqa: S311 - when to kill is no secret
    for _ in range(_KILLS):
        before = _batches(database)
        with consumer(tmp_path, broker, database, topic, max_offsets_per_trigger=_PER_BATCH) as started:
            _await_batches(database, before + 1, started)
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.process.wait(delays.uniform(0, _LONGEST_DELAY))
            started.process.kill()
            started.process.wait(30)
    assert _batches(database) >= _KILLS
    with consumer(tmp_path, broker, database, topic) as last:
        _await_everything(database, len(told), last)
    per_symbol = {symbol: [each for each in told if each.symbol == symbol] for symbol in _SYMBOLS}
    expected = [
        (
            symbol,
            len(bars),
            bars[0].bar_time,
            bars[-1].bar_time,
            sum(int(each.volume) for each in bars),
            len(bars),
        )
        for symbol, bars in sorted(per_symbol.items())
    ]
    assert database.query(_TELLINGS.format(table="bar")) == expected
    assert database.query(_TELLINGS.format(table="bar_revision")) == expected
    assert database.query(_HOLES) == [(0,)]
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    with postgresql.migrated_database() as reference:
        with consumer(undisturbed, broker, reference, topic) as whole:
            _await_everything(reference, len(told), whole)
        assert _row_hash(database) == _row_hash(reference)


def _row_hash(database: Database) -> str:
    with contextlib.closing(database.connect("keeper")) as connection:
        return scratch.row_hash(connection)


def _await_batches(database: Database, count: int, started: Consumer) -> None:
    def stored() -> bool:
        assert started.process.poll() is None, f"the consumer ended\n{started.log}"
        return _batches(database) >= count

    eventually(stored, within=90, what=f"{count} batches are stored", every=0.02)


def _await_everything(database: Database, count: int, started: Consumer) -> None:
    def all_received() -> bool:
        assert started.process.poll() is None, f"the consumer ended\n{started.log}"
        return database.query("SELECT coalesce(sum(received), 0)::int FROM market.batch") == [(count,)]

    eventually(all_received, within=120, what=f"{count} records are accounted for")
