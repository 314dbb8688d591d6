"""Stores one partition of one batch: bars, rejects, ledger row and position in one transaction.

Sink: PostgreSQL, schema `market`. Writing the same records again changes nothing, because records below the stored
position are skipped; a record above it means that others are missing, and nothing is written.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from market_pulse.contract import Bar
from market_pulse.errors import PositionError
from market_pulse_stream import statements
from market_pulse_stream.decode import Record, Rejected, bar_row, copy_line, decode


@dataclass(frozen=True)
class Task:
    """Which records these are: the ledger's key."""

    run_id: UUID
    batch_id: int
    topic_id: UUID
    topic: str
    partition: int


@dataclass(frozen=True)
class Account:
    """What became of the records of one task; all counts are records, `skipped` ones were stored before."""

    partition: int
    from_offset: int
    until_offset: int
    skipped: int = 0
    received: int = 0
    stored: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: int = 0


def store(connection: Connection, task: Task, records: Sequence[Record]) -> Account:
    """Store the records of a task, in order of their offsets, and return what became of them.

    Raises:
        PositionError: the partition has no stored position, or records before these were never stored.
        psycopg2.Error: PostgreSQL refused; nothing was written.
    """
    with connection, connection.cursor() as cursor:
        position, log_epoch = _locked_position(cursor, task)
        fresh = [record for record in records if record.offset >= position]
        skipped = len(records) - len(fresh)
        if not fresh:
            return Account(task.partition, position, position, skipped=skipped)
        if fresh[0].offset > position:
            raise PositionError(
                f"topic {task.topic} partition {task.partition}: the batch begins at offset {fresh[0].offset}, but "
                f"offsets {position} to {fresh[0].offset - 1} were never stored; the next start names the cause"
            )
        bars, rejected = decode(fresh)
        stored, unchanged, superseded = _store_bars(cursor, bars)
        _quarantine(cursor, task, log_epoch, rejected)
        account = Account(
            task.partition,
            from_offset=position,
            until_offset=fresh[-1].offset + 1,
            skipped=skipped,
            received=len(fresh),
            stored=stored,
            unchanged=unchanged,
            superseded=superseded,
            quarantined=len(rejected),
        )
        ids = {"run_id": str(task.run_id), "topic_id": str(task.topic_id), "log_epoch": log_epoch}
        facts = {**vars(account), **vars(task), **ids}
        cursor.execute(statements.WRITE_LEDGER, facts)
        cursor.execute(statements.MOVE_POSITION, facts)
    return account


def _locked_position(cursor: Cursor, task: Task) -> tuple[int, int]:
    """Return the next offset and the epoch of the log that it counts in."""
    cursor.execute(statements.LOCK_POSITION, {"topic_id": str(task.topic_id), "partition": task.partition})
    row = cursor.fetchone()
    if row is None:
        raise PositionError(f"topic {task.topic} partition {task.partition} has no position: restart the consumer")
    return int(row[0]), int(row[1])


def _store_bars(cursor: Cursor, bars: Sequence[Bar]) -> tuple[int, int, int]:
    if not bars:
        return 0, 0, 0
    cursor.execute(statements.CREATE_STAGING)
    _copy(cursor, statements.COPY_BARS, map(bar_row, bars))
    cursor.execute(statements.MERGE_REVISIONS)
    cursor.execute(statements.MERGE_BARS)
    counts = cursor.fetchone()
    if counts is None:
        raise AssertionError("an aggregate without GROUP BY returns one row")
    stored, told_as_stored, total = counts
    return stored, told_as_stored - stored, total - told_as_stored


def _quarantine(cursor: Cursor, task: Task, log_epoch: int, rejected: Iterable[Rejected]) -> None:
    rows = (
        (
            str(task.topic_id),
            task.partition,
            log_epoch,
            record.offset,
            task.topic,
            rejection.reason,
            rejection.detail,
            record.key,
            record.value,
        )
        for record, rejection in rejected
    )
    _copy(cursor, statements.COPY_QUARANTINE, rows)


def _copy(cursor: Cursor, statement: str, rows: Iterable[Sequence[str | int | bool | bytes | None]]) -> None:
    text = "".join(map(copy_line, rows))
    if text:
        cursor.copy_expert(statement, io.StringIO(text))
