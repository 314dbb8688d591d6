"""The producer's memory: one SQLite file in the unit's state directory, durable at every commit."""

import contextlib
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
)
_VERSION = len(_SCRIPTS)


class Store:
    """A connection to the file, for one thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it.

        Raises:
            StateError: it is damaged, not ours, or from another release.
        """
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._prepare(path)
        except sqlite3.Error as error:
            raise StateError(
                f"{path} cannot be used: {error}; it holds bars not sent yet, so move it away rather than delete it"
            ) from error

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(statement, values)

    def execute_many(self, statement: str, rows: Iterator[tuple[object, ...]]) -> None:
        """Run one statement for many rows."""
        self._connection.executemany(statement, rows)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything in the block, or nothing of it; once it returns, a power cut cannot undo it."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _prepare(self, path: Path) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= version <= _VERSION:
            raise StateError(f"{path} has version {version} of its tables; this release reads {_VERSION}")
        if version < _VERSION:
            missing = " ".join(_SCRIPTS[version:])
            self._connection.executescript(f"BEGIN; {missing} PRAGMA user_version = {_VERSION}; COMMIT;")
