"""The producer's memory: one SQLite file in the unit's state directory, durable at every commit."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from market_pulse.errors import StateError

NAME = "producer.sqlite3"
_FIRST_SCHEMA = """
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    symbol TEXT NOT NULL,
    message BLOB NOT NULL
);
CREATE TABLE seen (
    symbol TEXT NOT NULL,
    interval TEXT NOT NULL,
    bar_time INTEGER NOT NULL, -- seconds since 1970, UTC
    digest BLOB NOT NULL,
    PRIMARY KEY (symbol, interval, bar_time)
) WITHOUT ROWID;
CREATE TABLE poll (
    symbol TEXT NOT NULL,
    interval TEXT NOT NULL,
    asked_at TEXT NOT NULL, -- market time, ISO 8601
    last_bar TEXT NOT NULL,
    PRIMARY KEY (symbol, interval)
) WITHOUT ROWID;
CREATE TABLE call (
    at TEXT NOT NULL -- market time, ISO 8601
);
CREATE TABLE day (
    day TEXT PRIMARY KEY, -- the vendor's day
    calls INTEGER NOT NULL,
    spent INTEGER NOT NULL -- 1 once the vendor has said so
) WITHOUT ROWID;
"""
# One script per release of the tables; a file of an earlier release gets those that it has not seen.
_SCRIPTS = (
    _FIRST_SCHEMA,
    # Market time, ISO 8601: what the bars of the last answer carry.
    "ALTER TABLE poll ADD COLUMN fetched_at TEXT NOT NULL DEFAULT '1970-01-01T00:00:00+00:00';",
    # Repairs and backfills tell bars, too, without being the last poll.
    """
CREATE TABLE telling (
    symbol TEXT NOT NULL,
    interval TEXT NOT NULL,
    fetched_at TEXT NOT NULL, -- market time, ISO 8601: the newest that any bar carries
    PRIMARY KEY (symbol, interval)
) WITHOUT ROWID;
INSERT INTO telling SELECT symbol, interval, fetched_at FROM poll;
ALTER TABLE poll DROP COLUMN fetched_at;
CREATE TABLE archived (
    day TEXT NOT NULL, -- the place in the archive up to which everything is in here
    id INTEGER NOT NULL
);
""",
    """
CREATE TABLE backlog (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- of one part for ever: an answer on its way closes no other
    symbol TEXT NOT NULL,
    interval TEXT NOT NULL,
    month TEXT NOT NULL, -- of the exchange's time, YYYY-MM; empty for the daily answer
    starts_at TEXT NOT NULL, -- the wanted bars begin here or later, UTC, ISO 8601,
    ends_at TEXT NOT NULL, -- and before this
    cause TEXT NOT NULL, -- repair or backfill
    state TEXT NOT NULL, -- open, done or given up
    reason TEXT NOT NULL,
    opened_at TEXT NOT NULL, -- market time, ISO 8601, as the two that follow
    asked_since TEXT NOT NULL, -- an answer from before this does not count
    not_before TEXT NOT NULL,
    chances INTEGER NOT NULL, -- to be asked again if the answer lacks some of the range
    again INTEGER NOT NULL, -- 1 to tell the bars whatever was told before
    attempts INTEGER NOT NULL,
    denied INTEGER NOT NULL, -- the attempts that the vendor itself answered
    told INTEGER NOT NULL,
    request_id TEXT NOT NULL -- of the answer
);
CREATE INDEX backlog_symbol ON backlog (symbol, interval, month);
CREATE TABLE quota_note (
    day TEXT NOT NULL, -- the vendor's day
    symbol TEXT NOT NULL,
    interval TEXT NOT NULL,
    PRIMARY KEY (day, symbol, interval)
) WITHOUT ROWID;
    """,
)
_VERSION = len(_SCRIPTS)


class Store:
    """A connection to the file, for one thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it.

        Raises:
            StateError: it is damaged, not ours, or from another release.
        """
        self._path = path
        with self._naming():
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._prepare(path)

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Run one statement.

        Raises:
            StateError: the file cannot be written, or another process does not let go of it.
        """
        with self._naming():
            return self._connection.execute(statement, values)

    def execute_many(self, statement: str, rows: Iterator[tuple[object, ...]]) -> None:
        """Run one statement for many rows."""
        with self._naming():
            self._connection.executemany(statement, rows)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything in the block, or nothing of it; once it returns, a power cut cannot undo it.

        A block inside another one is a part of it.
        """
        if self._connection.in_transaction:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            # Does nothing where a full disk has rolled it back already.
            self._connection.rollback()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        """Turn what goes wrong with the file into an error that names it and says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            folder = self._path.parent
            # SQLite says of a file system that was mounted anew to be read that it cannot open the file.
            writable = "make room if the disk is full, try again if locked"
            way_out = writable if os.access(folder, os.W_OK) else f"{folder} is read-only: let this user write there"
            raise StateError(f"{self._path}: {error}; {way_out}") from error
        except sqlite3.Error as error:
            what = f"{self._path} cannot be used: {error}"
            raise StateError(f"{what}; it holds bars not sent yet, so move it away rather than delete it") from error

    def _prepare(self, path: Path) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= version <= _VERSION:
            raise StateError(f"{path} has version {version} of its tables; this release reads {_VERSION}")
        if version < _VERSION:
            missing = " ".join(_SCRIPTS[version:])
            self._connection.executescript(f"BEGIN; {missing} PRAGMA user_version = {_VERSION}; COMMIT;")
