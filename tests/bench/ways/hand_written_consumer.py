"""What `bench.ways.hand_written` runs: at least once, one process, one transaction for each batch."""

import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psycopg2
from confluent_kafka import Consumer, Message

from market_pulse.contract import Bar
from market_pulse_stream.decode import BAR_COLUMNS

_WAIT_SECONDS = 0.1
_COLUMNS = ", ".join(BAR_COLUMNS)
_VALUES = ("open", "high", "low", "close", "volume", "is_final", "source", "request_id", "fetched_at")
_STAGE = "CREATE TEMPORARY TABLE staged ON COMMIT DELETE ROWS AS SELECT {columns} FROM {table} WITH NO DATA"
_UPSERT = """
INSERT INTO {table} AS bar ({columns})
SELECT DISTINCT ON (symbol, interval, bar_time) {columns} FROM staged
ORDER BY symbol, interval, bar_time, fetched_at DESC
ON CONFLICT (symbol, interval, bar_time) DO UPDATE SET {changes}
WHERE bar.fetched_at < excluded.fetched_at
"""
_decoder = msgspec.json.Decoder(Bar)


def main(path: str) -> None:
    """Carry bars until the process is ended."""
    wish = json.loads(Path(path).read_text())
    names = {"table": wish["table"], "columns": _COLUMNS, "changes": ", ".join(f"{n} = excluded.{n}" for n in _VALUES)}
    session = psycopg2.connect(**wish["database"])
    with session, session.cursor() as cursor:
        cursor.execute(_STAGE.format(**names))
    consumer = Consumer(wish["client"])
    consumer.subscribe([wish["topic"]], on_assign=lambda *_: print("assigned", flush=True))
    while True:
        if not (messages := consumer.consume(wish["batch"], _WAIT_SECONDS)):
            continue
        with session, session.cursor() as cursor:
            cursor.copy_expert(f"COPY staged ({_COLUMNS}) FROM STDIN", _lines(messages), 1 << 20)
            cursor.execute(_UPSERT.format(**names))
        consumer.commit(asynchronous=False)


def _lines(messages: Iterable[Message]) -> io.BytesIO:
    lines = []
    for message in messages:
        try:
            bar = _decoder.decode(message.value())
        except msgspec.DecodeError as error:
            print(f"left out: {error}", flush=True)
            continue
        lines.append(
            f"{bar.symbol}\t{bar.interval}\t{bar.bar_time.isoformat()}\t{bar.open}\t{bar.high}\t{bar.low}\t{bar.close}\t"
            f"{bar.volume}\t{bar.is_final}\t{bar.source}\t{bar.request_id}\t{bar.fetched_at.isoformat()}\n"
        )
    return io.BytesIO("".join(lines).encode())


if __name__ == "__main__":
    main(sys.argv[1])
