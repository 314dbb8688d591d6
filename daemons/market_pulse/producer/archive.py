"""Every request to the vendor as it was answered, kept before anything is made of it.

One SQLite file per UTC day of market time, durable at every entry. A body is kept once per file, compressed, under its
SHA-256. What was taken later never stands in an earlier day's file, not even when a clock was set back: from the first
file to the last it is one log.
"""

import contextlib
import hashlib
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from market_pulse.contract import Cause
from market_pulse.producer.archive_file import (
    create,
    give_room,
    hold_room,
    naming,
    reading,
    refuse_foreign,
    refuse_unwritable,
)
from market_pulse.sources.base import Refusal, Request

FOLDER = "archive"
_SUFFIX = ".sqlite3"
# A day's pruning, which is a file a day where nothing is wrong.
_MOST_PRUNED = 7
_SELECT = "SELECT id, facts, sha256, deflated FROM entry LEFT JOIN body USING (sha256)"

Range = tuple[datetime, datetime]


class Place(NamedTuple):
    """Where an entry stands in the archive; places are ordered as the entries were taken."""

    day: str
    id: int


@dataclass(frozen=True)
class Archived:
    """One request as it is kept, with everything that decides what is told of it.

    Times are market time, `fetched_at` the one that the bars carry. `sha256` is that of `body`, None where no body
    came. Of the bars, only those that begin in `only` are told, if there is such a range. `is_again` marks an answer of
    which other bars were told before, under its own request id, `tells_all` one whose bars are told although they may
    have been told before. `settle` and `lag` decide which bars were complete.
    """

    request_id: str
    source: str
    cause: Cause
    request: Request
    asked_at: datetime
    fetched_at: datetime
    refusal: Refusal | None
    sha256: str | None
    body: bytes
    only: Range | None = None
    is_again: bool = False
    tells_all: bool = False
    settle: timedelta = timedelta(0)
    lag: timedelta = timedelta(0)


