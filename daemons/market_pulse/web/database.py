"""All SQL of the web daemon: an account that may only read, and what it reads.

Every function takes a cursor, and what belongs together is one transaction with one snapshot.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - the driver's class has a function's name

from market_pulse.keeper import rows
from market_pulse.web.bars import Completeness, Quote, Series, ShownBar, local

# Of both the columns in this order.
_BAR = "bar_time, open, high, low, close, volume, is_final, fetched_at"
_HISTORY = f"""
SELECT {_BAR} FROM market.bar
WHERE symbol = %s AND interval = %s AND bar_time < %s ORDER BY bar_time DESC LIMIT %s
"""  # noqa: S608 - put together from constants
# Before the first session of the calendar, and on a day that is none, the day on the exchange's clock stands for it.
_QUOTES = f"""
SELECT latest.symbol, latest.interval, previous.close, {", ".join(f"latest.{name}" for name in _BAR.split(", "))}
FROM market.latest_bar AS latest
CROSS JOIN LATERAL (
    SELECT coalesce(
        (
            SELECT session.close FROM market.session
            WHERE session.exchange = %(exchange)s
                AND session.trading_date < (latest.bar_time AT TIME ZONE %(zone)s)::date
            ORDER BY session.trading_date DESC LIMIT 1
        ),
        date_trunc('day', latest.bar_time, %(zone)s)
    ) AS ended_at
) AS day
LEFT JOIN LATERAL (
    SELECT bar.close FROM market.bar
    WHERE bar.symbol = latest.symbol AND bar.interval = latest.interval AND bar.bar_time < day.ended_at
        AND bar.is_final
    ORDER BY bar.bar_time DESC LIMIT 1
) AS previous ON true
WHERE (latest.symbol, latest.interval) > (%(symbol)s, %(interval)s)
    AND (%(wanted)s::text [] IS NULL OR latest.symbol = ANY (%(wanted)s))
ORDER BY latest.symbol, latest.interval LIMIT %(limit)s
"""  # noqa: S608 - put together from constants
_POSITIONS = "SELECT partition, next_offset FROM market.stream_position WHERE topic_id = %s"
_STORED_AT = "SELECT max(recorded_at) FROM market.batch WHERE recorded_at > now() - INTERVAL '1 day'"
_COMPLETENESS = """
SELECT interval, trading_date, sum(expected)::int, sum(stored)::int, sum(pending)::int, sum(missing)::int
FROM market.completeness
WHERE trading_date = (SELECT max(trading_date) FROM market.completeness)
GROUP BY interval, trading_date ORDER BY interval
"""
_FINDINGS = (
    "SELECT sentence FROM market.finding WHERE resolved_at IS NULL AND acknowledged_at IS NULL ORDER BY 1 LIMIT 20"
)


class Exchange(NamedTuple):
    """Where the market is: its ISO 10383 code, and what its clocks go by."""

    code: str
    zone: ZoneInfo


@dataclass(frozen=True)
class Stored:
    """Bars of one series, oldest first, and up to where the topic was stored when they were read."""

    bars: list[ShownBar]
    positions: dict[int, int]


@dataclass(frozen=True)
class Account:
    """What the database says of the feed as a whole; `stored_at` is when the last batch was stored, None if today none.

    Units: offsets by partition; `findings` are the auditor's that nobody has acknowledged, at most 20.
    """

    positions: dict[int, int]
    stored_at: datetime | None
    newest: datetime | None
    series: int
    completeness: list[Completeness]
    findings: list[str]


def positions(cursor: Cursor, topic_id: UUID) -> dict[int, int]:
    """Return the next offset to store of each partition of a topic."""
    return dict(rows(cursor, _POSITIONS, str(topic_id)))


def history(cursor: Cursor, zone: ZoneInfo, series: Series, before: datetime | None, limit: int) -> list[ShownBar]:
    """Return the newest bars of a series that begin before an instant, oldest first."""
    found = rows(cursor, _HISTORY, *series, before or datetime.max.replace(tzinfo=UTC), limit)
    return [_bar(row, zone) for row in reversed(found)]


def stored(cursor: Cursor, zone: ZoneInfo, topic_id: UUID, series: Series, limit: int) -> Stored:
    """Return the newest bars of a series with the positions at which the same snapshot has the topic stored."""
    return Stored(history(cursor, zone, series, None, limit), positions(cursor, topic_id))


def quotes(cursor: Cursor, exchange: Exchange, after: Series, wanted: Iterable[str] | None, limit: int) -> list[Quote]:
    """Return the newest bar of each series, by symbol and interval, beginning after one."""
    cursor.execute(
        _QUOTES,
        {
            "exchange": exchange.code,
            "zone": exchange.zone.key,
            "symbol": after.symbol,
            "interval": after.interval,
            "wanted": None if wanted is None else list(wanted),
            "limit": limit,
        },
    )
    return list(_quotes(cursor.fetchall(), exchange.zone))


def account(cursor: Cursor, topic_id: UUID | None) -> Account:
    """Return what the database says of the feed; without the topic's id, no positions."""
    ((stored_at,),) = rows(cursor, _STORED_AT)
    ((newest, series),) = rows(cursor, "SELECT max(bar_time), count(*) FROM market.latest_bar")
    return Account(
        positions=positions(cursor, topic_id) if topic_id else {},
        stored_at=stored_at,
        newest=newest,
        series=series,
        completeness=[
            Completeness(
                interval=interval, trading_date=day, expected=expected, stored=kept, pending=pending, missing=missing
            )
            for interval, day, expected, kept, pending, missing in rows(cursor, _COMPLETENESS)
        ],
        findings=[sentence for (sentence,) in rows(cursor, _FINDINGS)],
    )


def _quotes(found: Iterable[tuple[Any, ...]], zone: ZoneInfo) -> Iterator[Quote]:
    for symbol, interval, previous, *bar in found:
        close = None if previous is None else f"{previous:f}"
        yield Quote(symbol=symbol, interval=interval, bar=_bar(tuple(bar), zone), previous_close=close)


def _bar(row: tuple[Any, ...], zone: ZoneInfo) -> ShownBar:
    moment, opened, high, low, close, volume, is_final, fetched_at = row
    return ShownBar(
        bar_time=moment.astimezone(UTC),
        local_time=local(moment, zone),
        open=f"{opened:f}",
        high=f"{high:f}",
        low=f"{low:f}",
        close=f"{close:f}",
        volume=volume,
        is_final=is_final,
        fetched_at=fetched_at.astimezone(UTC),
    )
