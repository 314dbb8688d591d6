"""Bars and Kafka records for the tests of the sink."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pyarrow as pa

from integration.services.database import Database
from market_pulse.contract import AnswerRecord, Bar, encode
from market_pulse_stream.arrow import columns
from market_pulse_stream.decode import Record
from market_pulse_stream.sink import Task

OPENING = datetime(2026, 5, 15, 13, 30, tzinfo=UTC)
# Later than any of these bars was told.
APPENDED = datetime(2026, 11, 1, tzinfo=UTC)


def bar(symbol: str = "IBM", minute: int = 0, **changed: object) -> Bar:
    """Return a good bar of the given minute of a session."""
    bar_time = OPENING + timedelta(minutes=minute)
    values: dict[str, object] = {
        "v": 1,
        "source": "test",
        "request_id": "r1",
        "symbol": symbol,
        "interval": "1min",
        "bar_time": bar_time,
        "open": "10.10",
        "high": "12.00",
        "low": "9.5000",
        "close": "11.25",
        "volume": "1200",
        "is_final": True,
        "fetched_at": bar_time + timedelta(minutes=1),
    }
    return Bar(**(values | changed))


def records(*bars: Bar | AnswerRecord, first: int = 0) -> list[Record]:
    """Return bars or answers as consecutive records of one partition."""
    return [Record(first + number, item.symbol.encode(), encode(item), APPENDED) for number, item in enumerate(bars)]


def task(database: Database, batch_id: int = 0, topic_id: UUID | None = None) -> Task:
    """Return a task on partition 0 of a topic whose position is 0, or of one that is known already."""
    if topic_id is None:
        topic_id = uuid4()
        database.query(
            "INSERT INTO market.stream_position (topic_id, partition, topic, next_offset) VALUES (%s, 0, 'bars', 0)",
            str(topic_id),
        )
    return Task(uuid4(), batch_id, topic_id, "bars", 0)


def answer(symbol: str = "IBM", minute: int = 0, **changed: object) -> AnswerRecord:
    """Return the record of the answer that told a good bar of the given minute."""
    asked_at = OPENING + timedelta(minutes=minute + 1)
    values: dict[str, object] = {
        "v": 1,
        "source": "test",
        "request_id": "r1",
        "cause": "poll",
        "function": "TIME_SERIES_INTRADAY",
        "symbol": symbol,
        "interval": "1min",
        "month": None,
        "asked_at": asked_at,
        "fetched_at": asked_at,
        "refusal": None,
        "sha256": "0" * 64,
        "rows": 1,
        "told": 1,
        "unusable": 0,
        "covers_from": OPENING,
        "covers_until": asked_at,
    }
    return AnswerRecord(**(values | changed))


def mixed_batches(count: int) -> list[list[Record]]:
    """Return batches of consecutive records, always the same: bars, revisions, repetitions, answers and junk."""
    chance = random.Random(2026)  # noqa: S311 - repeatable, not secret
    batches: list[list[Record]] = []
    offset = 0
    for number in range(count):
        told: list[Bar | AnswerRecord] = [
            bar(
                chance.choice(["IBM", "MSFT", "BRK.B"]),
                chance.randrange(200),
                open=f"10.{chance.randrange(10**8):08d}",
                fetched_at=OPENING + timedelta(minutes=200 + chance.randrange(500)),
                request_id=f"r{number}-{item}",
            )
            for item in range(20)
        ]
        told += [*told[:2], answer(minute=number)]
        batch = records(*told, first=offset)
        batch.append(Record(offset + len(batch), b"IBM", b"junk\x00%d" % number, APPENDED))
        offset += len(batch)
        batches.append(batch)
    return batches


def as_arrow(told: Sequence[Record], partition: int = 0) -> pa.RecordBatch:
    """Return records as Spark hands them to a task."""
    batch = columns(told)
    of_partition = pa.array([partition] * batch.num_rows, pa.int32())
    return pa.RecordBatch.from_arrays([of_partition, *batch.columns], ["partition", *batch.schema.names])


def answer_of(*told: Bar, **changed: object) -> AnswerRecord:
    """Return the record of the answer that told these bars, with what they do not say of it."""
    first = told[0] if told else bar()
    values: dict[str, object] = {
        "v": 1,
        "source": first.source,
        "request_id": first.request_id,
        "cause": "poll",
        "function": "TIME_SERIES_INTRADAY",
        "symbol": first.symbol,
        "interval": first.interval,
        "month": None,
        "asked_at": first.fetched_at,
        "fetched_at": first.fetched_at,
        "refusal": None,
        "sha256": "0" * 64,
        "rows": 100,
        "told": len(told),
        "unusable": 0,
        "covers_from": None,
        "covers_until": None,
    }
    return AnswerRecord(**(values | changed))
