"""What a market costs on a full trading day, before there is a host: calls, bytes, cores and memory. Pure arithmetic.

Bytes and records of one kind are constants that tests/integration/test_capacity.py measures anew, through the real
archive, broker, sink, database and backups; docs/capacity.md says on which machine, and what follows for large markets.
Sizes are bytes, a GB is 10^9 of them, a GiB 2^30.
"""

from dataclasses import dataclass, replace
from math import ceil, inf

from market_pulse.contract import Interval
from market_pulse.errors import OrderError
from market_pulse.settings import Plan
from market_pulse.sources.alphavantage import FREE_LIMITS, offered
from market_pulse.sources.base import SHORT_ANSWER_ROWS, Cadence

# A full day of the US exchanges, 09:30 to 16:00, and with the hours around it, 04:00 to 20:00; market_pulse.sessions.
REGULAR_MINUTES = 390
EXTENDED_MINUTES = 960
# Of a year; NYSE's calendar has 250 to 252.
SESSIONS_A_YEAR = 252
# The share of minutes outside the regular session in which a symbol trades: the simulator's. A busy one's is nearly 1.
TRADED_OUTSIDE = 96 / 256
# From one question to the next of one producer, which asks one at a time: an assumption, your network's is your own.
SECONDS_PER_CALL = 0.25
# A producer publishes what it was told after so many seconds at the latest; market_pulse.producer.poller.
ROUND_SECONDS = 5
# An answer of the short kind reaches back so many bars; market_pulse.producer.poller asks for long ones beyond it.
SHORT_ANSWER_REACH = SHORT_ANSWER_ROWS * 4 // 5
# PostgreSQL's checkpoint_timeout, and the role's archive_timeout; the first change after it logs all of a page.
CHECKPOINT_MINUTES = 5

# Measured: JSON and key on the topic, and what Kafka's format adds to a record and to a batch of them.
BAR_ON_WIRE = 286
ANSWER_ON_WIRE = 461
RECORD_IN_LOG = 9
BATCH_IN_LOG = 61
# Measured: a row with its share of the indexes and of the room that its updates leave.
BAR_ROW = 236
TELLING_ROW = 394
ANSWER_ROW = 520
LEDGER_ROW = 359
# Measured: WAL as it is archived, compressed. A call's rows, and two pages of the indexes by request id, whose ids are
# random; the pages at which a symbol's rows are added, once in each checkpoint; and a segment that is nearly empty.
CALL_IN_WAL = 6_500
SYMBOL_IN_WAL = 4_300
SEGMENT_IN_WAL = 5_000
# Measured: how many bytes PostgreSQL writes to its log for each that is archived of it.
WAL_COMPRESSION = 3
# Measured: an answer of 100 bars fills one page of SQLite; an answer that says nothing new is not kept twice.
BODY_IN_ARCHIVE = 4_096
CALL_IN_ARCHIVE = 1_104
# Measured: a byte of the database in a backup.
BACKUP_SHARE = 0.23
# Measured, rounded down: what one task of the sink stores, in large batches.
RECORDS_PER_SECOND = 4_000


