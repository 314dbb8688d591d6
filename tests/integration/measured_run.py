"""A market's day through the real parts, and the bytes that it leaves in each of them.

The vendor's answers go into the archive, the outbox's records to a real broker by the real publisher, from there into a
real database by the real sink, and that database's WAL into a real repository of pgBackRest's. The vendor's API, and
with it time, is the only thing that is simulated.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from kafka import KafkaConsumer, TopicPartition

from integration.services.backups import BackedUp
from integration.services.broker import Broker
from integration.services.database import Database
from market_pulse.capacity import CHECKPOINT_MINUTES
from market_pulse.kafka_login import Principal
from market_pulse.producer.publisher import Publisher
from market_pulse_stream.decode import BAR_COLUMNS, Record
from market_pulse_stream.sink import Task, store
from support.virtual_market import VirtualMarket

_CHECKPOINT = timedelta(minutes=CHECKPOINT_MINUTES)
_BLOCK = 512
_BATCH = 5_000
# The month as it would be told by then, at instants that are spread over days and nights.
_OLD_BARS = """
INSERT INTO market.{table} ({columns})
SELECT symbol, %(interval)s, at, 123.4567, 124.1234, 122.4321, 123.9876, 12345, true, 'simulator',
    md5(symbol || at || %(telling)s), at + make_interval(mins => %(telling)s)
FROM unnest(%(symbols)s) AS symbol, generate_series(%(since)s, %(until)s, %(step)s) AS at
"""
_OLD_ANSWERS = """
INSERT INTO market.answer (
    symbol, interval, asked_at, request_id, fetched_at, source, cause, function, sha256, row_count, told, unusable,
    covers_from, covers_until
)
SELECT symbol, %(interval)s, at, md5(symbol || at || 1), at, 'simulator', 'poll', 'TIME_SERIES_INTRADAY',
    md5(at::text) || md5(symbol || at), 100, 2, 0, at - '100 min'::interval, at
