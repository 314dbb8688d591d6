"""The producer against the simulator's API in one process, in virtual time: a month of sessions takes seconds.

Everything between the vendor's reply and the topic is the product's own: budget, poller, archive, intake and outbox.
HTTP and the broker are left out, and nobody waits: the clock jumps to when the poller has something to ask next. ::

    market = VirtualMarket(tmp_path, start, symbols=("IBM", "MSFT"), plan=Plan.FREE)
    market.run_until(end)
    market.told          # what the topic would hold, in order
    market.appended      # and when each record of it was appended, by the broker's clock
    market.calls         # what the vendor counted: when, which query, which reply
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path

from market_pulse import contract
from market_pulse.contract import Bar, Interval
from market_pulse.producer import build_poller, store
from market_pulse.producer.archive import Archive
from market_pulse.producer.outbox import Message
from market_pulse.producer.poller import Poller
from market_pulse.sessions import Sessions
from market_pulse.settings import Plan
from market_pulse.simulator.api import Terms, VendorApi
from market_pulse.simulator.market import SimulatedMarket
from market_pulse.simulator.wire import Reply
from market_pulse.sources.alphavantage import Account, AlphaVantage
from market_pulse.sources.http import HttpError
from support.producer import KEY, producer_settings

_FIRST_DAY = date(2015, 1, 2)
_SECOND = timedelta(seconds=1)
# A round that asks nothing although something was due would stop the clock for ever.
_MOST_IDLE_ROUNDS = 50


@cache
def _market() -> SimulatedMarket:
    """Return the one market of a test run, which remembers what it has invented."""
    return SimulatedMarket(7, Sessions.load("XNYS", _FIRST_DAY))


@dataclass
class VirtualClock:
    """Market time that stands until it is moved, and then runs `speed` times faster than real time."""

    at: datetime
    speed: float = 1.0

    def now(self) -> datetime:
        return self.at

    def real_seconds(self, start: datetime, end: datetime) -> float:
        return (end - start).total_seconds() / self.speed

    def after(self, now: datetime, real_seconds: float) -> datetime:
        return now + timedelta(seconds=real_seconds * self.speed)


@dataclass(frozen=True)
class Call:
    """One call as the vendor saw it."""

    at: datetime
    query: dict[str, str]
    reply: Reply


Fault = Callable[[dict[str, str], datetime], Reply | HttpError | None]


class _Wire:
    """Stands where HTTP would be. A fault may answer in the vendor's place.

    `skew` is by how much the producer's clock is ahead, `ahead` how many seconds of that an answer shows.
    """

    def __init__(self, api: VendorApi, clock: VirtualClock) -> None:
        self.api, self.clock = api, clock
        self.calls: list[Call] = []
        self.fault: Fault = lambda _query, _now: None
        self.skew = timedelta(0)
        self.ahead = 0.0

    def get(self, _path: str, query: dict[str, str], **_: object) -> bytes:
        now = self.clock.now() - self.skew
        reply = self.fault(query, now) or self.api.reply(query, now)
        if isinstance(reply, HttpError):
            self.calls.append(Call(now, query, Reply("", "")))
            raise reply
        self.calls.append(Call(now, query, reply))
        return reply.body.encode()


@dataclass
class VirtualMarket:
    """A market, its vendor and one producer that asks it."""

    directory: Path
    start: datetime
    symbols: Sequence[str]
    plan: Plan
    interval: Interval = Interval.ONE_MINUTE
    extended: bool = True
    calls_per_minute: int = 75
    told: list[Message] = field(default_factory=list)
    appended: list[datetime] = field(default_factory=list)

    def __post_init__(self) -> None:
        market = _market()
        self.sessions = market.sessions
        self.clock = VirtualClock(self.start)
        terms = Terms(KEY, frozenset(self.symbols), self.plan, self.calls_per_minute)
        self.wire = _Wire(VendorApi(market, terms), self.clock)
        self.restart()

    @property
    def calls(self) -> list[Call]:
        return self.wire.calls

    @property
    def bars(self) -> list[Bar]:
        """What was told, but for the answers' records."""
        found = (contract.decode(message.symbol.encode(), message.value) for message in self.told)
        return [bar for bar in found if isinstance(bar, Bar)]

    @property
    def poller(self) -> Poller:
        return self._poller

    def restart(self) -> None:
        """Begin anew with what is on disk, as after a kill."""
        account = Account(KEY, self.plan, self.calls_per_minute, self.extended)
        source = AlphaVantage("simulator", "http://vendor.invalid", account, self.clock)
        source._http = self.wire  # type: ignore[assignment]  # noqa: SLF001 - no socket is needed
        settings = producer_settings(
            symbols=",".join(self.symbols),
            vendor_plan=self.plan,
            vendor_calls_per_minute=self.calls_per_minute,
            interval=self.interval,
            extended_hours=self.extended,
        )
        memory = store.Store(self.directory / store.NAME)
        # Nobody cuts the power here.
        memory.execute("PRAGMA synchronous = OFF")
        archive = Archive(self.directory / "archive", keep_days=400)
        self._poller = build_poller(settings, memory, archive, source, self.clock)

    def run_until(self, end: datetime, *, step: Callable[[], None] = lambda: None) -> None:
        """Let the producer work until an instant; `step` is called after every round."""
        idle = 0
        while self.clock.at < end:
            asked = len(self.calls)
            self._poller.round(lambda: False)
            self.deliver()
            step()
            now = self.clock.at
            following = self._poller.outlook.next_at(now) or end
            idle = 0 if len(self.calls) > asked or following > now else idle + 1
            assert idle < _MOST_IDLE_ROUNDS, f"something is due at {now} and never asked"
            self.clock.at = min(max(following, now + _SECOND), end)

    def deliver(self) -> None:
        """Let the topic confirm everything that waits."""
        outbox = self._poller.outlook.outbox
        while waiting := outbox.oldest(10_000):
            self.told += waiting
            self.appended += [self.clock.now() - self.wire.skew] * len(waiting)
            outbox.remove([message.id for message in waiting])
