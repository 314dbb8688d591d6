"""Which bars are expected: of which sessions, how many of each, and while which symbol was collected."""

from datetime import date, datetime, timedelta

import pytest

from integration.audited import (
    BEFORE,
    CLOSE,
    DAY,
    EVENING,
    MINUTE,
    MONDAY,
    OPEN,
    READY,
    Audited,
    at,
    audited,
    minutes,
    without,
)
from integration.services.database import Database
from market_pulse.auditor import database as auditor
from market_pulse.auditor.series import Changes, Key


@pytest.mark.parametrize(
    ("day", "expected", "opens"),
    [
        (date(2026, 11, 27), 210, "14:30"),
        (date(2026, 12, 24), 210, "14:30"),
        (date(2025, 1, 9), 0, ""),  # a day of mourning
        (date(2026, 6, 19), 0, ""),
        (date(2026, 3, 6), 390, "14:30"),
        (date(2026, 3, 9), 390, "13:30"),
        (date(2026, 10, 30), 390, "13:30"),
        (date(2026, 11, 2), 390, "14:30"),
    ],
)
def test_half_days_closures_and_clock_changes(database: Database, day: date, expected: int, opens: str) -> None:
    with audited(database) as market:
        now = at(f"{day + timedelta(days=1)} 03:00")
        market.calendar(now)
        market.series("IBM", now - timedelta(days=3))
        market.audit(now)
        assert market.account("IBM", day).get("expected", 0) == expected
        if expected:
            assert [run for run in market.runs("IBM") if run[0] == opens and run[1:] == (expected, "outage")]


@pytest.mark.parametrize(
    ("interval", "extended", "first", "bars"),
    [
        ("1min", True, "14:30", 390),
        ("5min", True, "14:30", 78),
        ("30min", True, "14:30", 13),
        ("60min", True, "14:00", 7),
        ("60min", False, "14:30", 7),
        ("daily", False, "05:00", 1),
    ],
)
def test_bars_are_counted_as_the_vendor_counts_them(
    database: Database,
    interval: str,
    extended: bool,  # noqa: FBT001
    first: str,
    bars: int,
) -> None:
    with audited(database, interval) as market:
        market.calendar(OPEN)
        market.series("IBM", BEFORE, extended=extended)
        market.audit(EVENING)
        assert market.account("IBM", MONDAY) == {"expected": bars, "outage": bars}
        assert market.runs("IBM") == [(first, bars, "outage")]


def test_a_daily_bar_is_due_after_the_close(database: Database) -> None:
    with audited(database, "daily") as market:
        market.calendar(OPEN)
        market.series("IBM", OPEN)
        market.audit(CLOSE + timedelta(seconds=39))
        assert market.account("IBM", MONDAY) == {"expected": 1, "pending": 1}
        market.audit(CLOSE + timedelta(seconds=40))
        assert market.account("IBM", MONDAY) == {"expected": 1, "outage": 1}
        market.answer("IBM", CLOSE + MINUTE, (at("2026-01-05 05:00"), at("2026-01-06 05:00")))
        market.audit(CLOSE + 2 * MINUTE)
        assert market.account("IBM", MONDAY) == {"expected": 1, "vendor_missing": 1}


def test_only_what_was_collected_is_expected(market: Audited) -> None:
    market.series("LATE", OPEN + 100 * MINUTE)
    market.series("GONE", BEFORE, until=OPEN + 100 * MINUTE)
    market.audit(EVENING)
    assert market.account("LATE", MONDAY)["expected"] == 290
    assert market.account("GONE", MONDAY)["expected"] == 100


def end(market: Audited, symbol: str, now: datetime) -> None:
    """Let the auditor find, when it starts, that a symbol is not collected any more."""
    with market.session, market.session.cursor() as cursor:
        auditor.change_series(cursor, Changes((Key(symbol, market.interval),), {}, {}), now)


@pytest.mark.parametrize(("refused", "bars"), [(False, 100), (True, 110)])
def test_a_series_ends_where_its_answers_end_and_not_when_the_auditor_hears_of_it(
    market: Audited,
    refused: bool,  # noqa: FBT001
    bars: int,
) -> None:
    market.store("IBM", minutes(OPEN, 100))
    market.answer("IBM", OPEN + 100 * MINUTE + READY, (OPEN, OPEN + 100 * MINUTE), rows=100)
    if refused:
        market.answer("IBM", OPEN + 111 * MINUTE + READY, refusal="vendor_error")
    now = OPEN + 130 * MINUTE
    market.audit(now)
    assert market.account("IBM", MONDAY)["outage"] == 29
    end(market, "IBM", now)
    market.audit(now)
    outage = {"outage": bars - 100} if bars > 100 else {}
    assert market.account("IBM", MONDAY) == {"expected": bars, "stored": 100} | outage


def test_a_session_that_is_none_after_all_has_no_account(market: Audited) -> None:
    tuesday = OPEN + timedelta(days=1, hours=2)
    market.store("IBM", without())
    market.answer("IBM", EVENING, DAY, rows=390)
    market.series("AAPL", BEFORE + timedelta(days=1))
    assert [name.kind for name in market.findings(tuesday)] == ["outage", "silent"]
    end(market, "IBM", tuesday)
    market.database.query("DELETE FROM market.session WHERE trading_date = '2026-01-06'")
    assert market.findings(tuesday) == {}
    assert market.database.query("SELECT symbol, trading_date FROM market.completeness") == [("IBM", MONDAY)]
    assert market.database.query("SELECT count(*) FROM market.absence") == [(0,)]
