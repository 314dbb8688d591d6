"""The control command's view of a test's database: its settings, its credentials, and a day to look at."""

import contextlib
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from kafka import KafkaProducer

from integration.services.broker import Broker
from integration.services.database import PASSWORD, Database
from integration.services.records import OPENING, answer_of, bar, records, task
from market_pulse.cli.settings import CliSettings
from market_pulse.contract import Cause, Interval
from market_pulse.kafka_login import Principal
from market_pulse.producer.archive import Archive, Archived
from market_pulse.sources.base import DataType, Function, Refusal, Request
from market_pulse_stream.decode import Record
from market_pulse_stream.sink import Task, store

# One answer for all, with the bar that two of them tell.
BODY = b"""timestamp,open,high,low,close,volume
2026-05-15 09:32:00,10.10,12.00,9.5000,11.25,1200
"""
_SHA256 = hashlib.sha256(BODY).hexdigest()
# Where the log of `stored_day` ends.
END = 12
# In New York.
DAY = datetime(2026, 5, 15, tzinfo=UTC).date()


def settings_of(database: Database, broker: Broker | None = None, topic: str = "bars") -> CliSettings:
    """Return what `cli.env` would say of a database and a broker, or one that is not there."""
    nobody = {"kafka_authority": __file__, "kafka_bootstrap_servers": "127.0.0.1:9", "kafka_password": "none"}
    return CliSettings(
        topic=topic,
        **(broker.client(Principal.MONITOR) if broker else nobody),
        **database.settings("monitor"),
        interval="1min",
        exchange="XNYS",
        source="test",
    )


def credentials_in(folder: Path, *accounts: str) -> Path:
    """Write the credentials of accounts into a folder, and return it."""
    for account in accounts:
        (folder / f"mp_postgresql_{account}_password").write_text(PASSWORD + "\n")
    return folder


def stored_day(database: Database, topic_id: UUID | None = None) -> Task:
    """Store four batches of one partition, of a topic that is new or has this id, and return the first one's task.

    Offsets 0 to 3 are IBM's first three bars and one with a bad price, 4 is their answer; 5 and 6 are the third bar
    revised and one more, 7 is their answer; 8 is no JSON, 9 a refusal's record; 10 and 11 are MSFT's only bar and its
    answer.
    """
    first = task(database)
    if topic_id is not None:
        first = replace(first, topic_id=topic_id)
        database.query("UPDATE market.stream_position SET topic_id = %s", str(topic_id))
    told = [bar(minute=minute, request_id="r1", fetched_at=_FETCHED["r1"]) for minute in range(3)]
    bad = bar(minute=3, request_id="r1", high="1.00", fetched_at=_FETCHED["r1"])
    revised = [
        bar(minute=2, request_id="r2", close="11.50", fetched_at=_FETCHED["r2"]),
        bar(minute=4, request_id="r2", fetched_at=_FETCHED["r2"]),
    ]
    asked = {"asked_at": _FETCHED["r3"], "fetched_at": _FETCHED["r3"]}
    refused = answer_of(request_id="r3", refusal="quota", sha256=None, rows=0, **asked)
    other = bar("MSFT", request_id="r4", fetched_at=_FETCHED["r4"])
    junk = Record(8, b"IBM", b"no json")
    batches = [
        records(*told, bad, answer_of(*told, bad, sha256=_SHA256)),
        records(*revised, answer_of(*revised, sha256=_SHA256), first=5),
        [junk, *records(refused, first=9)],
        records(other, answer_of(other, sha256=_SHA256), first=10),
    ]
    with contextlib.closing(database.connect("writer")) as writer:
        for number, batch in enumerate(batches):
            store(writer, replace(first, batch_id=number), batch)
    return first


def archive_in(folder: Path, *request_ids: str, source: str = "test") -> Archive:
    """Return an archive that holds these of the day's requests, and one without an answer for any other id."""
    archive = Archive(folder, keep_days=10_000)
    for request_id in sorted(request_ids):
        is_refused = request_id == "r3"
        fetched_at = _FETCHED.get(request_id, OPENING)
        archive.add(
            Archived(
                request_id=request_id,
                source=source,
                cause=Cause.POLL,
                request=Request(
                    Function.INTRADAY, "MSFT" if request_id == "r4" else "IBM", Interval.ONE_MINUTE, DataType.CSV
                ),
                asked_at=fetched_at,
                fetched_at=fetched_at,
                refusal=Refusal.QUOTA if is_refused else None,
                sha256=None if is_refused else _SHA256,
                body=b"" if is_refused else BODY,
            )
        )
    archive.close()
    return archive


def fill(broker: Broker, topic: str, count: int) -> None:
    """Append so many records to partition 0."""
    producer = KafkaProducer(**broker.options)
    try:
        for _ in range(count):
            producer.send(topic, b"{}", partition=0).get(timeout=30)
    finally:
        producer.close()


def minute_after(number: int) -> datetime:
    """Return an instant so many minutes after the opening."""
    return OPENING + timedelta(minutes=number)


_FETCHED = {"r1": minute_after(4), "r2": minute_after(6), "r3": minute_after(7), "r4": minute_after(8)}
