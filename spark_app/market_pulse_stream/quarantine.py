"""What is in quarantine: which records of a topic, why, and what became of those that were decoded again."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL, Composed

from market_pulse_stream.decode import Record

# What a Choice means.
CHOSEN = SQL("""
topic = %(topic)s AND replay_fate IS NULL
AND (%(reason)s::text IS NULL OR reason = %(reason)s)
AND (%(since)s::timestamptz IS NULL OR recorded_at >= %(since)s)
AND (%(partition)s::integer IS NULL OR partition = %(partition)s)
AND (%(offset)s::bigint IS NULL OR record_offset = %(offset)s)
""")
KEPT = SQL("""
SELECT
    topic_id::text, partition, log_epoch, record_offset, key, value, appended_at,
    reason, detail, recorded_at, replayed_at, replay_fate, acknowledged_at, acknowledged_by, note
FROM market.quarantine
""")
_COUNTS = """
SELECT
    reason,
    count(*) FILTER (WHERE replay_fate IS NULL AND acknowledged_at IS NULL),
    count(*) FILTER (WHERE replay_fate IS NULL AND acknowledged_at IS NOT NULL),
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
_ACKNOWLEDGE = SQL("""
UPDATE market.quarantine SET acknowledged_at = now(), acknowledged_by = %(acknowledged_by)s, note = %(note)s
WHERE acknowledged_at IS NULL AND {chosen}
""")


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
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str | None


class Count(NamedTuple):
    """How many records broke a rule: those that wait, those acknowledged, those replayed, and when the newest came."""

    reason: str
    waiting: int
    acknowledged: int
    replayed: int
    newest: datetime


def counts(connection: Connection, topic: str) -> list[Count]:
    """Return how many records of a topic broke which rule, by name of the reason."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"topic": topic})
        return [Count(*row) for row in cursor]


def newest(connection: Connection, choice: Choice, limit: int) -> list[Kept]:
    """Return the records chosen, the newest first."""
    with connection, connection.cursor() as cursor:
        return read(cursor, _NEWEST.format(kept=KEPT, chosen=CHOSEN), {**choice._asdict(), "limit": limit})


def at_offset(connection: Connection, topic: str, partition: int, offset: int) -> list[Kept]:
    """Return what is kept of an offset: several records if a break of the log was accepted or the topic made anew."""
    with connection, connection.cursor() as cursor:
        place = {"topic": topic, "partition": partition, "offset": offset}
        return read(cursor, _AT_OFFSET.format(kept=KEPT), place)


def acknowledge(connection: Connection, choice: Choice, acknowledged_by: str, note: str) -> int:
    """Note of the records chosen that they may stay, so that nothing warns of them any more; return how many they are.

    Raises:
        psycopg2.Error: PostgreSQL refused; none is acknowledged.
    """
    with connection, connection.cursor() as cursor:
        statement = _ACKNOWLEDGE.format(chosen=CHOSEN)
        cursor.execute(statement, {**choice._asdict(), "acknowledged_by": acknowledged_by, "note": note})
        return cursor.rowcount


def read(cursor: Cursor, statement: Composed, parameters: Mapping[str, object]) -> list[Kept]:
    """Return the records of a statement that begins with KEPT."""
    cursor.execute(statement, parameters)
    return [
        Kept(UUID(topic_id), partition, log_epoch, Record(offset, _bytes(key), _bytes(value), appended_at), *rest)
        for topic_id, partition, log_epoch, offset, key, value, appended_at, *rest in cursor
    ]


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
