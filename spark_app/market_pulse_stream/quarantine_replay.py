"""The way out of quarantine: decoded again, and stored as if it had come now.

A record never leaves the table: what it was found to be is noted beside it, in the transaction that stores it. One
stays what it is: a telling dated by a clock that was ahead, whose bar was told again since. By its date it would stand
against what was told after it; by their offsets it is the older.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID, uuid4

from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL

from market_pulse.contract import Bar, Reason, Rejection
from market_pulse_stream.decode import Decoded, Rejected, bar_lines, decode
from market_pulse_stream.quarantine import CHOSEN, KEPT, Choice, Kept, read
from market_pulse_stream.sink import Task, copy_rows, lock_positions, store_answers, store_bars
from market_pulse_stream.statements import statements

# Of one transaction, so that the consumer waits for the partition no longer than a batch takes.
_CHUNK = 1000

_DATED_AHEAD = frozenset({Reason.FUTURE_TELLING, Reason.OVERTAKEN})
_TOLD_SINCE = """
SELECT told.record_offset, max(since.record_offset)
FROM
    unnest(%(symbols)s::text[], %(intervals)s::text[], %(bar_times)s::timestamptz[], %(offsets)s::bigint[])
    AS told (symbol, interval, bar_time, record_offset)
INNER JOIN market.bar_revision AS since USING (symbol, interval, bar_time)
WHERE since.partition = %(partition)s AND since.record_offset > told.record_offset
GROUP BY told.record_offset
"""
_LOGS = SQL(
    "SELECT DISTINCT topic_id::text, partition, log_epoch FROM market.quarantine WHERE {chosen} ORDER BY 1, 2, 3"
)
_OF_LOG = SQL("""
{kept}
WHERE {chosen}
    AND topic_id = %(topic_id)s AND partition = %(of_partition)s AND log_epoch = %(log_epoch)s
    AND record_offset >= %(from_offset)s
ORDER BY record_offset LIMIT %(limit)s
""")
_CREATE_STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_fate ON COMMIT DELETE ROWS
AS SELECT record_offset, replay_fate, reason, detail FROM market.quarantine WITH NO DATA
"""
_COPY_FATES = SQL("COPY pg_temp.staged_fate (record_offset, replay_fate, reason, detail) FROM STDIN")
_MARK = """
UPDATE market.quarantine AS kept
SET
    replayed_at = now(), replay_fate = fate.replay_fate,
    reason = coalesce(fate.reason, kept.reason), detail = coalesce(fate.detail, kept.detail)
FROM pg_temp.staged_fate AS fate
WHERE kept.topic_id = %(topic_id)s AND kept.partition = %(partition)s AND kept.log_epoch = %(log_epoch)s
    AND kept.record_offset = fate.record_offset
"""
_WRITE_LEDGER = """
INSERT INTO market.quarantine_replay (
    topic_id, partition, log_epoch, decoded, stored, unchanged, superseded, answers, still_rejected, requested_by
)
VALUES (
    %(topic_id)s, %(partition)s, %(log_epoch)s, %(decoded)s, %(stored)s, %(unchanged)s, %(superseded)s,
    %(answers)s, %(still_rejected)s, %(requested_by)s
)
"""


@dataclass(frozen=True)
class Replayed:
    """What became of records that were decoded again: counts that add up to `decoded`."""

    decoded: int = 0
    stored: int = 0
    unchanged: int = 0
    superseded: int = 0
    answers: int = 0
    still_rejected: int = 0

    def __add__(self, other: "Replayed") -> "Replayed":
        """Return the counts of both."""
        return Replayed(**{name: count + getattr(other, name) for name, count in asdict(self).items()})


def trial(connection: Connection, choice: Choice) -> Counter[tuple[str, str]]:
    """Count what the records chosen would be, by their reason and ``bar``, ``answer`` or the reason that remains."""
    outcomes: Counter[tuple[str, str]] = Counter()
    for log in _logs(connection, choice):
        for chunk in _chunks(connection, choice, log):
            with connection, connection.cursor() as cursor:
                decoded = _decoded(cursor, log, chunk)
            fates = {offset: fate or reason for offset, fate, reason, _ in _fates(chunk, decoded)}
            outcomes.update((kept.reason, str(fates[kept.record.offset])) for kept in chunk)
    return outcomes


