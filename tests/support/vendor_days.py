"""Some days of the simulated vendor, lived through by the real intake: polls, quotes, refusals, repairs, deaths."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from market_pulse.contract import Cause, Interval
from market_pulse.errors import StateError
from market_pulse.producer.archive import Archive
from market_pulse.producer.bars import BarMaker
from market_pulse.producer.intake import Intake
from market_pulse.producer.outbox import Message, Outbox
from market_pulse.producer.schedule import Slots
from market_pulse.producer.store import Store
from market_pulse.sessions import Sessions
from market_pulse.settings import Plan
from market_pulse.simulator.api import Terms, VendorApi
from market_pulse.simulator.market import SimulatedMarket
from market_pulse.sources.answers import parse
from market_pulse.sources.base import Answer, Cadence, Function, Offer, Refusal, RefusedError, Request

KEY = "s3cret-key"
SYMBOLS = ("IBM", "MSFT")
SESSIONS = Sessions.load("XNYS", date(2025, 11, 3))
_MARKET = SimulatedMarket(7, SESSIONS)
_SETTLE = timedelta(seconds=5)
_MINUTE = timedelta(minutes=1)
_LIVE = tuple(Request(Function.INTRADAY, symbol, Interval.FIFTEEN_MINUTES) for symbol in SYMBOLS)


class Days:
    """A producer that lives through some days of a market, badly."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._random = random.Random(seed)  # noqa: S311 - repeatable
        self._api = VendorApi(_MARKET, Terms(KEY, frozenset(SYMBOLS), Plan.PREMIUM, 10_000))
        self._count = 0
        self.now = datetime(2026, 1, 5, 14, 0, 7, tzinfo=UTC)
        self.intake = self._start()

    @property
    def archive(self) -> Archive:
        return self.intake.archive

    def live(self, steps: int) -> Iterator[Message]:
        """Yield everything that is told, in order."""
        acts: list[Callable[[], None]] = [
            *[self._poll] * 12,
            *(self._quote, self._refusal, self._repair, self._again, self._daily, self._death, self._clock),
        ]
        for _ in range(steps):
            self.now += self._random.choice((_MINUTE, 5 * _MINUTE, 5 * _MINUTE, timedelta(hours=9)))
            self._random.choice(acts)()
            told = self.intake.outbox.oldest(100_000)
            yield from told
            self.intake.outbox.remove([message.id for message in told])

    def _start(self) -> Intake:
        slots = Slots(SESSIONS, Offer(_LIVE, Cadence.EVERY_BAR), _SETTLE, extended=True)
        outbox = Outbox(Store(self._directory / "producer.sqlite3"), 10_000)
        maker = BarMaker("simulator", SESSIONS, _SETTLE, timedelta(0))
        return Intake(Archive(self._directory / "archive", 400), outbox, maker, slots)

    def _ask(self, request: Request) -> Answer:
        query = {"function": request.function.value, "symbol": request.symbol, "apikey": KEY, "entitlement": "realtime"}
        if request.function is Function.INTRADAY:
            query |= {"interval": request.interval.value} | ({"month": request.month} if request.month else {})
        if request.full:
            query["outputsize"] = "full"
        body = self._api.reply(query, self.now).body.encode()
        if self._random.random() < 0.1:
            # The vendor revises a bar, or tells an impossible one.
            body = body.replace(b'5. volume": "', b'5. volume": "' + self._random.choice((b"1", b"-")), 3)
        self._count += 1
        fetched_at = self.now + timedelta(milliseconds=700)
        return Answer(request, f"{self._count:032x}", self.now, fetched_at, parse(body, request, fetched_at), body)

    def _poll(self) -> None:
        self.intake.take(self._ask(self._random.choice(_LIVE)), Cause.POLL)

    def _daily(self) -> None:
        self.intake.take(self._ask(Request(Function.DAILY, self._symbol(), Interval.DAILY)), Cause.POLL)

    def _quote(self) -> None:
        self.intake.take(self._ask(Request(Function.QUOTE, self._symbol(), Interval.DAILY)), Cause.QUOTE)

    def _refusal(self) -> None:
        error = RefusedError(Refusal.VENDOR_ERROR, "no", self._random.choice((b"", b"<html>sorry</html>")))
        self.intake.refuse(self._random.choice(_LIVE), Cause.POLL, self.now, error)

    def _repair(self) -> None:
        month = Request(Function.INTRADAY, self._symbol(), Interval.FIFTEEN_MINUTES, full=True, month="2025-12")
        self.intake.take(self._ask(month), Cause.REPAIR, self._span())

    def _again(self) -> None:
        month = Request(Function.INTRADAY, self._symbol(), Interval.FIFTEEN_MINUTES, full=True, month="2025-12")
        entry = self.archive.newest(month, datetime(2026, 1, 1, tzinfo=UTC))
        if entry:
            self.intake.take_archived(entry, Cause.BACKFILL, self._span())

    def _death(self) -> None:
        """Die between the archive and the outbox, and live again."""
        answer = self._ask(self._random.choice(_LIVE))

        def die(*_: object, **__: object) -> None:
            raise StateError("dead")

        self.intake.outbox.take = die  # type: ignore[method-assign] - the last that it does
        try:
            self.intake.take(answer, Cause.POLL)
        except StateError:
            self.intake = self._start()

    def _clock(self) -> None:
        """Set the clock back."""
        self.now -= timedelta(minutes=self._random.choice((3, 30)))

    def _symbol(self) -> str:
        return self._random.choice(SYMBOLS)

    def _span(self) -> tuple[datetime, datetime]:
        start = datetime(2025, 12, self._random.randint(1, 28), self._random.randint(0, 23), tzinfo=UTC)
        return start, start + timedelta(hours=self._random.randint(1, 60))
