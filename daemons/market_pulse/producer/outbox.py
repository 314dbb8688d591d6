"""Bars on their way to the broker: in here before anything is sent, out of here when the broker has confirmed them."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from market_pulse import contract
from market_pulse.contract import Bar
from market_pulse.producer.store import Store

_DIGEST_BYTES = 8


class Message(NamedTuple):
    """One bar that waits, in its form on the wire."""

    id: int
    symbol: str
    value: bytes


@dataclass(frozen=True)
class Poll:
    """The last answer about one symbol and interval, in market time.

    When it was asked for, its newest bar, and the `fetched_at` of its bars.
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
        """Return how many bars wait."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Return whether nothing may be added until something has left."""
        return self._waiting >= self._max_bars

    def add(self, bars: Sequence[Bar], asked_at: datetime) -> int:
        """Queue those bars of one answer that are new or differ from how they were last told; return how many.

        The answer is written down with them: a poll is done exactly when its bars are safe.
        """
        if not bars:
            return 0
        symbol, interval = bars[0].symbol, bars[0].interval
        oldest = min(_epoch(bar) for bar in bars)
        with self._store.transaction():
            seen = self._seen(symbol, interval, oldest)
            fresh = {_epoch(bar): bar for bar in bars if seen.get(_epoch(bar)) != _digest(bar)}
            self._queue([fresh[moment] for moment in sorted(fresh)])
            self._store.execute_many(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)",
                ((symbol, interval, moment, _digest(bar)) for moment, bar in fresh.items()),
            )
            # What lies before the newest answer's first bar is not told again by answers of its length.
            self._store.execute(
                "DELETE FROM seen WHERE symbol = ? AND interval = ? AND bar_time < ?", symbol, interval, oldest
            )
            self._store.execute(
                "INSERT OR REPLACE INTO poll VALUES (?, ?, ?, ?, ?)",
                symbol,
                interval,
                asked_at.isoformat(),
                max(bar.bar_time for bar in bars).isoformat(),
                bars[0].fetched_at.isoformat(),
            )
        self._waiting += len(fresh)
        return len(fresh)

    def add_again(self, bars: Sequence[Bar]) -> int:
        """Queue every bar, whatever was told before; return how many."""
        with self._store.transaction():
            self._queue(sorted(bars, key=_epoch))
        self._waiting += len(bars)
        return len(bars)

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
        """Return the last answer about a symbol that held bars."""
        statement = "SELECT asked_at, last_bar, fetched_at FROM poll WHERE symbol = ? AND interval = ?"
        row = self._store.execute(statement, symbol, interval).fetchone()
        return row and Poll(*map(datetime.fromisoformat, row))

    def _queue(self, bars: Sequence[Bar]) -> None:
        self._store.execute_many(
            "INSERT INTO outbox (symbol, message) VALUES (?, ?)", ((bar.symbol, contract.encode(bar)) for bar in bars)
        )

    def _seen(self, symbol: str, interval: str, oldest: int) -> dict[int, bytes]:
        statement = "SELECT bar_time, digest FROM seen WHERE symbol = ? AND interval = ? AND bar_time >= ?"
        return dict(self._store.execute(statement, symbol, interval, oldest).fetchall())


def _epoch(bar: Bar) -> int:
    return int(bar.bar_time.timestamp())


def _digest(bar: Bar) -> bytes:
    told = "|".join((bar.open, bar.high, bar.low, bar.close, bar.volume, str(bar.is_final)))
    return hashlib.blake2b(told.encode(), digest_size=_DIGEST_BYTES).digest()
