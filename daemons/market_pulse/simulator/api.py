"""The vendor's API without HTTP: parameters and an instant in, the reply out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from itertools import islice, takewhile
from typing import TypeVar

from market_pulse.contract import Interval
from market_pulse.settings import Plan
from market_pulse.simulator import wire
from market_pulse.simulator.market import SimulatedMarket
from market_pulse.simulator.quota import FREE_CALLS_PER_DAY, Quota, Verdict
from market_pulse.simulator.wire import Quote, Reply, Row

_Item = TypeVar("_Item")
_COMPACT_ROWS = 100
_FULL_INTRADAY = timedelta(days=30)
_DELAY = timedelta(minutes=15)
_CHOICES = {
    "datatype": ("json", "csv"),
    "outputsize": ("compact", "full"),
    "adjusted": ("true", "false"),
    "extended_hours": ("true", "false"),
    "entitlement": ("", "realtime", "delayed"),
}
_ENTITLED = {
    Plan.FREE: frozenset({""}),
    Plan.DELAYED: frozenset({"", "delayed"}),
    Plan.PREMIUM: frozenset({"", "delayed", "realtime"}),
}


class _BadCallError(Exception):
    """A parameter makes no sense; the vendor says no more than that."""


@dataclass(frozen=True)
class Terms:
    """Who may ask for what."""

    api_key: str
    symbols: frozenset[str]
    plan: Plan
    calls_per_minute: int


class VendorApi:
    """Answers queries about a simulated market under the terms of one key."""

    def __init__(self, market: SimulatedMarket, terms: Terms) -> None:
        """Serve a market to the holder of one key."""
        self._market = market
        self._terms = terms
        self._zone = market.sessions.zone
        self._quota = Quota(terms.plan, terms.calls_per_minute, self._zone)
        self._functions = {
            "TIME_SERIES_INTRADAY": self._intraday,
            "TIME_SERIES_DAILY": self._daily,
            "GLOBAL_QUOTE": self._quote,
        }

    def reply(self, query: Mapping[str, str], now: datetime) -> Reply:
        """Return the reply to a query at an instant of market time."""
        function = query.get("function", "")
        if not compare_digest(query.get("apikey", "").encode(), self._terms.api_key.encode()):
            return wire.bad_key()
        verdict = self._quota.ask(now)
        if verdict is not Verdict.GRANTED:
            return self._quota_refusal(verdict)
        if function not in self._functions:
            return wire.bad_function(function if function.replace("_", "").isalnum() else "")
        try:
            options = {name: _choice(query, name) for name in _CHOICES}
            if options["entitlement"] not in _ENTITLED[self._terms.plan]:
                return wire.premium_endpoint()
            return self._functions[function](query, options, self._known_until(options["entitlement"], now))
        except _BadCallError:
            return wire.bad_call(function)

    def _quota_refusal(self, verdict: Verdict) -> Reply:
        if verdict is Verdict.DAY_SPENT:
            return wire.day_spent(self._terms.api_key, FREE_CALLS_PER_DAY)
        free = self._terms.plan is Plan.FREE
        return wire.too_fast(FREE_CALLS_PER_DAY) if free else wire.too_many_a_minute(self._terms.calls_per_minute)

    def _known_until(self, entitlement: str, now: datetime) -> datetime:
        """Return the instant up to which the data reach: now, some minutes ago, or the end of the last session."""
        if entitlement:
            return now if entitlement == "realtime" else now - _DELAY
        return next(session.late_close for session in self._market.sessions.started(now) if session.late_close <= now)

    def _intraday(self, query: Mapping[str, str], options: Mapping[str, str], until: datetime) -> Reply:
        if self._terms.plan is Plan.FREE:
            return wire.premium_endpoint()
        symbol, interval = self._symbol(query), _interval(query)
        compact = options["outputsize"] == "compact"
        since, until = self._month(query, until)
        bars = self._market.intraday(symbol, interval, until, extended=options["extended_hours"] == "true")
        rows = [
            Row(wire.wall_time(bar.start.astimezone(self._zone)), bar)
            for bar in _newest(takewhile(lambda bar: bar.start >= since, bars), compact=compact)
        ]
        if options["datatype"] == "csv":
            return wire.series_csv(f"intraday_{interval}_{symbol}.csv", rows)
        meta = (
            ("Information", f"Intraday ({interval}) open, high, low, close prices and volume"),
            ("Symbol", symbol),
            ("Last Refreshed", rows[0].label if rows else ""),
            ("Interval", interval.value),
            ("Output Size", _size_name(compact=compact)),
            ("Time Zone", wire.ZONE_NAME),
        )
        return wire.series_json(meta, f"Time Series ({interval})", rows)

    def _daily(self, query: Mapping[str, str], options: Mapping[str, str], until: datetime) -> Reply:
        symbol, compact = self._symbol(query), options["outputsize"] == "compact"
        if self._terms.plan is Plan.FREE and not compact:
            return wire.premium_outputsize("TIME_SERIES_DAILY")
        days = list(_newest(self._market.daily(symbol, until), compact=compact))
        rows = [Row(session.date.isoformat(), bar) for session, bar in days]
        if options["datatype"] == "csv":
            return wire.series_csv(f"daily_{symbol}.csv", rows)
        # The row of a day that is still trading is unfinished, and only then the vendor adds the time.
        unfinished = bool(days) and days[0][0].close > until
        meta = (
            ("Information", "Daily Prices (open, high, low, close) and Volumes"),
            ("Symbol", symbol),
            ("Last Refreshed", wire.wall_time(until.astimezone(self._zone)) if unfinished else rows[0].label),
            ("Output Size", _size_name(compact=compact)),
            ("Time Zone", wire.ZONE_NAME),
        )
        return wire.series_json(meta, "Time Series (Daily)", rows)

    def _quote(self, query: Mapping[str, str], options: Mapping[str, str], until: datetime) -> Reply:
        delayed = options["entitlement"] == "delayed"
        key = "Global Quote - DATA DELAYED BY 15 MINUTES" if delayed else "Global Quote"
        quote = None
        if query.get("symbol", "") in self._terms.symbols:
            (session, today), (_, before) = islice(self._market.daily(query["symbol"], until), 2)
            quote = Quote(query["symbol"], session.date.isoformat(), today, before.close)
        return wire.quote_csv(quote) if options["datatype"] == "csv" else wire.quote_json(key, quote)

    def _symbol(self, query: Mapping[str, str]) -> str:
        symbol = query.get("symbol", "")
        if symbol not in self._terms.symbols:
            raise _BadCallError
        return symbol

    def _month(self, query: Mapping[str, str], until: datetime) -> tuple[datetime, datetime]:
        """Return from when to when an intraday answer reaches: the month that was asked for, or the last 30 days."""
        if "month" not in query:
            return until - _FULL_INTRADAY, until
        try:
            first = datetime.strptime(query["month"], "%Y-%m").replace(tzinfo=self._zone)
        except ValueError:
            raise _BadCallError from None
        following = (first + timedelta(days=31)).replace(day=1)
        since, past = first.astimezone(UTC), following.astimezone(UTC)
        if not self._market.sessions.days[0].early_open <= since <= until:
            raise _BadCallError
        return since, min(past, until)


def _choice(query: Mapping[str, str], name: str) -> str:
    allowed = _CHOICES[name]
    chosen = query.get(name, allowed[0])
    if chosen not in allowed:
        raise _BadCallError
    return chosen


def _interval(query: Mapping[str, str]) -> Interval:
    try:
        interval = Interval(query.get("interval", ""))
    except ValueError:
        raise _BadCallError from None
    if interval is Interval.DAILY:
        raise _BadCallError
    return interval


def _newest(rows: Iterable[_Item], *, compact: bool) -> Iterator[_Item]:
    return islice(rows, _COMPACT_ROWS if compact else None)


def _size_name(*, compact: bool) -> str:
    return "Compact" if compact else "Full size"
