"""Stores records of partitions: bars, rejects, ledger rows and positions in one transaction.

Sink: PostgreSQL, schema `market` or one made like it. Writing the same records again changes nothing, because records
below the stored position are skipped; what was read from above it leaves others out, and nothing is written.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pyarrow as pa
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extras import execute_batch
from psycopg2.sql import Composable

from market_pulse.contract import AnswerRecord
from market_pulse.errors import PositionError
from market_pulse_stream.arrow import columns, rows
from market_pulse_stream.decode import Lines, Record, Rejected, answer_row, bar_lines, copy_line, decode
from market_pulse_stream.statements import MARKET, Statements, statements
from market_pulse_stream.usual import usual


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


class Part(NamedTuple):
    """What was read of one partition: its records in order of their offsets, and all offsets, with or without one.

    Columns of the records see `arrow.columns`.
    """

    task: Task
    records: pa.RecordBatch
    offsets: range


class Fates(NamedTuple):
    """What became of bars; counts of records."""

    stored: int = 0
    unchanged: int = 0
    superseded: int = 0


class _Fresh(NamedTuple):
    """What of a part is not stored yet, beginning at the partition's position."""

    part: Part
    position: int
    log_epoch: int
    skipped: int
    bars: Lines
    answers: Sequence[AnswerRecord]
    rejected: Sequence[Rejected]

    @property
    def is_nothing(self) -> bool:
        return self.part.offsets.stop <= self.position


def store(
    connection: Connection,
    task: Task,
    records: Sequence[Record],
    schema: str = MARKET,
    offsets: range | None = None,
) -> Account:
    """Store records of one task; see `store_parts`.

    By default `offsets` are all from the first record to the last.
    """
    if offsets is None:
        offsets = range(records[0].offset, records[-1].offset + 1) if records else range(0)
    return store_parts(connection, [Part(task, columns(records), offsets)], schema)[0]


def store_parts(connection: Connection, parts: Sequence[Part], schema: str = MARKET) -> list[Account]:
    """Store parts of partitions of one topic in one transaction, and return what became of the records of each.

    Args:
        connection: of the writer, outside of a transaction.
        parts: what Kafka gave, each of another partition.
        schema: where to.

    Raises:
        PositionError: a partition has no stored position, or offsets before these were never read.
        psycopg2.Error: PostgreSQL refused; nothing was written.
    """
    sql = statements(schema)
    with connection, connection.cursor() as cursor:
        positions = lock_positions(cursor, sql, [part.task for part in parts])
        fresh = [_fresh(part, *positions[part.task.partition]) for part in parts]
        fates = store_bars(cursor, sql, {each.part.task.partition: each.bars for each in fresh})
        store_answers(cursor, sql, [answer for each in fresh for answer in each.answers])
        copy_rows(cursor, sql.copy_quarantine, (row for each in fresh for row in _quarantine_rows(each)))
        accounts = [_account(each, fates[each.part.task.partition]) for each in fresh]
        facts = [
            {**vars(account), **_facts(each)}
            for each, account in zip(fresh, accounts, strict=True)
            if not each.is_nothing
        ]
        execute_batch(cursor, sql.account, facts)
    return accounts


def lock_positions(cursor: Cursor, sql: Statements, tasks: Sequence[Task]) -> dict[int, tuple[int, int]]:
    """Become the only writer of one topic's partitions until commit.

    Return for each partition its next offset and the epoch of the log that this counts in.

    Raises:
        PositionError: a partition has no stored position.
    """
    topic_id, partitions = str(tasks[0].topic_id), [task.partition for task in tasks]
    cursor.execute(sql.lock_positions, {"topic_id": topic_id, "partitions": partitions})
    positions = {partition: (int(next_offset), int(log_epoch)) for partition, next_offset, log_epoch in cursor}
    for task in tasks:
        if task.partition not in positions:
            raise PositionError(f"topic {task.topic} partition {task.partition} has no position: restart the consumer")
    return positions


