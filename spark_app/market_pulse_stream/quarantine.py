"""What is in quarantine, and the way out of it: decoded again, and stored as if it had come now.

A record never leaves the table: what it was found to be is noted beside it, in the transaction that stores it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID, uuid4

from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL, Composed

from market_pulse_stream.decode import Decoded, Record, bar_lines, decode
from market_pulse_stream.sink import Task, copy_rows, lock_positions, store_answers, store_bars
from market_pulse_stream.statements import statements

# Of one transaction, so that the consumer waits for the partition no longer than a batch takes.
_CHUNK = 1000

_CHOSEN = SQL("""
topic = %(topic)s AND replay_fate IS NULL
AND (%(reason)s::text IS NULL OR reason = %(reason)s)
AND (%(since)s::timestamptz IS NULL OR recorded_at >= %(since)s)
AND (%(partition)s::integer IS NULL OR partition = %(partition)s)
AND (%(offset)s::bigint IS NULL OR record_offset = %(offset)s)
""")
_KEPT = SQL("""
SELECT
    topic_id::text, partition, log_epoch, record_offset, key, value, appended_at,
    reason, detail, recorded_at, replayed_at, replay_fate
FROM market.quarantine
""")
_COUNTS = """
SELECT
    reason,
    count(*) FILTER (WHERE replay_fate IS NULL),
    count(*) FILTER (WHERE replay_fate IS NOT NULL),
    max(recorded_at)
FROM market.quarantine
WHERE topic = %(topic)s
GROUP BY reason
ORDER BY reason
"""
_NEWEST = SQL("{kept} WHERE {chosen} ORDER BY recorded_at DESC, record_offset DESC LIMIT %(limit)s")
_AT_OFFSET = SQL("""
{kept} WHERE topic = %(topic)s AND partition = %(partition)s AND record_offset = %(offset)s ORDER BY recorded_at
""")
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


class Choice(NamedTuple):
    """Which of a topic's records are meant, of those that are still in quarantine; None is any."""

    topic: str
    reason: str | None = None
    since: datetime | None = None
    partition: int | None = None
    offset: int | None = None


class Kept(NamedTuple):
    """A record as it is kept in quarantine."""

    topic_id: UUID
    partition: int
    log_epoch: int
    record: Record
    reason: str
    detail: str
    recorded_at: datetime
    replayed_at: datetime | None
    replay_fate: str | None


class Count(NamedTuple):
    """How many records broke a rule: those still in quarantine, those replayed since, and when the newest came."""

    reason: str
    waiting: int
    replayed: int
    newest: datetime


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


def counts(connection: Connection, topic: str) -> list[Count]:
    """Return how many records of a topic broke which rule, by name of the reason."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"topic": topic})
        return [Count(*row) for row in cursor]


def newest(connection: Connection, choice: Choice, limit: int) -> list[Kept]:
    """Return the records chosen, the newest first."""
    with connection, connection.cursor() as cursor:
        return _kept(cursor, _NEWEST.format(kept=_KEPT, chosen=_CHOSEN), {**choice._asdict(), "limit": limit})


def at_offset(connection: Connection, topic: str, partition: int, offset: int) -> list[Kept]:
    """Return what is kept of an offset: several records if a break of the log was accepted or the topic made anew."""
    with connection, connection.cursor() as cursor:
        place = {"topic": topic, "partition": partition, "offset": offset}
        return _kept(cursor, _AT_OFFSET.format(kept=_KEPT), place)


def trial(connection: Connection, choice: Choice) -> Counter[tuple[str, str]]:
    """Count what the records chosen would be, by their reason and ``bar``, ``answer`` or the reason that remains."""
    outcomes: Counter[tuple[str, str]] = Counter()
    with connection, connection.cursor() as cursor:
        now = _now(cursor)
    for log in _logs(connection, choice):
        for chunk in _chunks(connection, choice, log):
            decoded = decode((kept.record for kept in chunk), now)
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
    decoded = decode((kept.record for kept in chunk), _now(cursor))
    fates = store_bars(cursor, statements(), {log.partition: bar_lines(decoded.bars, log.partition)})[log.partition]
    store_answers(cursor, statements(), decoded.answers)
    done = Replayed(len(chunk), *fates, len(decoded.answers), len(decoded.rejected))
    cursor.execute(_CREATE_STAGING)
    copy_rows(cursor, _COPY_FATES, _fates(chunk, decoded))
    facts = {**log._asdict(), "topic_id": str(log.topic_id), **asdict(done), "requested_by": requested_by}
    cursor.execute(_MARK, facts)
    cursor.execute(_WRITE_LEDGER, facts)
    return done


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
        cursor.execute(_LOGS.format(chosen=_CHOSEN), choice._asdict())
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
    return _kept(cursor, _OF_LOG.format(kept=_KEPT, chosen=_CHOSEN), parameters)


def _kept(cursor: Cursor, statement: Composed, parameters: Mapping[str, object]) -> list[Kept]:
    cursor.execute(statement, parameters)
    return [
        Kept(UUID(topic_id), partition, log_epoch, Record(offset, _bytes(key), _bytes(value), appended_at), *rest)
        for topic_id, partition, log_epoch, offset, key, value, appended_at, *rest in cursor
    ]


def _now(cursor: Cursor) -> datetime:
    cursor.execute("SELECT now()")
    ((now,),) = cursor.fetchall()
    return cast("datetime", now)


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
