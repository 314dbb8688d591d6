"""What an executor runs: the records of Kafka partitions in, rows that account for them out."""

import dataclasses
import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from uuid import UUID

import numpy as np
import psycopg2
import pyarrow as pa
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from pyspark.sql.types import LongType, StructField, StructType
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from market_pulse_stream.arrow import COLUMNS, columns
from market_pulse_stream.postgresql import Database, is_transient
from market_pulse_stream.sink import Account, Part, Task, store_parts

# Below the time after which the consumer's health check calls a batch stuck, the last attempt's length included.
RETRY_SECONDS = 60
_COUNTS = [field.name for field in dataclasses.fields(Account)]
ACCOUNT_SCHEMA = StructType([StructField(name, LongType()) for name in _COUNTS])

NOTHING_SCHEMA = StructType([StructField("nothing", LongType())])

_sessions: dict[Database, Connection] = {}


@dataclasses.dataclass(frozen=True)
class PartitionWriter:
    """What a task does with the records of a batch, as a function for `ToldOnce`; sink see `sink.store`.

    Source columns: partition, offset, key, value, and the record's own time in milliseconds since 1970. `read` holds
    the offsets of the batch by partition: Spark fails if Kafka deleted one of them, so one without a record is empty.
    `leader_epochs` holds in which epoch each was led before it was read, where that is known.
    """

    database: Database
    run_id: UUID
    batch_id: int
    topic_id: UUID
    topic: str
    read: Mapping[int, range]
    leader_epochs: Mapping[int, int | None] = dataclasses.field(default_factory=dict)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Store the task's records batch by batch, each in a transaction, and yield a row for each partition.

        In batches, because a task may be larger than the memory that one of them takes.
        """
        reached = {partition: offsets.start for partition, offsets in self.read.items()}
        for batch in batches:
            parts = []
            for partition, records in _by_partition(batch):
                until = records.column("offset")[-1].as_py() + 1
                parts.append(Part(self._task(partition), records, range(reached[partition], until)))
                reached[partition] = until
            if parts:
                accounts = [dataclasses.asdict(account) for account in self._store_with_patience(parts)]
                yield pa.RecordBatch.from_pylist(accounts, pa.schema([(name, pa.int64()) for name in _COUNTS]))

    def store_rest(self, accounts: Iterable[Account]) -> list[Account]:
        """Account for the offsets behind the last record of each partition, after the tasks gave these accounts."""
        reached = {partition: offsets.start for partition, offsets in self.read.items()}
        for account in accounts:
            reached[account.partition] = max(reached[account.partition], account.until_offset)
        rest = [
            Part(self._task(partition), columns([]), range(reached[partition], offsets.stop))
            for partition, offsets in self.read.items()
            if reached[partition] < offsets.stop
        ]
        return self._store_with_patience(rest) if rest else []

    def _task(self, partition: int) -> Task:
        leader_epoch = self.leader_epochs.get(partition)
        return Task(self.run_id, self.batch_id, self.topic_id, self.topic, partition, leader_epoch)

    def _store_with_patience(self, parts: Sequence[Part]) -> list[Account]:
        for attempt in Retrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_delay(RETRY_SECONDS),
            wait=wait_exponential_jitter(multiplier=0.2, max=5),
            reraise=True,
        ):
            with attempt:
                return self._store(parts)
        raise AssertionError("the last attempt returns or raises")

    def _store(self, parts: Sequence[Part]) -> list[Account]:
        # Spark keeps the Python process from batch to batch, and with it the session and its staging table.
        session = _sessions.get(self.database)
        if session is None:
            # Spark collects garbage after each task, and looks at every object of every module each time: a core's
            # eighth where bars come all the time.
            if not gc.get_freeze_count():
                gc.freeze()
            session = _sessions[self.database] = self.database.connect("market-pulse consumer")
        try:
            return store_parts(session, parts)
        except psycopg2.Error:
            _sessions.pop(self.database).close()
            raise


def nothing(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Store nothing, by a process that has read all that it needs to store something."""
    for _ in batches:
        yield pa.RecordBatch.from_pylist([], pa.schema([("nothing", pa.int64())]))


def _by_partition(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Return the records by partition, columns see `arrow.columns`; those of each stand together, in order."""
    partitions = batch.column(0).to_numpy()
    begins = [0, *(np.flatnonzero(np.diff(partitions)) + 1).tolist(), len(partitions)]
    for begin, end in pairwise(begins):
        if end > begin:
            told = batch.slice(begin, end - begin).columns[1:]
            yield int(partitions[begin]), pa.RecordBatch.from_arrays(told, schema=COLUMNS)