class Archive:
    """The files of one folder; one process adds to them, and any may read."""

    def __init__(self, folder: Path, keep_days: int) -> None:
        """Keep entries in a folder, which need not exist yet, for so many days."""
        self._folder = folder
        self._keep = timedelta(days=keep_days)
        self._written: tuple[Path, sqlite3.Connection] | None = None

    def add(self, entry: Archived) -> Place:
        """Keep an entry, durably; a request that is in the newest file already is not kept twice.

        Raises:
            StateError: it could not be kept, so nothing of it may be told.
        """
        path = self._newest_path(entry.fetched_at)
        with naming(path):
            try:
                return self._insert(path, entry)
            except sqlite3.OperationalError:
                # The disk has filled up since the call was sent: this is what room was held for.
                if not give_room(self._room):
                    raise
                return self._insert(path, entry)

    def reserve(self, now: datetime) -> None:
        """Make sure that the answer to a call which is about to be sent can be kept.

        Raises:
            StateError: it could not, so nothing may be spent on it.
        """
        path = self._newest_path(now)
        with naming(path):
            hold_room(self._room)
            refuse_unwritable(self._writing(path))

    def find(self, request_id: str) -> Archived | None:
        """Return the newest entry of a request, or None if it is not kept, or no longer.

        Raises:
            StateError: a file is damaged or not ours.
        """
        located = self.locate(request_id)
        return located and located[1]

    def locate(self, request_id: str) -> tuple[Path, Archived] | None:
        """Return the newest entry of a request with the file that holds it, or None if it is not kept, or no longer.

        Raises:
            StateError: a file is damaged or not ours.
        """
        for path in reversed(self._paths()):
            for _, entry in self._read(path, "request_id = ?", request_id):
                return path, entry
        return None

    def entries(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Archived]:
        """Yield what was fetched at `since` or later and before `until`, in the order in which it was taken.

        Raises:
            StateError: a file is damaged or not ours.
        """
        for _, entry in self.after(None):
            if (since is None or entry.fetched_at >= since) and (until is None or entry.fetched_at < until):
                yield entry

    def after(self, place: Place | None) -> Iterator[tuple[Place, Archived]]:
        """Yield with their places the entries that were taken after the one at a place, or all.

        Raises:
            StateError: a file is damaged or not ours.
        """
        day, last = place or Place("", 0)
        for path in self._paths():
            if path.stem >= day:
                yield from self._read(path, "id > ?", last if path.stem == day else 0)

    def end(self) -> Place:
        """Return the place of the newest entry; before the first one, a place that is before all.

        Raises:
            StateError: the newest file is damaged or not ours.
        """
        for path in self._paths()[-1:]:
            with naming(path), contextlib.closing(reading(path)) as connection:
                return Place(path.stem, connection.execute("SELECT coalesce(max(id), 0) FROM entry").fetchone()[0])
        return Place("", 0)

    def newest(self, request: Request, asked_since: datetime) -> Archived | None:
        """Return the newest answer with data to the same question, asked at `asked_since` or later; None without one.

        Raises:
            StateError: a file is damaged or not ours.
        """
        for path in reversed(self._paths()):
            # What was asked later is in no earlier file.
            if path < self._path(asked_since.date()):
                break
            same = (entry for _, entry in self._read(path, "question = ?", _json(request)))
            data = [entry for entry in same if entry.refusal is None and not entry.is_again]
            if data and data[-1].asked_at >= asked_since:
                return data[-1]
        return None

    def prune(self, now: datetime) -> int:
        """Delete the oldest files of days that need not be kept any more; return how many.

        What is old is so beside the newest file, whatever a clock says; and a wrong clock may have named that one, so
        that no more than a few go at once.
        """
        kept = self._paths()
        newest = min([now.date(), *(date.fromisoformat(path.stem) for path in kept[-1:])])
        old = [path for path in kept if path < self._path(newest - self._keep)][:_MOST_PRUNED]
        for path in old:
            with naming(path):
                for name in (f"{path.name}-wal", f"{path.name}-shm", path.name):
                    path.with_name(name).unlink(missing_ok=True)
        return len(old)

    def close(self) -> None:
        """Close the file that is written to."""
        if self._written is not None:
            self._written[1].close()
            self._written = None

    @property
    def _room(self) -> Path:
        return self._folder / "reserved"

    def _newest_path(self, moment: datetime) -> Path:
        return max([self._path(moment.date()), *self._paths()[-1:]])

    def _insert(self, path: Path, entry: Archived) -> Place:
        with self._writing(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            known = connection.execute("SELECT id FROM entry WHERE request_id = ?", (entry.request_id,)).fetchone()
            if known:
                return Place(path.stem, known[0])
            if entry.sha256 is not None:
                body = (entry.sha256, zlib.compress(entry.body))
                connection.execute("INSERT OR IGNORE INTO body VALUES (?, ?)", body)
            facts = _json(replace(entry, body=b""))
            values = (entry.request_id, _json(entry.request), entry.sha256, facts)
            statement = "INSERT INTO entry (request_id, question, sha256, facts) VALUES (?, ?, ?, ?)"
            return Place(path.stem, connection.execute(statement, values).lastrowid or 0)

    def _path(self, day: date) -> Path:
        return self._folder / f"{day}{_SUFFIX}"

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"[0-9]*-[0-9][0-9]-[0-9][0-9]{_SUFFIX}"))

    def _writing(self, path: Path) -> sqlite3.Connection:
        if self._written is None or self._written[0] != path:
            self.close()
            if not path.exists():
                create(path)
            connection = sqlite3.connect(path, isolation_level=None)
            self._written = (path, connection)
            refuse_foreign(connection, path)
            connection.execute("PRAGMA synchronous = FULL")
        return self._written[1]

    @staticmethod
    def _read(path: Path, condition: str, value: str | int) -> Iterator[tuple[Place, Archived]]:
        with naming(path), contextlib.closing(reading(path)) as connection:
            for number, *row in connection.execute(f"{_SELECT} WHERE {condition} ORDER BY id", (value,)):
                yield Place(path.stem, number), _entry(*row)


def _json(value: Archived | Request) -> str:
    return msgspec.json.encode(value).decode()


def _entry(facts: str, sha256: str | None, deflated: bytes | None) -> Archived:
    entry = msgspec.json.decode(facts, type=Archived)
    if sha256 is None:
        return entry
    body = zlib.decompress(deflated or b"")
    if hashlib.sha256(body).hexdigest() != sha256:
        raise zlib.error(f"the body of request {entry.request_id} is not the one that was kept")
    return replace(entry, body=body)
