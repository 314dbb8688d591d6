"""Schemas made like `market`, to store the same bars a second time and compare.

The account is the keeper's, which owns what it makes: nothing here writes to `market`.
"""

import enum
import re
from datetime import datetime
from typing import NamedTuple

from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.sql import SQL, Composable, Identifier

from market_pulse.errors import StateError
from market_pulse_stream.decode import BAR_COLUMNS
from market_pulse_stream.statements import MARKET

_MOST_DIFFERENCES = 20
NAME = re.compile(r"(replay|rebuild)_[a-z0-9_]{1,50}")
_TABLES = ("bar", "bar_revision", "latest_bar", "quarantine", "batch", "stream_position", "answer")

# Digits and zeros count, so numbers are compared as they are written.
_WRITTEN = "ROW({columns})::text"
# The stored bars that what was read speaks for: those whose telling came through the offsets that the schema's ledger
# accounts for, and those of no telling.
_TOLD_BY_LOG = """
SELECT DISTINCT bar.symbol, bar.interval, bar.bar_time
FROM market.bar AS bar
LEFT JOIN market.bar_revision AS telling USING (symbol, interval, bar_time, fetched_at, request_id)
LEFT JOIN market.batch AS batch ON telling.partition = batch.partition AND telling.recorded_at = batch.recorded_at
LEFT JOIN (
    SELECT topic_id, partition, log_epoch, min(from_offset) AS first_offset, max(until_offset) AS until_offset
    FROM {schema}.batch
    GROUP BY topic_id, partition, log_epoch
) AS read
    ON batch.topic_id = read.topic_id AND batch.partition = read.partition AND batch.log_epoch = read.log_epoch
    AND telling.record_offset >= read.first_offset AND telling.record_offset < read.until_offset
WHERE telling.symbol IS NULL OR read.partition IS NOT NULL
"""
# Or whose answer was read.
_TOLD_BY_ARCHIVE = """
SELECT symbol, interval, bar_time FROM market.bar WHERE request_id IN (SELECT request_id FROM {schema}.answer)
"""
# A bar that the schema holds of an older telling than the stored one's is no difference; with the log, a newer one is.
_OR_NEWER = "OR coalesce((again.fetched_at, again.request_id) >= (stored.fetched_at, stored.request_id), false)"
_PAIRS = """
WITH spoken_for AS ({spoken_for}),

dropped AS (
    SELECT month FROM market.export WHERE parent = 'bar' AND dropped_at IS NOT NULL
),

answered AS (
    SELECT symbol, interval, max(fetched_at) AS until FROM market.answer GROUP BY symbol, interval
),

pair AS (
    SELECT
        symbol, interval, bar_time,
        CASE WHEN stored.symbol IS NOT NULL THEN {stored_as_text} END AS stored,
        CASE WHEN again.symbol IS NOT NULL THEN {again_as_text} END AS again,
        CASE
            WHEN date_trunc('month', bar_time AT TIME ZONE 'UTC') IN (SELECT month FROM dropped) THEN 'dropped'
            WHEN {is_on_its_way} THEN 'on_its_way'
            WHEN stored.symbol IS NOT NULL AND NOT (spoken_for.symbol IS NOT NULL {or_newer}) THEN 'not_read'
        END AS left_out
    FROM market.bar AS stored
    FULL JOIN {schema}.bar AS again USING (symbol, interval, bar_time)
    LEFT JOIN spoken_for USING (symbol, interval, bar_time)
    LEFT JOIN answered USING (symbol, interval)
)
"""
_IS_ON_ITS_WAY = "again.symbol IS NOT NULL AND again.fetched_at > coalesce(answered.until, '-infinity')"
_DIFFERENCES = """
SELECT symbol, interval, bar_time, stored, again FROM pair
WHERE left_out IS NULL AND stored IS DISTINCT FROM again
ORDER BY symbol, interval, bar_time
LIMIT %(limit)s
"""
_LEFT_OUT = "SELECT left_out, count(*) FROM pair WHERE left_out IS NOT NULL GROUP BY left_out"
# The sum of the digests' two halves, which no order changes.
_HASH = """
SELECT
    count(*),
    coalesce(sum(('x' || substr(digest, 1, 16))::bit(64)::bigint), 0),
    coalesce(sum(('x' || substr(digest, 17, 16))::bit(64)::bigint), 0)
FROM (SELECT md5(ROW({columns})::text) AS digest FROM {schema}.bar) AS digests
"""