def store_bars(cursor: Cursor, sql: Statements, bars: Mapping[int, Lines]) -> dict[int, Fates]:
    """Merge bars, by the partition that they travelled through; return what became of those of each."""
    cursor.execute(sql.prepare)
    if not copy_text(cursor, sql.copy_bars, b"".join(told.text for told in bars.values())):
        return dict.fromkeys(bars, Fates())
    cursor.execute(sql.merge_bars)
    counts = {partition: (stored, told_as_stored) for partition, stored, told_as_stored in cursor}
    fates = {}
    for partition, told in bars.items():
        stored, told_as_stored = counts.get(partition, (0, 0))
        fates[partition] = Fates(stored, told_as_stored - stored, told.count - told_as_stored)
    return fates


def store_answers(cursor: Cursor, sql: Statements, answers: Sequence[AnswerRecord]) -> None:
    """Add the answers that are not stored yet; the staging tables are those of `store_bars`."""
    if answers:
        copy_rows(cursor, sql.copy_answers, map(answer_row, answers))
        cursor.execute(sql.merge_answers)


def _fresh(part: Part, position: int, log_epoch: int) -> _Fresh:
    if position < part.offsets.start < part.offsets.stop:
        raise PositionError(
            f"topic {part.task.topic} partition {part.task.partition} was read from offset {part.offsets.start} on, "
            f"but offsets {position} to {part.offsets.start - 1} were never read; the next start begins there"
        )
    skipped = int(np.searchsorted(part.records.column("offset").to_numpy(), position))
    bars, others = usual(part.records.slice(skipped), part.task.partition)
    decoded = decode(rows(others))
    more = bar_lines(decoded.bars, part.task.partition)
    whole = Lines(bars.count + more.count, bars.text + more.text)
    return _Fresh(part, position, log_epoch, skipped, whole, decoded.answers, decoded.rejected)


def _account(fresh: _Fresh, fates: Fates) -> Account:
    partition, until = fresh.part.task.partition, fresh.part.offsets.stop
    if fresh.is_nothing:
        return Account(partition, fresh.position, fresh.position, skipped=fresh.skipped)
    bars, answers, rejected = fresh.bars.count, len(fresh.answers), len(fresh.rejected)
    return Account(
        partition,
        from_offset=fresh.position,
        until_offset=until,
        skipped=fresh.skipped,
        received=bars + rejected,
        **fates._asdict(),
        quarantined=rejected,
        answers=answers,
        empty=until - fresh.position - bars - rejected - answers,
    )


def _facts(fresh: _Fresh) -> dict[str, object]:
    task = fresh.part.task
    return {**vars(task), "run_id": str(task.run_id), "topic_id": str(task.topic_id), "log_epoch": fresh.log_epoch}


def _quarantine_rows(fresh: _Fresh) -> Iterator[Sequence[str | int | bytes | None]]:
    task = fresh.part.task
    for record, rejection in fresh.rejected:
        yield (
            str(task.topic_id),
            task.partition,
            fresh.log_epoch,
            record.offset,
            task.topic,
            rejection.reason,
            rejection.detail,
            record.key,
            record.value,
            record.appended_at.isoformat() if record.appended_at else None,
        )


def copy_rows(cursor: Cursor, statement: Composable, rows: Iterable[Sequence[str | int | bool | bytes | None]]) -> None:
    """Send rows to a statement ``COPY … FROM STDIN``; none, and nothing is sent."""
    copy_text(cursor, statement, "".join(map(copy_line, rows)).encode())


def copy_text(cursor: Cursor, statement: Composable, text: bytes) -> bool:
    """Send lines of COPY's text format to a statement ``COPY … FROM STDIN``, and return whether there are any."""
    if text:
        cursor.copy_expert(statement, io.BytesIO(text))
    return bool(text)
