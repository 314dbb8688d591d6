"""What of an account is a finding, and what is no alarm."""

from datetime import timedelta

import pytest

from integration.audited import (
    BEFORE,
    CLOSE,
    DAY,
    EVENING,
    MINUTE,
    MONDAY,
    OPEN,
    Audited,
    at,
    audited,
    minutes,
    without,
)
from integration.services.database import Database


def test_an_outage_that_nobody_healed_in_a_month_stays_in_the_account_and_is_no_alarm(market: Audited) -> None:
    market.database.query("UPDATE market.series SET until = %s", CLOSE)
    assert [name.kind for name in market.findings(EVENING)] == ["outage"]
    assert [name.kind for name in market.findings(EVENING + timedelta(days=28))] == ["outage"]
    assert market.findings(EVENING + timedelta(days=31)) == {}
    assert market.account("IBM", MONDAY) == {"expected": 390, "outage": 390}


@pytest.mark.parametrize(
    ("refusal", "why"), [(None, "the vendor answers and does not have them"), ("quota", "the calls of the day were")]
)
def test_a_day_of_which_hardly_a_bar_came_is_a_finding_when_it_is_over(
    market: Audited, refusal: str | None, why: str
) -> None:
    market.series("AAPL", BEFORE)
    for symbol in ("AAPL", "IBM"):
        market.store(symbol, minutes(OPEN, 5))
        market.answer(symbol, OPEN + 5 * MINUTE, (OPEN, OPEN + 5 * MINUTE), rows=5)
        if refusal:
            market.answer(symbol, CLOSE + MINUTE, refusal=refusal)
        else:
            market.answer(symbol, CLOSE + MINUTE, DAY, rows=5)
    assert "unserved" not in {name.kind for name in market.findings(CLOSE)}
    ((name, text),) = market.findings(EVENING).items()
    assert name == ("unserved", "2026-01-05 1min")
    assert text.startswith("5 of 390 bars of 2026-01-05 1min are stored of AAPL, and hardly more of 1 others: " + why)


def test_a_symbol_that_hardly_ever_trades_is_no_finding_and_neither_are_a_few_bars(market: Audited) -> None:
    for symbol in ("THIN", "STOPPED"):
        market.series(symbol, BEFORE)
    tuesday = (OPEN + timedelta(days=1), CLOSE + timedelta(days=1))
    for opening in (OPEN, tuesday[0]):
        market.store("THIN", [opening + 200 * MINUTE] if opening == OPEN else [])
        market.store("STOPPED", minutes(opening, 300))
        market.store("IBM", minutes(opening, 390))
    for symbol in ("THIN", "STOPPED"):
        for span in (DAY, tuesday):
            market.answer(symbol, tuesday[1] + MINUTE, span)
    market.audit(EVENING)
    market.database.query("UPDATE market.completeness SET vendor_missing = 0, no_trade = 389 WHERE symbol = 'THIN'")
    found = market.findings(EVENING + timedelta(days=1), deep=False)
    assert market.account("THIN", MONDAY + timedelta(days=1)) == {"expected": 390, "vendor_missing": 390}
    assert found == {}


def test_a_day_without_its_daily_bar_is_a_finding(database: Database) -> None:
    with audited(database, "daily") as market:
        market.calendar(OPEN)
        market.series("IBM", OPEN)
        market.answer("IBM", CLOSE + MINUTE, (at("2026-01-05 05:00"), at("2026-01-06 05:00")))
        (text,) = market.findings(CLOSE + 2 * MINUTE).values()
        assert text.startswith("0 of 1 bars of 2026-01-05 daily are stored of IBM: the vendor answers")


def test_a_final_bar_whose_price_changes_by_more_than_half_a_percent_is_a_finding(market: Audited) -> None:
    market.store("IBM", without())
    market.answer("IBM", CLOSE + MINUTE, DAY, rows=390, told=390, request="r0")
    assert market.alarms(EVENING) == []
    tell = "INSERT INTO market.bar_revision SELECT symbol, interval, bar_time, open, high, low, close + %s, volume,"
    tell += " is_final, source, %s, %s FROM market.bar WHERE bar_time = %s"
    for place, change in enumerate((0.055, -0.0551)):
        market.database.query(tell, change, f"s{place}", EVENING, OPEN + place * MINUTE)
        market.answer("IBM", EVENING, DAY, told=1, request=f"s{place}")
    (text,) = market.alarms(EVENING, deep=False)
    assert text == (
        "IBM 2026-01-05 14:31 was final, and request s1 changes a price by 0.50 %: close 11 before and 10.9449 now"
    )
    market.database.query("UPDATE market.last_run SET started_at = now() + interval '2 min'")
    assert market.alarms(EVENING, deep=False) == [text], "it stays until it is acknowledged"
    market.database.query("SELECT market.acknowledge_finding(finding_id, 'a late print') FROM market.finding")
    assert market.alarms(EVENING, deep=False) == []


def test_a_week_with_a_holiday_is_silent_and_a_stop_within_it_is_not(market: Audited) -> None:
    # Monday the 19th is Martin Luther King Day. Each session is polled every ten minutes.
    market.database.query("UPDATE market.series SET since = '2026-01-16 14:30Z', ready_after = '10 min'")
    sessions = [at(f"2026-01-{day} 14:30") for day in (16, 20, 21, 22, 23)]
    for opening in sessions:
        market.store("IBM", minutes(opening, 390))
        market.answers("IBM", minutes(opening, 39, 10 * MINUTE), 10 * MINUTE)
    moment, stale = sessions[0], "UPDATE market.latest_bar SET fetched_at = 'infinity', bar_time = %s"
    while moment < at("2026-01-24 12:00"):
        opening = max(opening for opening in sessions if opening <= moment)
        market.database.query(stale, min(moment, opening + 389 * MINUTE))
        assert market.findings(moment, deep=moment.hour == 0) == {}, moment
        moment += 47 * MINUTE
    market.database.query("DELETE FROM market.answer WHERE asked_at > '2026-01-22 16:00Z'")
    assert {name.kind for name in market.findings(at("2026-01-22 16:12"))} == {"silent"}
