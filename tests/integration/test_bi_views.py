"""What the views of the schema bi tell of days, clocks, freshness, gaps and changes."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from integration.audited import BEFORE, CLOSE, DAY, EVENING, MINUTE, MONDAY, OPEN, Audited, audited, minutes, without
from integration.services.database import Database
from market_pulse.contract.records import Interval


@pytest.fixture
def market(database: Database) -> Iterator[Audited]:
    with audited(database) as session:
        session.calendar(OPEN)
        session.series("IBM", BEFORE)
        yield session


def ask(database: Database, query: str) -> list[tuple[Any, ...]]:
    """Return what a reader sees; times as text."""
    with contextlib.closing(database.connect("bi_reader")) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return [
            tuple(f"{cell:%Y-%m-%d %H:%M}" if isinstance(cell, datetime) else cell for cell in row) for row in cursor
        ]


@pytest.mark.parametrize(
    ("bar_time", "expected"),
    [
        pytest.param("2026-01-05 14:30Z", ("2026-01-05", "09:30"), id="winter"),
        pytest.param("2026-03-06 20:59Z", ("2026-03-06", "15:59"), id="before the clocks go forward"),
        pytest.param("2026-03-09 13:30Z", ("2026-03-09", "09:30"), id="after they went forward"),
        pytest.param("2026-10-30 19:59Z", ("2026-10-30", "15:59"), id="before they go back"),
        pytest.param("2026-11-02 14:30Z", ("2026-11-02", "09:30"), id="after they went back"),
        pytest.param("2026-11-27 17:59Z", ("2026-11-27", "12:59"), id="half day"),
        pytest.param("2026-11-27 18:00Z", None, id="after a half day"),
        pytest.param("2026-01-05 14:29Z", None, id="before the session"),
        pytest.param("2026-01-05 21:00Z", None, id="after the session"),
        pytest.param("2026-01-03 15:00Z", None, id="Saturday"),
        pytest.param("2026-01-01 15:00Z", None, id="holiday"),
    ],
)
def test_a_bar_has_the_exchanges_day_and_clock(
    market: Audited, bar_time: str, expected: tuple[str, str] | None
) -> None:
    market.store("IBM", [datetime.fromisoformat(bar_time)])
    told = "SELECT trading_date::text, to_char(ts_exchange, 'HH24:MI') FROM {} WHERE symbol = 'IBM'"
    assert ask(market.database, told.format("bi.bar")) == ([expected] if expected else [])
    assert len(ask(market.database, told.format("bi.bar_all"))) == 1
    regular = ask(market.database, "SELECT is_regular_session FROM bi.bar_all")
    assert regular == [(expected is not None,)]
    if expected:
        assert ask(market.database, told.format("bi.bar") + f" AND trading_date = '{expected[0]}'") == [expected]


def test_a_bar_lasts_as_long_in_the_database_as_on_the_wire(database: Database) -> None:
    told = database.query("SELECT name, market.step_of(name) FROM unnest(%s) AS name", [*Interval])
    assert dict(told) == {interval: interval.length for interval in Interval}


def test_a_long_bar_belongs_to_the_session_that_it_overlaps(database: Database) -> None:
    with audited(database, "60min") as market:
        market.calendar(OPEN)
        starts = [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (13, 14, 20, 21)]
        market.store("IBM", starts)
    assert [row[0] for row in ask(database, "SELECT ts_exchange FROM bi.bar ORDER BY 1")] == [
        "2026-01-05 09:00",
        "2026-01-05 15:00",
    ]


def test_a_daily_bar_is_of_its_day_and_yields_to_finer_ones(database: Database) -> None:
    with audited(database, "daily") as daily:
        daily.calendar(OPEN)
        daily.store("IBM", [OPEN.replace(hour=5, minute=0)], asked=EVENING)
    assert ask(database, "SELECT interval, trading_date, ts_exchange FROM bi.bar") == [
        ("daily", MONDAY, "2026-01-05 00:00")
    ]
    with audited(database) as market:
        market.store("IBM", [OPEN])
    assert ask(database, "SELECT interval FROM bi.bar") == [("1min",)]
    assert ask(database, "SELECT interval, count(*) FROM bi.bar_all GROUP BY 1 ORDER BY 1") == [
        ("1min", 1),
        ("daily", 1),
    ]
    assert ask(database, "SELECT symbol, exchange, interval, is_collected FROM bi.symbol") == [
        ("IBM", "XNYS", "1min", False)
    ]


def test_a_bar_that_still_forms_is_the_latest_and_in_no_report(market: Audited) -> None:
    market.store("IBM", [OPEN])
    market.store("IBM", [OPEN + MINUTE], final=False)
    market.database.query("UPDATE market.latest_bar SET is_final = false")
    assert ask(market.database, "SELECT count(*) FROM bi.bar") == [(1,)]
    assert ask(market.database, "SELECT is_final, ts_exchange FROM bi.latest_bar") == [(False, "2026-01-05 09:31")]


def test_a_day_is_made_of_its_bars(market: Audited) -> None:
    market.store("IBM", minutes(OPEN, 3))
    market.database.query("UPDATE market.bar SET open = 10.5, high = 20 WHERE bar_time = %s", OPEN)
    market.database.query("UPDATE market.bar SET close = 9.25, volume = 7 WHERE bar_time = %s", OPEN + 2 * MINUTE)
    market.database.query("UPDATE market.bar SET low = 8 WHERE bar_time = %s", OPEN + MINUTE)
    market.store("IBM", [OPEN - MINUTE, CLOSE])
    market.audit(OPEN + 4 * MINUTE)
    prices = ", ".join(f"{name}::float8" for name in ("open", "high", "low", "close"))
    day = f"SELECT trading_date, {prices}, volume, bars, is_final FROM bi.day_bar"
    assert ask(market.database, day) == [(MONDAY, 10.5, 20.0, 8.0, 9.25, 17, 3, False)]
    market.audit(EVENING)
    assert ask(market.database, day)[0][-1] is True


def test_completeness_stands_beside_the_numbers(market: Audited) -> None:
    market.store("IBM", without(*range(100, 139)))
    market.series("QUIET", BEFORE)
    market.store("QUIET", without(3, 40))
    market.answer("QUIET", EVENING - MINUTE, DAY)
    market.audit(EVENING)
    for view in ("bi.bar", "bi.day_bar", "bi.latest_bar", "bi.completeness"):
        told = f"SELECT DISTINCT symbol, completeness_pct::float8 FROM {view} ORDER BY 1"
        assert ask(market.database, told) == [("IBM", 90.0), ("QUIET", 100.0)], view
    account = "SELECT expected, stored, absent, completeness_pct::float8, stale_symbols FROM bi.freshness"
    assert ask(market.database, account) == [(780, 739, 39, 94.99, 0)]


@pytest.mark.parametrize(
    ("newest", "now", "is_stale"),
    [
        pytest.param(OPEN + 59 * MINUTE, OPEN + 60 * MINUTE, False, id="in time"),
        pytest.param(OPEN + 40 * MINUTE, OPEN + 60 * MINUTE, True, id="nothing for a while"),
        pytest.param(CLOSE - 30 * MINUTE, EVENING, False, id="last trade before the close"),
        pytest.param(CLOSE - 3 * timedelta(days=1), OPEN + 3 * MINUTE, False, id="Friday's, Monday's not due yet"),
        pytest.param(CLOSE - 3 * timedelta(days=1), OPEN + 10 * MINUTE, True, id="Friday's, Monday's due"),
        pytest.param(CLOSE - 3 * timedelta(days=1), EVENING, True, id="Friday's on Monday evening"),
        pytest.param(CLOSE - 4 * timedelta(days=1), OPEN - 60 * MINUTE, True, id="Thursday's on Monday morning"),
        pytest.param(CLOSE - MINUTE, EVENING + timedelta(hours=12), False, id="yesterday's in the morning"),
    ],
)
def test_a_price_is_stale_when_newer_ones_are_due(
    market: Audited,
    newest: datetime,
    now: datetime,
    is_stale: bool,  # noqa: FBT001
) -> None:
    market.store("IBM", [newest - MINUTE])
    market.audit(now)
    age = int((now - newest).total_seconds())
    expected = [("IBM", is_stale, age)]
    assert ask(market.database, "SELECT symbol, is_stale, age_seconds FROM bi.latest_bar") == expected
    assert ask(market.database, "SELECT stale_symbols FROM bi.freshness") == [(int(is_stale),)]


def test_on_a_real_market_prices_age_though_nobody_audits(market: Audited) -> None:
    market.store("IBM", [OPEN])
    market.database.query(
        "INSERT INTO market.last_run VALUES ('audit', now() - '1 h'::interval, now(), now() - '1 h'::interval, '')"
    )
    assert ask(
        market.database, "SELECT as_of_utc > now() AT TIME ZONE 'UTC' - '1 min'::interval FROM bi.freshness"
    ) == [(True,)]


def test_without_a_calendar_nothing_is_said_to_be_fresh(database: Database) -> None:
    with audited(database) as market:
        market.store("IBM", [OPEN])
    assert ask(database, "SELECT symbol, trading_date, is_stale FROM bi.latest_bar") == [("IBM", None, True)]
    assert ask(database, "SELECT symbols, stale_symbols, is_market_open FROM bi.freshness") == [(1, 1, False)]


def test_gaps_are_filled_where_nobody_traded_and_nowhere_else(market: Audited) -> None:
    absent = {0: "no_trade", 3: "no_trade", 4: "no_trade", 50: "outage", 100: "halt", 101: "no_trade"}
    market.store("IBM", without(*absent, *range(380, 390)))
    for place, reason in absent.items():
        market.database.query(
            "INSERT INTO market.absence VALUES ('IBM', '1min', %s, %s, %s, 1, %s)",
            MONDAY,
            OPEN + place * MINUTE,
            OPEN + (place + 1) * MINUTE,
            reason,
        )
    rows = ask(
        market.database,
        "SELECT to_char(ts_exchange, 'HH24:MI'), is_filled, close::float8, volume FROM bi.bar_filled"
        " WHERE symbol = 'IBM' AND trading_date = '2026-01-05' AND absent_reason IS NOT NULL ORDER BY ts_utc",
    )
    assert rows == [
        ("09:30", False, None, None),
        ("09:33", True, 11.0, 0),
        ("09:34", True, 11.0, 0),
        ("10:20", False, None, None),
        ("11:10", False, None, None),
        ("11:11", False, None, None),
    ]
    assert ask(market.database, "SELECT count(*), sum(volume) FROM bi.bar_filled") == [(380, 374 * 5)]


def test_the_date_table_has_every_day_once_and_knows_sessions(market: Audited) -> None:
    sessions = "count(*) FILTER (WHERE is_trading_day)"
    known = f"SELECT min(date), max(date), count(*), count(DISTINCT date), {sessions} FROM bi.date"
    ((first, last, number, different, sessions),) = ask(market.database, known)
    assert (first.month, first.day, last.month, last.day) == (1, 1, 12, 31)
    assert number == different == (last - first).days + 1
    assert sessions == market.database.query("SELECT count(*) FROM market.session")[0][0]
    told = "SELECT date, day_name, year_month, is_trading_day, is_half_day, closes_exchange FROM bi.date"
    days = "WHERE date IN ('2026-11-26', '2026-11-27', '2026-11-30') ORDER BY 1"
    assert ask(market.database, f"{told} {days}") == [
        (date(2026, 11, 26), "Thursday", "2026-11", False, False, None),
        (date(2026, 11, 27), "Friday", "2026-11", True, True, "2026-11-27 13:00"),
        (date(2026, 11, 30), "Monday", "2026-11", True, False, "2026-11-30 16:00"),
    ]


def test_the_marker_changes_with_whatever_changes_bars_and_with_nothing_else(market: Audited) -> None:
    database = market.database
    seen = {marker(database)}
    market.audit(EVENING)
    assert {marker(database)} == seen
    for change in (
        "INSERT INTO market.stream_position VALUES (gen_random_uuid(), 0, 't', 5)",
        "UPDATE market.stream_position SET next_offset = 6",
        "INSERT INTO market.quarantine_replay VALUES (gen_random_uuid(), 0, 0, now(), now(), 1, 1, 0, 0, 0, 0, 'me')",
        "DELETE FROM market.bar WHERE bar_time = '2026-01-05 14:30Z'",
    ):
        if change.startswith("DELETE"):
            market.store("IBM", [OPEN])
        database.query(change)
        assert marker(database) not in seen, change
        seen.add(marker(database))


def test_the_marker_does_not_miss_a_transaction_that_ends_after_a_later_one(database: Database) -> None:
    move = "INSERT INTO market.stream_position VALUES (gen_random_uuid(), %s, 't', 5)"
    with contextlib.closing(database.connect()) as slow, slow, slow.cursor() as cursor:
        cursor.execute(move, (0,))
        database.query(move, 1)
        before = marker(database)
        slow.commit()
    assert marker(database) != before


def marker(database: Database) -> int:
    ((version,),) = ask(database, "SELECT version FROM bi.change_marker")
    assert isinstance(version, int)
    return version
