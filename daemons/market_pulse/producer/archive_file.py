"""One file of the archive: a SQLite database that is ours, and errors that name it."""

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from market_pulse.errors import StateError

# "mpra" in the header tells such a file from any other.
_APPLICATION = 0x6D707261
_VERSION = 1
# Twice the largest answer, compressed: it is written to the log first, and to the file later.
_ROOM_BYTES = 16 * 1024 * 1024
_SCHEMA = f"""
BEGIN;
CREATE TABLE body (
    sha256 TEXT PRIMARY KEY, -- of the bytes before they were compressed
    deflated BLOB NOT NULL
);
CREATE TABLE entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    question TEXT NOT NULL, -- what was asked, as JSON
    sha256 TEXT REFERENCES body (sha256),
    facts TEXT NOT NULL -- everything but the body, as JSON
);
CREATE INDEX entry_question ON entry (question);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
COMMIT;
"""


def hold_room(path: Path) -> None:
    """Hold room on the disk for the next entries; `path` is a file of nothing, which `give_room` deletes again."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _ROOM_BYTES)
    finally:
        os.close(descriptor)


def give_room(path: Path) -> bool:
    """Give the room back that was held; return whether there was any."""
    if not path.exists():
        return False
    path.unlink()
    return True


def refuse_unwritable(connection: sqlite3.Connection) -> None:
    """Add an entry and take it back.

    Raises:
        sqlite3.Error: that cannot be done.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("INSERT INTO entry (request_id, question, facts) VALUES ('', '', '')")
    finally:
        connection.execute("ROLLBACK")


def create(path: Path) -> None:
    """Make an empty file; whoever finds one of its name finds it whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def reading(path: Path) -> sqlite3.Connection:
    """Open a file that is not changed by whoever reads it."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    refuse_foreign(connection, path)
    return connection


def refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not ours, or of another release.

    Raises:
        StateError: it is.
    """
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != _APPLICATION:
        raise StateError(f"{path} is no file of the archive: move it out of that folder")
    if version != _VERSION:
        raise StateError(f"{path} has version {version} of its tables; this release reads {_VERSION}")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into an error that names it and says what to do."""
    try:
        yield
    except (sqlite3.Error, OSError, zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(
            f"{path} cannot be used: {error}; make room if the disk is full, and else move the file away rather than"
            " delete it: it holds answers that were paid for"
        ) from error
