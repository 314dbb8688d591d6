"""What one audit reads, and what makes a finding the same as before: plain values.

All instants are market time in UTC, but for those of deletions, which are real.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple


class Name(NamedTuple):
    """What makes a finding the same finding as before: the rule, and what it is about."""

    kind: str
    subject: str


@dataclass(frozen=True)
class Deleted:
    """Rows of one series, of bars in a row, that one account removed and that are not back.

    `number` is that of the first deletion among them, `deleted_at` when the last one was.
    """

    symbol: str
    interval: str
    deleted_by: str
    is_revision: bool
    first: datetime
    last: datetime
    rows: int
    number: int
    deleted_at: datetime


@dataclass(frozen=True)
class Absent:
    """A run of bars of one session that are not stored for one reason; `until` is the end of the last one."""

    symbol: str
    interval: str
    trading_date: date
    since: datetime
    until: datetime
    bars: int


@dataclass(frozen=True)
class Shortfall:
    """An answer of which fewer bars are kept than it told."""

    symbol: str
    interval: str
    asked_at: datetime
    request_id: str
    told: int
    kept: int


@dataclass(frozen=True)
class Unserved:
    """A session that is over and of which hardly a bar is stored; `reason` is that of most of the others."""

    symbol: str
    interval: str
    trading_date: date
    stored: int
    expected: int
    reason: str


@dataclass(frozen=True)
class Jump:
    """A final bar whose price the vendor changed a lot afterwards: the close that was told before and after."""

    symbol: str
    interval: str
    bar_time: datetime
    request_id: str
    percent: Decimal
    before: Decimal
    after: Decimal


@dataclass(frozen=True)
class Pulse:
    """An intraday series while its exchange is in its regular session.

    `traded` is the share of minutes in which it usually trades, None for a new one. `newest_bar` is the start of a bar,
    `asked_at` and `refusal` are those of the last answer; None where there is none.
    """

    symbol: str
    interval: str
    step: timedelta
    since: datetime
    ready_after: timedelta
    newest_bar: datetime | None
    asked_at: datetime | None
    refusal: str | None
    traded: float | None
    is_halted: bool


@dataclass(frozen=True)
class Tally:
    """The newest session that was audited, all its series together; counts are bars."""

    symbols: int = 0
    due: int = 0
    stored: int = 0
    no_trade: int = 0
    otherwise_explained: int = 0


@dataclass(frozen=True)
class Facts:
    """What one audit reads: `grace` is market time, `calendar_ends` the close of the last known session.

    `missing` are bars that nobody was seen to delete.
    """

    now: datetime
    grace: timedelta
    exchange: str
    calendar_ends: datetime | None
    deleted: tuple[Deleted, ...] = ()
    missing: tuple[Absent, ...] = ()
    outages: tuple[Absent, ...] = ()
    shortfalls: tuple[Shortfall, ...] = ()
    unserved: tuple[Unserved, ...] = ()
    jumps: tuple[Jump, ...] = ()
    pulses: tuple[Pulse, ...] = ()
    tally: Tally = Tally()
