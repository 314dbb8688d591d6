"""Stores records of one partition: bars, rejects, ledger row and position in one transaction.

Sink: PostgreSQL, schema `market` or one made like it. Writing the same records again changes nothing, because records
below the stored position are skipped; what was read from above it leaves others out, and nothing is written.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import Composable

from market_pulse.contract import AnswerRecord, Bar
from market_pulse.errors import PositionError
from market_pulse_stream.decode import Record, Rejected, answer_row, bar_line, copy_line, decode
from market_pulse_stream.statements import MARKET, Statements, statements


@dataclass(frozen=True)
class Task:
    """Which records these are: the ledger's key, and the epoch that the partition was led in, if it is known."""

    run_id: UUID
    batch_id: int
    topic_id: UUID
    topic: str
    partition: int
    leader_epoch: int | None = None


@dataclass(frozen=True)
class Account:
    """What became of the records of one task.

    All counts are records: `skipped` ones were stored before, `received` ones are bars or should be, and what remains
    are `answers`, which are no bars. `empty` counts the offsets without a record.
    """

    partition: int
    from_offset: int
    until_offset: int
    skipped: int = 0
    received: int = 0
    stored: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: int = 0
    answers: int = 0
    empty: int = 0


def store(
    connection: Connection,
    task: Task,
    records: Sequence[Record],
    schema: str = MARKET,
    offsets: range | None = None,
) -> Account:
    """Store records of a task, in order of their offsets, and return what became of them.

    Args:
        connection: of the writer, outside of a transaction.
        task: whose records these are.
        records: what Kafka gave.
        schema: where to.
        offsets: what was read; one without a record holds none. By default all from the first record to the last.

    Raises:
        PositionError: the partition has no stored position, or offsets before these were never read.
        psycopg2.Error: PostgreSQL refused; nothing was written.
    """
    if offsets is None:
        offsets = range(records[0].offset, records[-1].offset + 1) if records else range(0)
    sql = statements(schema)
    with connection, connection.cursor() as cursor:
        position, log_epoch = lock_position(cursor, sql, task)
        fresh = [record for record in records if record.offset >= position]
        skipped = len(records) - len(fresh)
        if offsets.stop <= position:
            return Account(task.partition, position, position, skipped=skipped)
        if offsets.start > position:
            raise PositionError(
                f"topic {task.topic} partition {task.partition} was read from offset {offsets.start} on, but offsets "
                f"{position} to {offsets.start - 1} were never read; the next start begins there"
            )
        decoded = decode(fresh)
        stored, unchanged, superseded = store_bars(cursor, sql, task.partition, decoded.bars)
        store_answers(cursor, sql, decoded.answers)
        _quarantine(cursor, sql, task, log_epoch, decoded.rejected)
        account = Account(
            task.partition,
            from_offset=position,
            until_offset=offsets.stop,
            skipped=skipped,
            received=len(fresh) - len(decoded.answers),
            stored=stored,
            unchanged=unchanged,
            superseded=superseded,
            quarantined=len(decoded.rejected),
            answers=len(decoded.answers),
            empty=offsets.stop - position - len(fresh),
        )
        ids = {"run_id": str(task.run_id), "topic_id": str(task.topic_id), "log_epoch": log_epoch}
        facts = {**vars(account), **vars(task), **ids}
        cursor.execute(sql.move_position, facts)
        cursor.execute(sql.write_ledger, facts)
    return account


def lock_position(cursor: Cursor, sql: Statements, task: Task) -> tuple[int, int]:
    """Become the partition's only writer until commit; return its next offset and the epoch of the log it counts in.

    Raises:
        PositionError: the partition has no stored position.
    """
    cursor.execute(sql.lock_position, {"topic_id": str(task.topic_id), "partition": task.partition})
    row = cursor.fetchone()
    if row is None:
        raise PositionError(f"topic {task.topic} partition {task.partition} has no position: restart the consumer")
    return int(row[0]), int(row[1])


def store_bars(
    cursor: Cursor, sql: Statements, partition: int, bars: Sequence[tuple[Record, Bar]]
) -> tuple[int, int, int]:
    """Merge bars that travelled through a partition; return how many were stored, unchanged and superseded."""
    cursor.execute(sql.create_staging)
    if not bars:
        return 0, 0, 0
    copy_lines(cursor, sql.copy_bars, (bar_line(bar, record.offset) for record, bar in bars))
    cursor.execute(sql.use_indexes)
    cursor.execute(sql.merge_revisions, {"partition": partition})
    cursor.execute(sql.merge_bars)
    counts = cursor.fetchone()
    if counts is None:
        raise AssertionError("an aggregate without GROUP BY returns one row")
    stored, told_as_stored = counts
    return stored, told_as_stored - stored, len(bars) - told_as_stored


def store_answers(cursor: Cursor, sql: Statements, answers: Sequence[AnswerRecord]) -> None:
    """Add the answers that are not stored yet; the staging tables are those of `store_bars`."""
    if answers:
        copy_rows(cursor, sql.copy_answers, map(answer_row, answers))
        cursor.execute(sql.merge_answers)


def _quarantine(cursor: Cursor, sql: Statements, task: Task, log_epoch: int, rejected: Iterable[Rejected]) -> None:
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
            record.appended_at.isoformat() if record.appended_at else None,
        )
        for record, rejection in rejected
    )
    copy_rows(cursor, sql.copy_quarantine, rows)


def copy_rows(cursor: Cursor, statement: Composable, rows: Iterable[Sequence[str | int | bool | bytes | None]]) -> None:
    """Send rows to a statement ``COPY … FROM STDIN``; none, and nothing is sent."""
    copy_lines(cursor, statement, map(copy_line, rows))


def copy_lines(cursor: Cursor, statement: Composable, lines: Iterable[str]) -> None:
    """Send lines of COPY's text format to a statement ``COPY … FROM STDIN``; none, and nothing is sent."""
    # As bytes: a buffer of text takes four of them for each letter.
    buffer = io.BytesIO()
    for line in lines:
        buffer.write(line.encode())
    if buffer.tell():
        buffer.seek(0)
        cursor.copy_expert(statement, buffer)
