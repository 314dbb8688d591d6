"""What `bench.ways.hand_written` runs: at least once, one process, one transaction for each batch."""

import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psycopg2
from confluent_kafka import Consumer, Message

from bench.upsert import COPY_STAGED, stage, upsert
from market_pulse.contract import Bar

_WAIT_SECONDS = 0.1
_decoder = msgspec.json.Decoder(Bar)


def main(path: str) -> None:
    """Carry bars until the process is ended."""
    wish = json.loads(Path(path).read_text())
    session = psycopg2.connect(**wish["database"])
    with session, session.cursor() as cursor:
        cursor.execute(stage(wish["table"]))
    consumer = Consumer(wish["client"])
    consumer.subscribe([wish["topic"]], on_assign=lambda *_: print("assigned", flush=True))
    while True:
        if not (messages := consumer.consume(wish["batch"], _WAIT_SECONDS)):
            continue
        with session, session.cursor() as cursor:
            cursor.copy_expert(COPY_STAGED, _lines(messages), 1 << 20)
            cursor.execute(upsert(wish["table"]))
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
