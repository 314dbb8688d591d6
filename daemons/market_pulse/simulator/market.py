"""An invented market: what a symbol's bars are at an instant, from a seed and nothing else.

A bar follows from (seed, symbol, interval, instant) alone, in every run and on every machine: all arithmetic is on
integers drawn from a hash. Prices are in 1/10000 of the currency unit, volumes in shares. Minutes are the only bars
that are invented; every longer bar is rolled up from them, and a bar that has not ended yet is the part of it that has
happened.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from market_pulse.contract import Interval
from market_pulse.sessions import Session, Sessions

TICKS = 10_000
_MINUTE = timedelta(minutes=1)
_start = attrgetter("start")
_DRAWN_PER_MINUTE = 5
# Outside the regular session most minutes have no trade, and then they have no bar.
_TRADED_OF_256_OUTSIDE = 96
# A minute moves the price by up to one part in so many, and by a quarter of that outside the regular session.
_MINUTE_MOVE = 2_000
# Over the weeks the price stays within one part in so many of the symbol's level.
_REACH = 10
# A session of minutes takes some 200 KiB, a day a few hundred bytes.
_REMEMBERED_SESSIONS = 256
_REMEMBERED_DAYS = 100_000


class SimulatedBar(NamedTuple):
    """One bar. Source: invented. Times: start of the bar, UTC. Prices in 1/10000, volume in shares."""

    start: datetime
    open: int
    high: int
    low: int
    close: int
    volume: int


class SimulatedMarket:
    """Bars of any symbol on an exchange's real sessions."""

    def __init__(self, seed: int, sessions: Sessions) -> None:
        """Found a market; markets with the same seed and sessions are the same market."""
        self._seed = seed
        self.sessions = sessions
        self._minutes = lru_cache(_REMEMBERED_SESSIONS)(self._invent)
        self._whole = lru_cache(_REMEMBERED_SESSIONS)(self._roll_session)
        self._day = lru_cache(_REMEMBERED_DAYS)(self._roll_day)

    def intraday(
        self, symbol: str, interval: Interval, instant: datetime, *, extended: bool = True
    ) -> Iterator[SimulatedBar]:
        """Yield a symbol's bars as they stand at `instant`, newest first; the first may still be forming."""
        for session in self.sessions.started(instant):
            if session.late_close <= instant:
                bars = self._whole(symbol, interval, session, extended=extended)
            else:
                bars = _roll_up(self._until(symbol, session, instant), session.window(extended=extended), interval)
            yield from reversed(bars)

    def daily(self, symbol: str, instant: datetime) -> Iterator[tuple[Session, SimulatedBar]]:
        """Yield a symbol's daily bars with their sessions, newest first: the regular session's minutes in one."""
        for session in self.sessions.started(instant):
            if session.close <= instant:
                yield session, self._day(symbol, session)
            elif session.open < instant:
                yield session, _merge(_within(self._until(symbol, session, instant), session.window(extended=False)))

    def _roll_session(
        self, symbol: str, interval: Interval, session: Session, *, extended: bool
    ) -> Sequence[SimulatedBar]:
        return _roll_up(self._minutes(symbol, session), session.window(extended=extended), interval)

    def _roll_day(self, symbol: str, session: Session) -> SimulatedBar:
        return _merge(_within(self._minutes(symbol, session), session.window(extended=False)))

    def _until(self, symbol: str, session: Session, instant: datetime) -> Sequence[SimulatedBar]:
        minutes = self._minutes(symbol, session)
        begun = list(minutes[: bisect_left(minutes, instant, key=_start)])
        if begun and begun[-1].start + _MINUTE > instant:
            begun[-1] = _forming(begun[-1], instant)
        return begun

    def _invent(self, symbol: str, session: Session) -> Sequence[SimulatedBar]:
        """Return a whole session's minutes: a random walk from this day's starting price to the next one's."""
        count = (session.late_close - session.early_open) // _MINUTE
        drawn = np.frombuffer(self._draw(symbol, f"session {session.date}", count * _DRAWN_PER_MINUTE * 2), "<u2")
        steps, wick_up, wick_down, size, traded = drawn.reshape(_DRAWN_PER_MINUTE, count).astype(np.int64)
        first, last = self._start_price(symbol, session), self._start_price(symbol, session, after=1)
        minute = np.arange(count)
        opening, closing = ((moment - session.early_open) // _MINUTE for moment in (session.open, session.close))
        inside = (minute >= opening) & (minute < closing)
        scale = np.where(inside, first // _MINUTE_MOVE + 1, first // (4 * _MINUTE_MOVE) + 1)
        walk = np.concatenate(([0], np.cumsum((steps - 0x7FFF) * scale // 0x7FFF)))
        bridge = (last - first - walk[-1]) * np.arange(count + 1) // count
        path = np.maximum(first + walk + bridge, TICKS // 100)
        opens, closes = path[:-1], path[1:]
        highs = np.maximum(opens, closes) + wick_up * scale // 0x1FFFF
        lows = np.maximum(np.minimum(opens, closes) - wick_down * scale // 0x1FFFF, 1)
        # Trading is busiest at both ends of the regular session.
        edge = np.minimum(np.abs(minute - opening), np.abs(closing - 1 - minute))
        busy = np.where(inside, 400 + 24_000 // (edge + 12), 6)
        volumes = 1 + size * busy // 0x3FFF
        exists = inside | (traded % 256 < _TRADED_OF_256_OUTSIDE)
        columns = (column[exists].tolist() for column in (minute, opens, highs, lows, closes, volumes))
        return tuple(
            SimulatedBar(session.early_open + place * _MINUTE, *values) for place, *values in zip(*columns, strict=True)
        )

    def _start_price(self, symbol: str, session: Session, *, after: int = 0) -> int:
        """Return the price at which a session's early trading starts: several slow waves around the symbol's level."""
        day = self.sessions.number(session) + after
        level = 20 * TICKS + self._number(symbol, "level") % (380 * TICKS)
        waves = sum(self._wave(symbol, day, length) * length for length in (5, 21, 84)) // (5 + 21 + 84)
        return level + level * waves // (0x8000 * _REACH)

    def _wave(self, symbol: str, day: int, length: int) -> int:
        """Return a value within ±0x8000 that moves evenly from one drawn height to the next every `length` days."""
        step, within = divmod(day, length)
        left, right = (self._number(symbol, f"wave {length} {step + ahead}") % 0x10000 - 0x8000 for ahead in (0, 1))
        return left + (right - left) * within // length

    def _number(self, symbol: str, purpose: str) -> int:
        return int.from_bytes(self._draw(symbol, purpose, 8), "little")

    def _draw(self, symbol: str, purpose: str, length: int) -> bytes:
        return hashlib.shake_256(f"{self._seed}/{symbol}/{purpose}".encode()).digest(length)


def _forming(bar: SimulatedBar, instant: datetime) -> SimulatedBar:
    """Return what has happened of a minute: its price goes from the open over both extremes to the close."""
    seconds = int((instant - bar.start).total_seconds())
    extremes = (bar.high, bar.low) if bar.volume % 2 else (bar.low, bar.high)
    stops = (bar.open, *extremes, bar.close)
    leg, within = divmod(seconds, 20)
    price = stops[leg] + (stops[leg + 1] - stops[leg]) * within // 20
    seen = (*stops[: leg + 1], price)
    return SimulatedBar(bar.start, bar.open, max(seen), min(seen), price, bar.volume * seconds // 60)


def _roll_up(
    minutes: Sequence[SimulatedBar], window: tuple[datetime, datetime], interval: Interval
) -> Sequence[SimulatedBar]:
    """Merge the minutes of a window into bars that start at whole multiples of the interval from the window's start."""
    inside, start = _within(minutes, window), window[0]
    if interval is Interval.ONE_MINUTE:
        return inside
    slots = groupby(inside, key=lambda bar: (bar.start - start) // interval.length)
    return tuple(_merge(list(bars))._replace(start=start + slot * interval.length) for slot, bars in slots)


def _within(bars: Sequence[SimulatedBar], window: tuple[datetime, datetime]) -> Sequence[SimulatedBar]:
    first, past = (bisect_left(bars, edge, key=_start) for edge in window)
    return bars[first:past]


def _merge(bars: Sequence[SimulatedBar]) -> SimulatedBar:
    return SimulatedBar(
        bars[0].start,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
    )