@dataclass(frozen=True)
class Market:
    """What is to be collected, and by which right; `calls_per_minute` is a paid plan's."""

    symbols: int
    interval: Interval
    plan: Plan = Plan.PREMIUM
    calls_per_minute: int = 75
    extended_hours: bool = True
    traded_outside: float = TRADED_OUTSIDE
    seconds_per_call: float = SECONDS_PER_CALL
    partitions: int = 12

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            OrderError: naming what is wrong.
        """
        for name in ("symbols", "calls_per_minute", "partitions"):
            if getattr(self, name) < 1:
                raise OrderError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if not 0 <= self.traded_outside <= 1:
            raise OrderError(f"traded_outside is {self.traded_outside:g}: it must be a share from 0 to 1")
        if not 0 <= self.seconds_per_call < inf:
            raise OrderError(f"seconds_per_call is {self.seconds_per_call:g}: it must be a number of seconds")
        if self.plan is Plan.FREE and self.interval is not Interval.DAILY:
            raise OrderError(
                f"interval is {self.interval}, and the free plan serves daily bars alone: make it daily, or the plan "
                "premium"
            )


@dataclass(frozen=True)
class Calls:
    """What is asked on a day. `most` is what plan and producer can ask, None where nothing limits them.

    Each symbol is asked every `minutes_apart` minutes, or once after the close where that is None.
    """

    wanted: int
    most: int | None
    made: int
    minutes_apart: float | None

    @property
    def reached(self) -> bool:
        """Return whether every bar is told, if a little later than it could be."""
        return self.made == self.wanted or self.minutes_apart is not None


@dataclass(frozen=True)
class Day:
    """What a full trading day brings; numbers of rows and records, and `checkpoints` while there is trading.

    A bar is told when it has just begun and once more when it is complete, and each call is an answer; `bodies` are the
    answers that say something else than the one before.
    """

    calls: Calls
    bars: int
    tellings: int
    bodies: int
    batches: int
    checkpoints: int

    @property
    def records(self) -> int:
        """Return what goes through the topic."""
        return self.tellings + self.calls.made


@dataclass(frozen=True)
class Bytes:
    """What a full trading day adds. `wal` is what is archived of it, `archive` the raw answers."""

    kafka: int
    database: int
    wal: int
    archive: int


def calls_of(market: Market) -> Calls:
    """Return how often the vendor is asked."""
    if offered(market.plan, ("IBM",), market.interval).cadence is Cadence.AFTER_CLOSE:
        most = FREE_LIMITS.per_day if market.plan is Plan.FREE else None
        return Calls(market.symbols, most, min(market.symbols, most or market.symbols), None)
    minutes, length = _window(market), _minutes(market.interval)
    # After the end of each bar, and once more half an hour after the close.
    slots = ceil(minutes / length) + 1
    rate = float(market.calls_per_minute)
    if market.seconds_per_call:
        rate = min(rate, 60 / market.seconds_per_call)
    wanted, most = market.symbols * slots, round(rate * minutes)
    apart = market.symbols / rate
    if apart <= length:
        return Calls(wanted, most, wanted, length)
    if apart > SHORT_ANSWER_REACH * length:
        return Calls(wanted, most, most, None)
    return Calls(wanted, most, min(wanted, most), apart)


def day_of(market: Market) -> Day:
    """Return what a full trading day brings; beyond what the plan reaches, as if it reached."""
    calls = calls_of(market)
    if not calls.reached:
        calls = replace(calls, made=calls.wanted)
    symbols, length = market.symbols, _minutes(market.interval)
    if market.interval is Interval.DAILY:
        return Day(calls, calls.made, calls.made, calls.made, _batches(market, 1), 1)
    outside = _window(market) - REGULAR_MINUTES
    traded, quiet = market.traded_outside, 1 - market.traded_outside
    bars = (REGULAR_MINUTES + outside * (1 - quiet**length)) / length
    # At so many instants a symbol is asked; the bar that has just begun is told if it has traded.
    asked = calls.made / symbols - 1
    begun = asked * (REGULAR_MINUTES + outside * traded) / _window(market)
    # Nothing is new where neither the bar that has ended nor the one that has begun has traded.
    changing = asked * (REGULAR_MINUTES + outside * (1 - quiet ** (length + 1))) / _window(market)
    return Day(
        calls=calls,
        bars=round(symbols * bars),
        tellings=round(symbols * (bars + begun)),
        bodies=round(symbols * (changing + 1)),
        batches=_batches(market, round(asked) + 1),
        checkpoints=min(_window(market) // CHECKPOINT_MINUTES, round(asked) + 1),
    )


def bytes_of(market: Market) -> Bytes:
    """Return what a full trading day adds."""
    day = day_of(market)
    calls = day.calls.made
    return Bytes(
        kafka=day.tellings * BAR_ON_WIRE
        + calls * ANSWER_ON_WIRE
        + day.records * RECORD_IN_LOG
        + day.batches * BATCH_IN_LOG,
        database=day.bars * BAR_ROW + day.tellings * TELLING_ROW + calls * ANSWER_ROW + day.batches * LEDGER_ROW,
        wal=calls * CALL_IN_WAL + day.checkpoints * (market.symbols * SYMBOL_IN_WAL + SEGMENT_IN_WAL),
        archive=day.bodies * BODY_IN_ARCHIVE + calls * CALL_IN_ARCHIVE,
    )


def _minutes(interval: Interval) -> int:
    return int(interval.length.total_seconds()) // 60


def _window(market: Market) -> int:
    return EXTENDED_MINUTES if market.extended_hours else REGULAR_MINUTES


def _batches(market: Market, slots: int) -> int:
    """Return how many batches reach a partition on a day: of each round of calls one for every partition it hits."""
    rounds = max(1, ceil(market.symbols * market.seconds_per_call / ROUND_SECONDS))
    missed: float = (1 - 1 / market.partitions) ** (market.symbols / rounds)
    return round(slots * rounds * market.partitions * (1 - missed))
