"""Alpha Vantage, or the simulator that speaks its API: only the address and the name differ."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from market_pulse import log
from market_pulse.clock import Clock
from market_pulse.contract import Interval
from market_pulse.settings import Plan
from market_pulse.sources.answers import parse
from market_pulse.sources.base import Answer, Cadence, Function, Limits, Offer, Refusal, RefusedError, Request
from market_pulse.sources.http import CLOCKS_DIFFER_SECONDS, HttpClient, HttpError
from market_pulse.sources.redact import Redactor

# The vendor's free key: 25 calls a day and one a second, with a little air for the way there.
FREE_LIMITS = Limits(per_day=25, gap=timedelta(seconds=1.1))
_ENTITLEMENTS = {Plan.DELAYED: "delayed", Plan.PREMIUM: "realtime"}
_DELAY = timedelta(minutes=15)
# Without an entitlement the data end with the last session that is over, four hours of late trading included.
_UNENTITLED_DELAY = timedelta(hours=4)
_DEADLINE_SECONDS = 5
# A month of minutes is about 4 MB, which 2 Mbit/s bring within a round that the watchdog waits for.
_LONG_DEADLINE_SECONDS = 15
_MAX_BYTES = 32 * 1024 * 1024
# More of a refusal is not kept: it is no data, and may be anything.
_MAX_REFUSAL_BYTES = 1024 * 1024
_TOO_MANY_REQUESTS = 429

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Account:
    """Whose calls these are: the key, what it is entitled to, and whether to ask for extended hours."""

    api_key: str = field(repr=False)
    plan: Plan
    calls_per_minute: int
    extended: bool


class AlphaVantage:
    """A source that asks over HTTP."""

    def __init__(self, name: str, address: str, account: Account, clock: Clock) -> None:
        """Ask at an address, such as ``https://www.alphavantage.co``, on an account."""
        self.name = name
        self._account = account
        self._clock = clock
        self._redactor = Redactor(account.api_key)
        self._is_ahead = False
        self._http = HttpClient(address, deadline_seconds=_DEADLINE_SECONDS, max_bytes=_MAX_BYTES)

    def limits(self) -> Limits:
        """Return what the plan allows."""
        return FREE_LIMITS if self._account.plan is Plan.FREE else Limits(per_minute=self._account.calls_per_minute)

    def offer(self, symbols: Sequence[str], interval: Interval) -> Offer:
        """Return what the plan serves."""
        return offered(self._account.plan, symbols, interval)

    def fetch(self, request: Request) -> Answer:
        """Ask once.

        Raises:
            RefusedError: there is no data in the answer, or no answer.
        """
        asked = self._clock.now()
        deadline = _LONG_DEADLINE_SECONDS if request.full else None
        try:
            # Nobody sees the body before the key is out of it.
            body = self._redactor.body(self._http.get("/query", self.query(request), deadline_seconds=deadline))
        except HttpError as error:
            refusal = Refusal.BURST if error.status == _TOO_MANY_REQUESTS else Refusal.VENDOR_ERROR
            error_body = self._redactor.body(error.body)
            raise self._refused(refusal, str(error), error_body, self._by_the_vendor(asked), is_answer=False) from None
        fetched = self._clock.now()
        asked_at, fetched_at = self._by_the_vendor(asked), self._by_the_vendor(fetched)
        try:
            series = parse(body, request, fetched_at)
        except RefusedError as error:
            raise self._refused(error.refusal, str(error), body, asked_at) from None
        newest = max((row.bar_time for row in series.rows if fetched_at < row.bar_time <= fetched), default=None)
        if newest is not None and self._clock.real_seconds(fetched_at, newest) <= CLOCKS_DIFFER_SECONDS:
            # The vendor's date is rounded: its bar has begun.
            fetched_at = newest
        elif newest is not None:
            # Who tells a bar after this instant is not as late as that: the vendor's clock is the wrong one.
            asked_at, fetched_at = asked, fetched
        return Answer(request, uuid.uuid4().hex, asked_at, fetched_at, series, body)

    def _by_the_vendor(self, moment: datetime) -> datetime:
        """Return an instant by the vendor's clock, where this host's is ahead of it.

        What is told from a time that has not come is refused by the sink, or stands against what is told later.
        """
        ahead = self._http.ahead
        if (ahead > 0) != self._is_ahead:
            self._is_ahead = ahead > 0
            if ahead:
                log.event(_log, logging.ERROR, "clock ahead of the vendor's", seconds=round(ahead))
            else:
                log.event(_log, logging.INFO, "clock agrees with the vendor's again")
        return self._clock.after(moment, -ahead) if ahead else moment

    def query(self, request: Request) -> dict[str, str]:
        """Return the parameters of a request, in the order in which they are sent."""
        query = {"function": request.function.value, "symbol": request.symbol}
        if request.function is Function.INTRADAY:
            query["interval"] = request.interval.value
            # Raw prices, as traded: an adjusted one would change with every later split.
            query["adjusted"] = "false"
            query["extended_hours"] = "true" if self._account.extended else "false"
            if request.month:
                query["month"] = request.month
        if request.function is not Function.QUOTE:
            query["outputsize"] = "full" if request.full else "compact"
        if self._account.plan in _ENTITLEMENTS:
            query["entitlement"] = _ENTITLEMENTS[self._account.plan]
        query["datatype"] = request.datatype.value
        query["apikey"] = self._account.api_key
        return query

    def _refused(
        self, refusal: Refusal, sentence: str, body: bytes, asked_at: datetime, *, is_answer: bool = True
    ) -> RefusedError:
        # Once more, for a sentence is decoded text, in which an escaped key would be plain again.
        kept = body[:_MAX_REFUSAL_BYTES]
        return RefusedError(refusal, self._redactor.text(sentence), kept, is_answer=is_answer, asked_at=asked_at)


def offered(plan: Plan, symbols: Sequence[str], interval: Interval) -> Offer:
    """Return intraday bars for a paid plan, and for a free one what it has instead: daily bars after the close."""
    if plan is Plan.FREE or interval is Interval.DAILY:
        requests = tuple(Request(Function.DAILY, symbol, Interval.DAILY) for symbol in symbols)
        if plan is Plan.FREE:
            # Its quotes are of a day that is over, and tell nothing that the daily answers do not.
            return Offer(requests, Cadence.AFTER_CLOSE, _UNENTITLED_DELAY, long_answers=False)
        return Offer(requests, Cadence.AFTER_CLOSE)
    requests = tuple(Request(Function.INTRADAY, symbol, interval) for symbol in symbols)
    return Offer(requests, Cadence.EVERY_BAR, _DELAY if plan is Plan.DELAYED else timedelta(0))