def replay(connection: Connection, choice: Choice, requested_by: str) -> Iterator[Replayed]:
    """Decode the records chosen again and store those that pass, each once; yield what became of each part of them.

    Raises:
        PositionError: a partition has no stored position.
        psycopg2.Error: PostgreSQL refused; what was yielded is stored, and nothing of what was not.
    """
    for log in _logs(connection, choice):
        from_offset = 0
        while True:
            with connection, connection.cursor() as cursor:
                # First the lock: whoever replays the same records has then committed what became of them.
                lock_positions(cursor, statements(), [Task(uuid4(), 0, log.topic_id, choice.topic, log.partition)])
                chunk = _chunk(cursor, choice, log, from_offset)
                if not chunk:
                    break
                done = _store(cursor, log, chunk, requested_by)
            yield done
            from_offset = chunk[-1].record.offset + 1


class _Log(NamedTuple):
    topic_id: UUID
    partition: int
    log_epoch: int


def _store(cursor: Cursor, log: _Log, chunk: Sequence[Kept], requested_by: str) -> Replayed:
    decoded = _decoded(cursor, log, chunk)
    fates = store_bars(cursor, statements(), {log.partition: bar_lines(decoded.bars, log.partition)})[log.partition]
    store_answers(cursor, statements(), decoded.answers)
    done = Replayed(len(chunk), *fates, len(decoded.answers), len(decoded.rejected))
    cursor.execute(_CREATE_STAGING)
    copy_rows(cursor, _COPY_FATES, _fates(chunk, decoded))
    facts = {**log._asdict(), "topic_id": str(log.topic_id), **asdict(done), "requested_by": requested_by}
    cursor.execute(_MARK, facts)
    cursor.execute(_WRITE_LEDGER, facts)
    return done


def _decoded(cursor: Cursor, log: _Log, chunk: Sequence[Kept]) -> Decoded:
    decoded = decode((kept.record for kept in chunk), _now(cursor))
    ahead = {kept.record.offset for kept in chunk if kept.reason in _DATED_AHEAD}
    told = [(record.offset, bar) for record, bar in decoded.bars if record.offset in ahead]
    if not told:
        return decoded
    facts = {
        "partition": log.partition,
        "offsets": [offset for offset, _ in told],
        "symbols": [bar.symbol for _, bar in told],
        "intervals": [bar.interval for _, bar in told],
        "bar_times": [bar.bar_time for _, bar in told],
    }
    cursor.execute(_TOLD_SINCE, facts)
    since: dict[int, int] = dict(cursor)
    overtaken = [
        Rejected(record, Rejection(Reason.OVERTAKEN, _overtaken(bar, since[record.offset])))
        for record, bar in decoded.bars
        if record.offset in since
    ]
    bars = [(record, bar) for record, bar in decoded.bars if record.offset not in since]
    return Decoded(bars, decoded.answers, [*decoded.rejected, *overtaken])


def _overtaken(bar: Bar, offset: int) -> str:
    return (
        f"fetched_at {bar.fetched_at} is of a clock that was ahead, and the bar was told again at offset {offset}, "
        "which stands; this telling may be acknowledged"
    )


def _fates(chunk: Sequence[Kept], decoded: Decoded) -> Iterator[tuple[int, str | None, str | None, str | None]]:
    """Yield per record its offset and its fate, or why it stays."""
    bars = {record.offset for record, _ in decoded.bars}
    rejections = {rejected.record.offset: rejected.rejection for rejected in decoded.rejected}
    for kept in chunk:
        offset = kept.record.offset
        if offset in rejections:
            yield offset, None, rejections[offset].reason, rejections[offset].detail
        else:
            yield offset, "bar" if offset in bars else "answer", None, None


def _logs(connection: Connection, choice: Choice) -> list[_Log]:
    with connection, connection.cursor() as cursor:
        cursor.execute(_LOGS.format(chosen=CHOSEN), choice._asdict())
        return [_Log(UUID(topic_id), partition, log_epoch) for topic_id, partition, log_epoch in cursor]


def _chunks(connection: Connection, choice: Choice, log: _Log) -> Iterator[list[Kept]]:
    from_offset = 0
    while True:
        with connection, connection.cursor() as cursor:
            chunk = _chunk(cursor, choice, log, from_offset)
        if not chunk:
            return
        yield chunk
        from_offset = chunk[-1].record.offset + 1


def _chunk(cursor: Cursor, choice: Choice, log: _Log, from_offset: int) -> list[Kept]:
    where = {"topic_id": str(log.topic_id), "of_partition": log.partition, "log_epoch": log.log_epoch}
    parameters = {**choice._asdict(), **where, "from_offset": from_offset, "limit": _CHUNK}
    return read(cursor, _OF_LOG.format(kept=KEPT, chosen=CHOSEN), parameters)


def _now(cursor: Cursor) -> datetime:
    cursor.execute("SELECT now()")
    ((now,),) = cursor.fetchall()
    return cast("datetime", now)
