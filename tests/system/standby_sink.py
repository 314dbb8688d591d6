"""Runs on a lab host: the sink's own writer stores made records, batch after batch, until it is told to stop.

``python standby_sink.py HOSTS TOPIC_ID FOLDER``: the file `stop` in the folder ends it, and then `end` holds the offset
after the last record. What stands for Kafka is that a record follows from its offset, so it can be read again.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg2
import pyarrow as pa

from market_pulse.contract import Bar, encode
from market_pulse.errors import PositionError
from market_pulse_stream.postgresql import Database
from market_pulse_stream.writer import PartitionWriter

_PER_BATCH = 20
_PACE_SECONDS = 0.2
_OPENING = datetime(2026, 5, 15, 13, 30, tzinfo=UTC)


def record(offset: int) -> bytes:
    """Return the only bar of an offset."""
    bar_time = _OPENING + timedelta(minutes=offset)
    prices = {"open": "10.10", "high": "12.00", "low": "9.5000", "close": "11.25"}
    told = {"v": 1, "source": "test", "request_id": "r1", "symbol": "IBM", "interval": "1min", "is_final": True}
    fetched_at = bar_time + timedelta(minutes=1)
    return encode(Bar(**told, **prices, bar_time=bar_time, fetched_at=fetched_at, volume=str(offset)))


def batch(first: int) -> pa.RecordBatch:
    """Return the records from an offset on, as Spark hands them to a task."""
    offsets = range(first, first + _PER_BATCH)
    milliseconds = [int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)] * _PER_BATCH
    columns = [[0] * _PER_BATCH, list(offsets), [b"IBM"] * _PER_BATCH, list(map(record, offsets)), milliseconds]
    return pa.RecordBatch.from_arrays(list(map(pa.array, columns)), ["partition", "offset", "key", "value", "time"])


def stored(database: Database, topic_id: UUID) -> int:
    """Return where a start goes on."""
    with database.connect("test") as session, session.cursor() as cursor:
        cursor.execute("SELECT next_offset FROM market.stream_position WHERE topic_id = %s", (str(topic_id),))
        return int(cursor.fetchall()[0][0])


def main() -> None:
    """Live as the consumer does: an error ends a life, and the next one begins at the stored position."""
    hosts, topic_id, folder = sys.argv[1], UUID(sys.argv[2]), Path(sys.argv[3])
    database = Database(hosts, 5432, "market_pulse", "market_pulse_writer", "/etc/market-pulse/ca.crt")
    while not (folder / "stop").exists():
        try:
            run_id, first = uuid4(), stored(database, topic_id)
            while not (folder / "stop").exists():
                read = {0: range(first, first + _PER_BATCH)}
                list(PartitionWriter(database, run_id, first, topic_id, "bars", read)(iter([batch(first)])))
                first += _PER_BATCH
                time.sleep(_PACE_SECONDS)
        except (psycopg2.Error, PositionError) as error:
            print("began anew:", " ".join(str(error).split()), flush=True)  # noqa: T201 - its journal
            time.sleep(_PACE_SECONDS)
    (folder / "end").write_text(str(first))


if __name__ == "__main__":
    main()
