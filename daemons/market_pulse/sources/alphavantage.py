"""Alpha Vantage, or the simulator that speaks its API: only the address and the name differ."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from market_pulse.clock import Clock
from market_pulse.contract import Interval
from market_pulse.settings import Plan
from market_pulse.sources.answers import parse
from market_pulse.sources.base import Answer, Cadence, Function, Limits, Offer, Refusal, RefusedError, Request
from market_pulse.sources.http import HttpClient, HttpError

# The vendor's free key: 25 calls a day and one a second, with a little air for the way there.
_FREE_LIMITS = Limits(per_day=25, gap=timedelta(seconds=1.1))
_ENTITLEMENTS = {Plan.DELAYED: "delayed", Plan.PREMIUM: "realtime"}
_DELAY = timedelta(minutes=15)
_DEADLINE_SECONDS = 5
# A month of minutes is about 4 MB.
_MAX_BYTES = 32 * 1024 * 1024


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
        self._http = HttpClient(address, deadline_seconds=_DEADLINE_SECONDS, max_bytes=_MAX_BYTES)

    def limits(self) -> Limits:
        """Return what the plan allows."""
        return _FREE_LIMITS if self._account.plan is Plan.FREE else Limits(per_minute=self._account.calls_per_minute)

    def offer(self, symbols: Sequence[str], interval: Interval) -> Offer:
        """Return intraday bars for a paid plan, and for a free one what it has instead: daily bars after the close."""
        if self._account.plan is Plan.FREE or interval is Interval.DAILY:
            requests = tuple(Request(Function.DAILY, symbol, Interval.DAILY) for symbol in symbols)
            return Offer(requests, Cadence.AFTER_CLOSE, long_answers=self._account.plan is not Plan.FREE)
        requests = tuple(Request(Function.INTRADAY, symbol, interval) for symbol in symbols)
        return Offer(requests, Cadence.EVERY_BAR, _DELAY if self._account.plan is Plan.DELAYED else timedelta(0))

    def fetch(self, request: Request) -> Answer:
        """Ask once.

        Raises:
            RefusedError: there is no data in the answer, or no answer.
        """
        asked_at = self._clock.now()
        try:
            body = self._http.get("/query", self.query(request))
            fetched_at = self._clock.now()
            series = parse(body, request, fetched_at)
        except HttpError as error:
            raise RefusedError(Refusal.VENDOR_ERROR, str(error)) from None
        except RefusedError as error:
            # The refusal of a spent day prints the key.
            raise RefusedError(error.refusal, str(error).replace(self._account.api_key, "***")) from None
        return Answer(request, uuid.uuid4().hex, asked_at, fetched_at, series)

    def query(self, request: Request) -> dict[str, str]:
        """Return the parameters of a request, in the order in which they are sent."""
        query = {"function": request.function.value, "symbol": request.symbol}
        if request.function is Function.INTRADAY:
            query["interval"] = request.interval.value
            # Raw prices, as traded: an adjusted one would change with every later split.
            query["adjusted"] = "false"
            query["extended_hours"] = "true" if self._account.extended else "false"
        if request.function is not Function.QUOTE:
            query["outputsize"] = "full" if request.full else "compact"
        if self._account.plan in _ENTITLEMENTS:
            query["entitlement"] = _ENTITLEMENTS[self._account.plan]
        query["datatype"] = request.datatype.value
        query["apikey"] = self._account.api_key
        return query