class Difference(NamedTuple):
    """A bar that is not the same in `market` and in the scratch schema, each as text, or None where it is missing."""

    symbol: str
    interval: str
    bar_time: datetime
    stored: str | None
    again: str | None


class Read(enum.Enum):
    """What a scratch schema was filled from."""

    LOG = enum.auto()
    ARCHIVE = enum.auto()


class LeftOut(enum.Enum):
    """Why a bar is not compared; the value ends a sentence that begins with their number."""

    DROPPED = "of months that have left the database for files"
    NOT_READ = "told by what was not read: before it, or since"
    ON_ITS_WAY = "told by answers that are not stored yet"


class Comparison(NamedTuple):
    """The first bars that differ, and how many were not compared."""

    differences: list[Difference]
    left_out: dict[LeftOut, int]


def create(connection: Connection, schema: str) -> None:
    """Make an empty schema with the tables of the sink; committed.

    Raises:
        StateError: the name is not one of a scratch schema, or is taken.
        psycopg2.Error: PostgreSQL refused.
    """
    _check(schema)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,))
        if cursor.fetchone() is not None:
            raise StateError(f"schema {schema} exists already: choose another name, or drop it")
        cursor.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
        for table in _TABLES:
            names = Identifier(schema, table), Identifier(MARKET, table)
            cursor.execute(SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(*names))


def drop(connection: Connection, schema: str) -> None:
    """Remove a scratch schema and all that is in it; committed.

    Raises:
        StateError: the name is not one of a scratch schema.
        psycopg2.Error: PostgreSQL refused.
    """
    _check(schema)
    with connection, connection.cursor() as cursor:
        cursor.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))


def compare(connection: Connection, schema: str, read: Read) -> Comparison:
    """Compare the bars, byte for byte in every column of the contract, that what was read speaks for.

    The schema may hold a part of what was told: it is compared where the stored bar's own telling, or its answer, was
    read, and a bar that the schema holds beside may be older than the stored one.
    """
    _check(schema)
    name = {"schema": Identifier(schema)}
    by_log = read is Read.LOG
    pairs = SQL(_PAIRS).format(
        **name,
        spoken_for=SQL(_TOLD_BY_LOG if by_log else _TOLD_BY_ARCHIVE).format(**name),
        stored_as_text=_written("stored"),
        again_as_text=_written("again"),
        # What is read of the log was stored before.
        is_on_its_way=SQL("false" if by_log else _IS_ON_ITS_WAY),
        or_newer=SQL(_OR_NEWER if by_log else ""),
    )
    with connection, connection.cursor() as cursor:
        # Both look at the same bars, though more of them come.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = 0")
        cursor.execute(pairs + SQL(_LEFT_OUT))
        left_out = {LeftOut[name.upper()]: count for name, count in cursor}
        cursor.execute(pairs + SQL(_DIFFERENCES), {"limit": _MOST_DIFFERENCES})
        return Comparison([Difference(*row) for row in cursor], left_out)


def row_hash(connection: Connection, schema: str = MARKET) -> str:
    """Return how many bars a schema holds and a hash of all their columns, whatever their order, as one word."""
    if schema != MARKET:
        _check(schema)
    # Written as seconds, an instant looks the same in every session.
    columns = SQL(", ").join(
        SQL("extract(epoch FROM {})").format(Identifier(name))
        if name in {"bar_time", "fetched_at"}
        else Identifier(name)
        for name in BAR_COLUMNS
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(SQL(_HASH).format(columns=columns, schema=Identifier(schema)))
        count, first, second = cursor.fetchone() or (0, 0, 0)
    return f"{count}-{int(first) % 2**64:016x}{int(second) % 2**64:016x}"


def _written(alias: str) -> Composable:
    """Return the expression for all columns of a bar as one text; never null."""
    return SQL(_WRITTEN).format(columns=SQL(", ").join(Identifier(alias, name) for name in BAR_COLUMNS))


def _check(schema: str) -> None:
    if not NAME.fullmatch(schema):
        raise StateError(f"{schema!r} is not the name of a scratch schema; it looks like replay_1 or rebuild_1")
