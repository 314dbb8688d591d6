"""Bars on their way to the broker: in here before anything is sent, out of here when the broker has confirmed them."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from market_pulse import contract
from market_pulse.contract import AnswerRecord, Bar
from market_pulse.producer.archive import Place
from market_pulse.producer.store import Store

_DIGEST_BYTES = 8
_FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)


class Message(NamedTuple):
    """One bar, or one answer's record, that waits in its form on the wire."""

    id: int
    symbol: str
    value: bytes


@dataclass(frozen=True)
class Poll:
    """The last poll of one symbol and interval, in market time.

    When it was asked, the newest bar so far, and the newest `fetched_at` that any bar was told with.
    """

    asked_at: datetime
    last_bar: datetime
    fetched_at: datetime


class Outbox:
    """A bounded, durable queue in the order in which the bars were told."""

    def __init__(self, store: Store, max_bars: int) -> None:
        """Keep up to about `max_bars`: whoever adds asks `full` before."""
        self._store = store
        self._max_bars = max_bars
        self._waiting: int = store.execute("SELECT count(*) FROM outbox").fetchone()[0]

    @property
    def waiting(self) -> int:
        """Return how many bars and records wait."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Return whether nothing may be added until something has left."""
        return self._waiting >= self._max_bars

    @property
    def half_full(self) -> bool:
        """Return whether the rest is kept for what is told live."""
        return 2 * self._waiting >= self._max_bars

    def fresh(self, bars: Sequence[Bar]) -> list[Bar]:
        """Return those bars of one answer that are new or differ from how they were last told, the oldest first."""
        ordered = sorted(bars, key=_epoch)
        if not ordered:
            return []
        statement = "SELECT bar_time, digest FROM seen WHERE symbol = ? AND interval = ? AND bar_time >= ?"
        edge = (ordered[0].symbol, ordered[0].interval, _epoch(ordered[0]))
        seen = dict(self._store.execute(statement, *edge).fetchall())
        return [bar for bar in ordered if seen.get(_epoch(bar)) != _digest(bar)]

    def take(
        self,
        bars: Sequence[Bar],
        record: AnswerRecord,
        *,
        seen_from: datetime | None = None,
        poll: Poll | None = None,
        place: Place | None = None,
    ) -> None:
        """Queue the bars of one answer and behind them its record, and write down what is known from now on.

        `seen_from` is from where on it is remembered how bars were told, None to remember nothing of these; `poll` is
        None for an answer that is no poll, `place` for one that is not in the archive. All of it is safe, or nothing.
        """
        key = (record.symbol, record.interval)
        with self._store.transaction():
            self._queue((*bars, record))
            if seen_from is not None:
                self._remember(key, bars, int(seen_from.timestamp()))
            if bars or poll:
                told_at = max(record.fetched_at, self.told_at(*key) or record.fetched_at)
                self._store.execute("INSERT OR REPLACE INTO telling VALUES (?, ?, ?)", *key, told_at.isoformat())
            if poll is not None:
                edges = (poll.asked_at.isoformat(), poll.last_bar.isoformat())
                self._store.execute("INSERT OR REPLACE INTO poll VALUES (?, ?, ?, ?)", *key, *edges)
            if place is not None:
                self.keep_place(place)
        self._waiting += len(bars) + 1

    def oldest(self, count: int) -> list[Message]:
        """Return the bars that have waited longest, in order."""
        rows = self._store.execute("SELECT id, symbol, message FROM outbox ORDER BY id LIMIT ?", count)
        return [Message(*row) for row in rows]

    def remove(self, confirmed: Collection[int]) -> None:
        """Let bars go, by their ids, that the broker has confirmed."""
        if confirmed:
            with self._store.transaction():
                self._store.execute_many("DELETE FROM outbox WHERE id = ?", ((id_,) for id_ in confirmed))
            self._waiting -= len(confirmed)

    def last_poll(self, symbol: str, interval: str) -> Poll | None:
        """Return the last poll of a symbol that brought bars."""
        statement = (
            "SELECT asked_at, last_bar, fetched_at FROM poll JOIN telling USING (symbol, interval)"
            " WHERE symbol = ? AND interval = ?"
        )
        row = self._store.execute(statement, symbol, interval).fetchone()
        return row and Poll(*map(datetime.fromisoformat, row))

    def told_at(self, symbol: str, interval: str) -> datetime | None:
        """Return the newest `fetched_at` that any bar of a symbol and interval was told with."""
        statement = "SELECT fetched_at FROM telling WHERE symbol = ? AND interval = ?"
        row = self._store.execute(statement, symbol, interval).fetchone()
        return row and datetime.fromisoformat(row[0])

    def forget(self, symbol: str, interval: str) -> None:
        """Forget how the bars of a symbol and interval were told, and when, so that all of them are told anew."""
        for table in ("seen", "telling"):
            self._store.execute(f"DELETE FROM {table} WHERE symbol = ? AND interval = ?", symbol, interval)  # noqa: S608

    def oldest_seen(self, symbol: str, interval: str) -> datetime | None:
        """Return from where on it is remembered how bars were told, None where nothing is."""
        statement = "SELECT min(bar_time) FROM seen WHERE symbol = ? AND interval = ?"
        (oldest,) = self._store.execute(statement, symbol, interval).fetchone()
        return oldest if oldest is None else _FIRST_MOMENT + timedelta(seconds=oldest)

    def place(self) -> Place | None:
        """Return up to where everything in the archive is in here, None before that was first said."""
        row = self._store.execute("SELECT day, id FROM archived").fetchone()
        return row and Place(*row)

    def keep_place(self, place: Place) -> None:
        """Say that everything in the archive is in here up to a place; it never moves back."""
        self.return_to(max(place, self.place() or place))

    def return_to(self, place: Place) -> None:
        """Say the same of an archive that ends at a place by now."""
        with self._store.transaction():
            self._store.execute("DELETE FROM archived")
            self._store.execute("INSERT INTO archived VALUES (?, ?)", *place)

    def _queue(self, records: Sequence[Bar | AnswerRecord]) -> None:
        self._store.execute_many(
            "INSERT INTO outbox (symbol, message) VALUES (?, ?)",
            ((record.symbol, contract.encode(record)) for record in records),
        )

    def _remember(self, key: tuple[str, str], bars: Sequence[Bar], oldest: int) -> None:
        self._store.execute_many(
            "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)",
            ((*key, _epoch(bar), _digest(bar)) for bar in bars if _epoch(bar) >= oldest),
        )
        # What lies before an answer's first bar is not told again by answers of its length.
        self._store.execute("DELETE FROM seen WHERE symbol = ? AND interval = ? AND bar_time < ?", *key, oldest)


def _epoch(bar: Bar) -> int:
    return int(bar.bar_time.timestamp())


def _digest(bar: Bar) -> bytes:
    # A bar of the future is refused by the contract; once its time has come, it has to be told again.
    told = "|".join((bar.open, bar.high, bar.low, bar.close, bar.volume, str(bar.is_final)))
    if bar.bar_time > bar.fetched_at:
        told += "|future"
    return hashlib.blake2b(told.encode(), digest_size=_DIGEST_BYTES).digest()
