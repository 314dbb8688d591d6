"""Bars and Kafka records for the tests of the sink."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from integration.services.database import Database
from market_pulse.contract import Bar, encode
from market_pulse_stream.decode import Record
from market_pulse_stream.sink import Task

OPENING = datetime(2026, 5, 15, 13, 30, tzinfo=UTC)


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


def records(*bars: Bar, first: int = 0) -> list[Record]:
    """Return the bars as consecutive records of one partition."""
    return [Record(first + number, item.symbol.encode(), encode(item)) for number, item in enumerate(bars)]


def task(database: Database, batch_id: int = 0, topic_id: UUID | None = None) -> Task:
    """Return a task on partition 0 of a topic whose position is 0, or of one that is known already."""
    if topic_id is None:
        topic_id = uuid4()
        database.query("INSERT INTO market.stream_position VALUES (%s, 0, 'bars', 0)", str(topic_id))
    return Task(uuid4(), batch_id, topic_id, "bars", 0)
