"""What readers are shown, the same on REST, GraphQL and the live channel."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import WithJsonSchema

from market_pulse.contract import Bar

# JSON schema's date-time has an offset, and this is meant to have none.
WallTime = Annotated[
    datetime,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$",
            "description": "What the exchange's clock shows, without an offset.",
        }
    ),
]


class Series(NamedTuple):
    """Bars of one symbol and one interval."""

    symbol: str
    interval: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBar:
    """One bar.

    Units: prices in the instrument's currency, as plain decimal text; volume in shares. `bar_time` is the start of the
    bar in UTC, `local_time` the same instant on the exchange's clock, without an offset. The same bar told again is a
    revision, and stands for the one before if `fetched_at` is the same or later.
    """

    bar_time: datetime
    local_time: WallTime
    open: str
    high: str
    low: str
    close: str
    volume: int
    is_final: bool
    fetched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The newest bar of a series, and the last close of the trading day before, None where none is stored."""

    symbol: str
    interval: str
    bar: ShownBar
    previous_close: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far the database is behind a partition of the topic; `records` is None while one of both is not known."""

    partition: int
    next_offset: int | None
    end: int | None
    records: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """What became of the bars that the sessions of one day should have, all series of one interval together."""

    interval: str
    trading_date: date
    expected: int
    stored: int
    pending: int
    missing: int


def lags(ends: Mapping[int, int], positions: Mapping[int, int]) -> list[Lag]:
    """Return how far each partition is stored, given the offsets at which it ends and at which the database goes on."""
    return [
        Lag(
            partition=partition,
            next_offset=positions.get(partition),
            end=ends.get(partition),
            records=max(0, ends[partition] - positions.get(partition, 0)) if partition in ends else None,
        )
        for partition in sorted({*ends, *positions})
    ]


def shown(bar: Bar, zone: ZoneInfo) -> ShownBar:
    """Return a bar of the topic as readers are shown it."""
    return ShownBar(
        bar_time=bar.bar_time.astimezone(UTC),
        local_time=local(bar.bar_time, zone),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=int(bar.volume),
        is_final=bar.is_final,
        fetched_at=bar.fetched_at.astimezone(UTC),
    )


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what the exchange's clock shows at an instant."""
    return moment.astimezone(zone).replace(tzinfo=None)
