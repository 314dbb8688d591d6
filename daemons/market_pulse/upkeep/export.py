"""Old months leave the database for files: written, read back, compared, and only then dropped.

Each step may be the last one before a power cut. What the next run finds is one of: nothing; a file without an account,
which is taken if it holds exactly the month, and else left alone; an account of a verified file, whose month is dropped
if both are still the same, and else exported again as its next part, after which the file of the first, whose rows are
all in the database still, is removed. No file is ever written over. A month is dropped by the database itself, which
compares the rows with the account, and under its lock asks whether they have changed since.
"""

import contextlib
import json
import logging
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from market_pulse import log
from market_pulse.errors import StateError
from market_pulse.keeper import rows
from market_pulse.upkeep import parquet
from market_pulse.upkeep.content import Content
from market_pulse.upkeep.partitions import Month, when_others_let

_ROWS_AT_ONCE = 20_000
_ATTEMPTS = 3
_MONTHS = "SELECT parent, month FROM market.months_before(%s)"
_CONTENT = "SELECT row_count, content FROM market.content_of(%s, %s)"
_PARTS = """
SELECT part, file, row_count, content, sha256, dropped_at IS NOT NULL FROM market.export
WHERE parent = %s AND month = %s ORDER BY part
"""
_NOTE = """
INSERT INTO market.export (parent, month, part, file, row_count, content, sha256) VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_VERIFY = "SELECT market.verify_export(%s, %s, %s)"
_DROP = "SELECT market.drop_month(%s, %s, %s, %s)"

_log = logging.getLogger(__name__)


class Part(NamedTuple):
    """A verified file of a month, as the database accounts for it."""

    part: int
    file: str
    content: Content
    sha256: str
    is_dropped: bool


@dataclass(frozen=True)
class Exporter:
    """Exports what ended before `edge` to a folder, over one connection, whose transactions it begins and ends."""

    connection: Connection
    folder: Path
    edge: datetime

    def months(self) -> list[Month]:
        """Return the months that are to leave, the oldest first."""
        with self.connection, self.connection.cursor() as cursor:
            return [Month(*row) for row in rows(cursor, _MONTHS, self.edge)]

    def export(self, month: Month) -> None:
        """Write a month to a file, if it has any rows, and drop it.

        Raises:
            StateError: the file does not hold what was written to it.
            psycopg2.Error: the database refused; the month stays.
            pyarrow.ArrowInvalid: the file cannot keep a price; the month stays.
        """
        # A revision that came in the meantime belongs into the file.
        changed = retry_if_exception_type(psycopg2.errors.ObjectNotInPrerequisiteState)
        for attempt in Retrying(retry=changed, stop=stop_after_attempt(_ATTEMPTS), reraise=True):
            with attempt:
                part = self._verified(month)
                self._drop(month, part)
        log.event(_log, logging.INFO, "month exported" if part else "empty month dropped", month=month.name, part=part)

    def _verified(self, month: Month) -> int | None:
        """Return the part that holds exactly the month's rows, after writing it if there is none; None without rows."""
        with self.connection, self.connection.cursor() as cursor:
            # What is counted is what is written.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            stored = Content(*rows(cursor, _CONTENT, *month)[0])
            parts = [
                Part(part, file, Content(count, digest), sha256, dropped)
                for part, file, count, digest, sha256, dropped in rows(cursor, _PARTS, *month)
            ]
            number = next((part.part for part in parts if self._holds(part, stored)), None)
            fresh = None
            if number is None and stored.row_count:
                number, fresh = self._write(month, stored, max((part.part for part in parts), default=0) + 1)
        if number is None:
            return None
        if fresh is not None:
            self._account_for(month, number, fresh, stored)
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(_VERIFY, (*month, number))
        for part in parts:
            if part.part != number and not part.is_dropped:
                self._remove(part)
        return number

    def _write(self, month: Month, stored: Content, number: int) -> tuple[int, Path]:
        """Write the month to the next free name; return which part it is and where it is, until it is accounted for."""
        while (path := self._path(month, number)).exists():
            if _manifest_content(path) == stored:
                return number, path
            number += 1
        fresh = path.with_suffix(".new")
        self.folder.mkdir(mode=0o700, exist_ok=True)
        _sync(self.folder.parent)
        with contextlib.closing(self._rows(month)) as batches:
            parquet.write(fresh, month.parent, batches)
        return number, fresh

    def _account_for(self, month: Month, number: int, written: Path, stored: Content) -> None:
        """Read a file back, give it its name, and note in the database what it holds."""
        path = self._path(month, number)
        _require(written, stored)
        sha256 = parquet.sha256(written)
        _write_manifest(path, month, stored, sha256)
        written.replace(path)
        _sync(self.folder)
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(_NOTE, (*month, number, path.name, *stored, sha256))

    def _holds(self, part: Part, stored: Content) -> bool:
        path = self.folder / part.file
        is_of_these_rows = not part.is_dropped and part.content == stored
        return is_of_these_rows and path.exists() and parquet.sha256(path) == part.sha256

    def _remove(self, part: Part) -> None:
        """Take away a file whose rows have never left the database, so that nobody reads them twice."""
        path = self.folder / part.file
        for file in (path, _manifest(path)):
            file.unlink(missing_ok=True)
        log.event(_log, logging.INFO, "file removed, for its month has changed", file=part.file)

    def _rows(self, month: Month) -> Generator[Sequence[Sequence[object]], None, None]:
        """Yield the month's rows in batches, in the snapshot of the transaction that is under way."""
        columns = ", ".join(parquet.SCHEMAS[month.parent].names)
        with self.connection.cursor(name="export") as cursor:
            cursor.execute(f"SELECT {columns} FROM market.{month.name} ORDER BY symbol, interval, bar_time")  # noqa: S608 - names from the schema and the catalogue
            while batch := cursor.fetchmany(_ROWS_AT_ONCE):
                yield batch

    def _drop(self, month: Month, part: int | None) -> None:
        for attempt in when_others_let(month):
            with attempt, self.connection, self.connection.cursor() as cursor:
                cursor.execute(_DROP, (*month, part, self.edge))

    def _path(self, month: Month, part: int) -> Path:
        return self.folder / f"{month.name}{f'.{part}' if part > 1 else ''}.parquet"


def _require(path: Path, stored: Content) -> None:
    found = parquet.content(path)
    if found != stored:
        raise StateError(
            f"{path} was written with {stored.row_count} rows and reads back as {found.row_count} with content "
            f"{found.digest} instead of {stored.digest}: nothing is dropped"
        )


def _manifest(path: Path) -> Path:
    return path.with_suffix(".json")


def _manifest_content(path: Path) -> Content | None:
    try:
        manifest = json.loads(_manifest(path).read_text(encoding="utf-8"))
        return Content(manifest["rows"], manifest["content"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _write_manifest(path: Path, month: Month, stored: Content, sha256: str) -> None:
    """Say beside a file what is in it; the manifest is complete or absent."""
    schema = parquet.SCHEMAS[month.parent]
    manifest = {
        "table": f"market.{month.parent}",
        "month": f"{month.month:%Y-%m}",
        "rows": stored.row_count,
        "content": stored.digest,
        "sha256": sha256,
        "columns": {field.name: str(field.type) for field in schema},
    }
    fresh = path.with_suffix(".json.new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(_manifest(path))


def _sync(folder: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
