"""What each table of `market` holds, as a number of rows and a digest, in a live server at an instant that WAL names.

A month is a table of its own, so its partition is compared by itself. Rows are taken as PostgreSQL writes them: every
digit and every zero counts.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import psycopg2.errors
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL, Identifier
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

_SCHEMA = "market"
# Partitions, and tables that have none.
_TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' ORDER BY relname
"""
_BARS = """
SELECT leaf.relname FROM pg_inherits INNER JOIN pg_class AS leaf ON leaf.oid = pg_inherits.inhrelid
WHERE pg_inherits.inhparent = 'market.bar'::regclass
"""
# As market.content_of does it for a file: sums of two whole numbers, which no order of the rows changes.
_CONTENT = SQL("""
SELECT
    count(*),
    coalesce(sum(('x' || left(digest, 16))::bit(64)::bigint), 0)::text
    || ' ' || coalesce(sum(('x' || substr(digest, 17, 16))::bit(64)::bigint), 0)::text
FROM (
    SELECT encode(sha256(convert_to(whole_row::text, 'UTF8')), 'hex') AS digest FROM ONLY {} AS whole_row
) AS digests
""")
# Shorter than the server waits before it looks for a deadlock, so that never a writer is the one to give way.
_LOCK_MILLISECONDS = 500
_PATIENCE = timedelta(minutes=10)
_LONGEST_PAUSE_SECONDS = 10


class Content(NamedTuple):
    """How many rows, and what they hold."""

    row_count: int
    digest: str


Contents = Mapping[str, Content]


class Marked(NamedTuple):
    """What the tables held at a restore point, how many of the rows are bars, and the WAL file that the point is in."""

    contents: Contents
    bars: int
    wal_file: str


def contents(cursor: Cursor, tables: Iterable[str]) -> dict[str, Content]:
    """Return what tables hold in the cursor's snapshot; one that does not exist is left out."""
    existing = set(_names(cursor))
    found = {}
    for table in tables:
        if table in existing:
            cursor.execute(_CONTENT.format(Identifier(_SCHEMA, table)))
            ((row_count, digest),) = cursor.fetchall()
            found[table] = Content(row_count, digest)
    return found


def mark(open_session: Callable[[], Connection], point: str) -> Marked:
    """Name an instant in the WAL of a server that others write to, and return what its tables held at exactly it.

    One session keeps writers out for the moment in which another takes its snapshot and writes the restore point: what
    was committed before has ended, and what comes after is behind the point. Then everybody goes on, and the snapshot
    is read for as long as it takes. Readers never wait.

    Raises:
        psycopg2.Error: the server refuses, or for ten minutes somebody was always writing.
    """
    with contextlib.closing(open_session()) as gate, contextlib.closing(open_session()) as reader:
        reader.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ)
        for attempt in _when_nobody_writes():
            with attempt:
                tables, wal_file = _mark_once(gate, reader, point)
        with gate, gate.cursor() as cursor:
            # Its file is archived now, not when it is full.
            cursor.execute("SELECT pg_switch_wal()")
        with reader, reader.cursor() as cursor:
            held = contents(cursor, tables)
            cursor.execute(_BARS)
            bars = sum(held[name].row_count for (name,) in cursor if name in held)
    return Marked(held, bars, wal_file)


def _mark_once(gate: Connection, reader: Connection, point: str) -> tuple[Sequence[str], str]:
    """Leave the reader with a snapshot of the point, in a transaction that keeps the tables from being dropped."""
    try:
        with gate.cursor() as writers, reader.cursor() as cursor:
            tables = _names(writers)
            names = SQL(", ").join(Identifier(_SCHEMA, table) for table in tables)
            writers.execute("SELECT set_config('lock_timeout', %s, true)", (f"{_LOCK_MILLISECONDS}ms",))
            writers.execute(SQL("LOCK TABLE {} IN SHARE MODE").format(names))
            cursor.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
            cursor.execute("SELECT pg_walfile_name(pg_create_restore_point(%s))", (point,))
            ((wal_file,),) = cursor.fetchall()
    except BaseException:
        reader.rollback()
        raise
    finally:
        gate.rollback()
    return tables, str(wal_file)


def _when_nobody_writes() -> Retrying:
    return Retrying(
        # A table may be dropped between the look at the catalogue and the lock.
        retry=retry_if_exception_type((psycopg2.errors.LockNotAvailable, psycopg2.errors.UndefinedTable)),
        stop=stop_after_delay(_PATIENCE),
        wait=wait_random_exponential(multiplier=0.1, max=_LONGEST_PAUSE_SECONDS),
        reraise=True,
    )


def _names(cursor: Cursor) -> list[str]:
    cursor.execute(_TABLES, (_SCHEMA,))
    return [name for (name,) in cursor]


def differences(live: Contents, restored: Contents) -> list[str]:
    """Return one sentence for each table of the live server that the restored one does not have alike."""
    found = []
    for table, content in live.items():
        other = restored.get(table)
        if other is None:
            found.append(f"{_SCHEMA}.{table} is missing in the restored backup")
        elif other.row_count != content.row_count:
            found.append(f"{_SCHEMA}.{table} has {content.row_count} rows and {other.row_count} in the restored backup")
        elif other != content:
            found.append(f"{_SCHEMA}.{table} has other values in the restored backup, in as many rows")
    return found
