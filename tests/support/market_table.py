"""A table of bars of any size, made by PostgreSQL itself from the exchange's calendar."""

import contextlib
from datetime import UTC, datetime, timedelta

from integration.services.database import Database
from market_pulse.upkeep import calendar

_SERIES = """
INSERT INTO market.series
SELECT to_char(number, '"S"FM00000'), '1min', %(since)s, NULL, 'XNYS', false, '10 seconds'
FROM generate_series(1, %(symbols)s) AS number
"""
# In the order in which bars come: minute by minute, all symbols.
_DAY = """
INSERT INTO market.bar
SELECT
    series.symbol, '1min', minute, price, price + 0.5, price - 0.5, price + 0.25, 100 + extract(minute FROM minute),
    true, 'simulator', 'r' || session.trading_date, minute + '70 seconds'
FROM market.session
CROSS JOIN LATERAL generate_series(session.open, session.close - INTERVAL '1 minute', INTERVAL '1 minute') AS minute
CROSS JOIN (SELECT symbol, 100 + right(symbol, 3)::numeric / 10 AS price FROM market.series) AS series
WHERE session.trading_date = %(day)s
ORDER BY minute, symbol
"""
_ACCOUNT = """
INSERT INTO market.completeness
SELECT series.symbol, '1min', session.trading_date, bars, bars, 0, 0, 0, 0, 0, 0, 0, 0, 0
FROM market.series CROSS JOIN market.session
CROSS JOIN LATERAL (SELECT extract(epoch FROM session.close - session.open)::integer / 60 AS bars) AS expected
WHERE session.trading_date = %(day)s
"""
_LATEST = """
INSERT INTO market.latest_bar
SELECT bar.* FROM market.series CROSS JOIN LATERAL (
    SELECT * FROM market.bar WHERE bar.symbol = series.symbol AND bar.interval = '1min' ORDER BY bar_time DESC LIMIT 1
) AS bar
"""
_DAYS = "SELECT trading_date FROM market.session WHERE close < %(until)s ORDER BY trading_date DESC LIMIT %(days)s"
_AUDIT = """
INSERT INTO market.last_run
SELECT 'audit', now(), now(), close + '1 hour', '' FROM market.session WHERE trading_date = %s
"""


def fill(database: Database, *, symbols: int, days: int, until: datetime = datetime(2026, 3, 10, tzinfo=UTC)) -> None:
    """Store minute bars of `symbols` symbols, ``S00001`` and so on, of the last `days` sessions before an instant."""
    with contextlib.closing(database.connect("keeper")) as keeper, keeper, keeper.cursor() as cursor:
        calendar.refresh(cursor, "XNYS", until)
    since = until - timedelta(days=2 * days + 10)
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute(_SERIES, {"since": since, "symbols": symbols})
        cursor.execute("SELECT market.ensure_partitions(%s, %s)", (since, until))
        cursor.execute(_DAYS, {"until": until, "days": days})
        known = sorted(day for (day,) in cursor.fetchall())
        connection.commit()
        for day in known:
            cursor.execute(_DAY, {"day": day})
            cursor.execute(_ACCOUNT, {"day": day})
            connection.commit()
        cursor.execute(_LATEST)
        cursor.execute(_AUDIT, (known[-1],))
        connection.commit()
        connection.autocommit = True
        cursor.execute(
            "VACUUM (ANALYZE) market.bar, market.latest_bar, market.session, market.series, market.completeness"
        )