FROM unnest(%(symbols)s) AS symbol, generate_series(%(since)s, %(until)s, %(step)s) AS at
"""


@dataclass(frozen=True)
class Counts:
    """What there is at some time; sizes in bytes. `written` is all WAL, `wal` what is archived of it."""

    calls: int
    bars: int
    records: int
    kafka: int
    database: int
    written: int
    wal: int
    archive: int

    def since(self, earlier: "Counts") -> "Counts":
        """Return what has come on top of it."""
        return Counts(**{name: value - vars(earlier)[name] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Services:
    """The real parts; the topic is fresh, and so is the database."""

    broker: Broker
    broker_directory: Path
    topic: str
    backed_up: BackedUp
    database: Database


class MeasuredMarket(VirtualMarket):
    """A virtual market whose records take the real way."""

    def __init__(self, services: Services, *arguments: object, **more: object) -> None:
        """Connect; the rest are the arguments of a virtual market."""
        self._services = services
        self._exits = contextlib.ExitStack()
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self._task = Task(uuid4(), 0, uuid4(), services.topic, 0)
        self._stored = 0
        self._checkpoint = self.start
        self._reader = self._exits.enter_context(contextlib.closing(_reader(services)))
        self._writer = self._exits.enter_context(contextlib.closing(services.database.connect("writer")))
        self._give_positions(services.database, self._task)
        login = services.broker.login(Principal.PRODUCER)
        self._publisher = Publisher(self.poller.outlook.outbox, login, services.topic)
        self._exits.callback(self._publisher.close)

    def close(self) -> None:
        """End the sessions with broker and database."""
        self._exits.close()

    def fill(self, since: datetime, until: datetime) -> None:
        """Fill a part of a month with what was told then: most days of the year are not a database's first one.

        The indexes by request id are then much larger than what is added to them between two checkpoints.
        """
        values = {
            "interval": self.interval.value,
            "symbols": [*self.symbols],
            "since": since,
            "until": until,
            "step": self.interval.length * (2 if self.extended else 4),
        }
        with contextlib.closing(self._services.database.connect()) as session, session, session.cursor() as cursor:
            for table, telling in (("bar", 1), ("bar_revision", 1), ("bar_revision", 2)):
                statement = _OLD_BARS.format(table=table, columns=", ".join(BAR_COLUMNS))
                cursor.execute(statement, values | {"telling": telling})
            cursor.execute(_OLD_ANSWERS, values)
            cursor.execute("ANALYZE")

    def deliver(self) -> None:
        """Publish what waits, store it, and do what PostgreSQL does every five minutes."""
        outbox = self.poller.outlook.outbox
        expected = outbox.waiting
        while outbox.waiting:
            self._publisher.round(5.0)
        self._store(expected)
        if self.clock.now() - self._checkpoint >= _CHECKPOINT:
            self._checkpoint = self.clock.now()
            self._services.backed_up.server.execute("CHECKPOINT", "SELECT pg_switch_wal()")

    def counts(self) -> Counts:
        """Count what there is, once everything is where it belongs."""
        self.poller.intake.archive.close()
        self._services.backed_up.server.execute("CHECKPOINT", "SELECT pg_switch_wal()")
        self._services.backed_up.await_archived()
        ((size, bars, written),) = self._services.database.query(
            "SELECT (SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            " WHERE relnamespace = 'market'::regnamespace AND relkind = 'r')::bigint,"
            " (SELECT count(*) FROM market.bar), (SELECT wal_bytes::bigint FROM pg_stat_wal)"
        )
        return Counts(
            calls=len(self.calls),
            bars=bars,
            records=self._stored,
            kafka=_taken(self._services.broker_directory.glob(f"data/{self._services.topic}-*/*")),
            database=size,
            written=written,
            wal=_taken(self._services.backed_up.repository.glob("archive/**/*")),
            archive=_taken((self.directory / "archive").glob("*.sqlite3")),
        )

    def store_again(self, database: Database) -> float:
        """Store everything in another database, in large batches, and return how many records a second that were."""
        records: dict[int, list[Record]] = defaultdict(list)
        with contextlib.closing(_reader(self._services)) as reader:
            for partition, record in _next(reader, self._stored):
                records[partition].append(record)
        task = replace(self._task, topic_id=uuid4())
        self._give_positions(database, task)
        with contextlib.closing(database.connect("writer")) as writer:
            began = time.perf_counter()
            for partition, told in records.items():
                for first in range(0, len(told), _BATCH):
                    store(writer, replace(task, batch_id=first, partition=partition), told[first : first + _BATCH])
            return self._stored / (time.perf_counter() - began)

    def _store(self, expected: int) -> None:
        records: dict[int, list[Record]] = defaultdict(list)
        for partition, record in _next(self._reader, expected):
            records[partition].append(record)
        for partition, told in records.items():
            store(self._writer, replace(self._task, batch_id=self._stored, partition=partition), told)
        self._stored += expected

    def _give_positions(self, database: Database, task: Task) -> None:
        for place in self._reader.assignment():
            database.query(
                "INSERT INTO market.stream_position (topic_id, partition, topic, next_offset) VALUES (%s, %s, %s, 0)",
                *(str(task.topic_id), place.partition, task.topic),
            )


def _reader(services: Services) -> KafkaConsumer:
    reader = KafkaConsumer(**services.broker.options, enable_auto_commit=False)
    reader.assign([TopicPartition(services.topic, number) for number in reader.partitions_for_topic(services.topic)])
    reader.seek_to_beginning()
    return reader


def _next(reader: KafkaConsumer, count: int) -> Iterator[tuple[int, Record]]:
    while count:
        for place, found in reader.poll(timeout_ms=1000).items():
            count -= len(found)
            for record in found:
                yield place.partition, Record(record.offset, record.key, record.value)


def _taken(paths: Iterable[Path]) -> int:
    """Return what files take of the disk: Kafka allots its indexes, and does not fill them."""
    return sum(path.stat().st_blocks * _BLOCK for path in paths if path.is_file())
