"""What an executor runs: the records of one Kafka partition in, one row that accounts for them out."""

import dataclasses
from collections.abc import Iterator, Sequence
from uuid import UUID

import psycopg2
import pyarrow as pa
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from market_pulse_stream.decode import Record
from market_pulse_stream.postgresql import Database, is_transient
from market_pulse_stream.sink import Account, Task, store

# Below the time after which the consumer's health check calls a batch stuck, the last attempt's length included.
RETRY_SECONDS = 60
_COUNTS = [field.name for field in dataclasses.fields(Account)]
ACCOUNT_SCHEMA = ", ".join(f"{name} bigint" for name in _COUNTS)

_sessions: dict[Database, Connection] = {}


@dataclasses.dataclass(frozen=True)
class PartitionWriter:
    """The function for `DataFrame.mapInArrow`: source columns partition, offset, key, value; sink see `sink.store`."""

    database: Database
    run_id: UUID
    batch_id: int
    topic_id: UUID
    topic: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Store all records of the task and yield one row of `ACCOUNT_SCHEMA`; nothing for an empty task."""
        partitions: set[int] = set()
        records: list[Record] = []
        for batch in batches:
            partition, *columns = (column.to_pylist() for column in batch.columns)
            partitions.update(partition)
            records.extend(map(Record, *columns))
        if not records:
            return
        (partition,) = partitions
        task = Task(self.run_id, self.batch_id, self.topic_id, self.topic, partition)
        account = self._store_with_patience(task, records)
        yield pa.RecordBatch.from_pylist(
            [dataclasses.asdict(account)], pa.schema([(name, pa.int64()) for name in _COUNTS])
        )

    def _store_with_patience(self, task: Task, records: Sequence[Record]) -> Account:
        for attempt in Retrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_delay(RETRY_SECONDS),
            wait=wait_exponential_jitter(multiplier=0.2, max=5),
            reraise=True,
        ):
            with attempt:
                return self._store(task, records)
        raise AssertionError("the last attempt returns or raises")

    def _store(self, task: Task, records: Sequence[Record]) -> Account:
        # Spark keeps the Python process from batch to batch, and with it the session and its staging table.
        session = _sessions.get(self.database)
        if session is None:
            session = _sessions[self.database] = self.database.connect("market-pulse consumer")
        try:
            return store(session, task, records)
        except psycopg2.Error:
            _sessions.pop(self.database).close()
            raise
