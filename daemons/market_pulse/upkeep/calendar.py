"""The exchange's calendar in the database, brought up to what this release and the operator know."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - the driver's class has a function's name
from psycopg2.extras import execute_values

from market_pulse.keeper import rows
from market_pulse.sessions import Sessions

# Each series' first bar by its index, instead of all bars.
_FIRST_BAR = """
SELECT min(first.bar_time) FROM market.latest_bar AS series
CROSS JOIN LATERAL (
    SELECT bar.bar_time FROM market.bar
    WHERE bar.symbol = series.symbol AND bar.interval = series.interval
    ORDER BY bar.bar_time LIMIT 1
) AS first
"""
_KNOWN = """
SELECT trading_date, day_start, early_open, open, close, late_close FROM market.session
WHERE exchange = %s AND trading_date >= %s
"""
_CLOSURES = "SELECT trading_date, closes_at FROM market.closure WHERE exchange = %s"
_FORGET = "DELETE FROM market.session WHERE exchange = %s AND trading_date = ANY (%s)"
_NOTE = """
INSERT INTO market.session (exchange, trading_date, day_start, early_open, open, close, late_close) VALUES %s
ON CONFLICT ON CONSTRAINT session_pkey DO UPDATE SET
    day_start = excluded.day_start, early_open = excluded.early_open, open = excluded.open,
    close = excluded.close, late_close = excluded.late_close
"""

_Hours = tuple[datetime, datetime, datetime, datetime, datetime]


def refresh(cursor: Cursor, exchange: str, now: datetime) -> int:
    """Make `market.session` what the calendar says, less the closures, and return how many of its days were changed.

    It reaches from the year of the first stored bar, or the year before this one, to the calendar's end.

    Raises:
        CalendarError: no such exchange.
        psycopg2.errors.CheckViolation: a closure says that a session ends before it begins.
    """
    oldest: datetime | None = rows(cursor, _FIRST_BAR)[0][0]
    first = date(min(oldest or now, now.replace(year=now.year - 1, day=1)).year, 1, 1)
    closures: dict[date, datetime | None] = dict(rows(cursor, _CLOSURES, exchange))
    target = _hours(Sessions.load(exchange, first), closures)
    known = {day: tuple(hours) for day, *hours in rows(cursor, _KNOWN, exchange, first)}
    gone = sorted(known.keys() - target.keys())
    changed = {day: hours for day, hours in target.items() if known.get(day) != hours}
    if gone:
        cursor.execute(_FORGET, (exchange, gone))
    if changed:
        execute_values(cursor, _NOTE, [(exchange, day, *hours) for day, hours in changed.items()], page_size=1000)
    return len(gone) + len(changed)


def _hours(sessions: Sessions, closures: Mapping[date, datetime | None]) -> dict[date, _Hours]:
    return {
        session.date: (
            datetime.combine(session.date, time(), sessions.zone).astimezone(UTC),
            session.early_open,
            session.open,
            session.close,
            session.late_close,
        )
        for session in (known.closed_at(closures.get(known.date, known.close)) for known in sessions.days)
        if session is not None
    }
