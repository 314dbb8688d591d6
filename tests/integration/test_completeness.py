"""The account of the sessions in a real database: every expected bar is stored or has one reason."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@pytest.fixture
def market(database: Database) -> Iterator[Audited]:
    with audited(database) as session:
        session.calendar(OPEN)
        session.series("IBM", BEFORE)
        yield session


def test_a_session_of_which_every_bar_is_stored_is_complete(market: Audited) -> None:
    market.store("IBM", without())
    assert market.findings(EVENING) == {}
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 390}


def test_bars_outside_the_regular_session_are_stored_and_not_expected(market: Audited) -> None:
    market.store("IBM", minutes(OPEN - 10 * MINUTE, 390 + 20))
    market.audit(EVENING)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 390}


def test_no_trade_halt_missing_afternoon_and_outage_are_told_apart(market: Audited) -> None:
    for symbol in ("QUIET", "HALTED", "STOPPED", "NOTHING", "ENTERED", "THIN"):
        market.series(symbol, BEFORE)
    stored = {
        "IBM": without(*range(100, 140)),
        "QUIET": without(3, 40, 41, 200),
        "HALTED": without(*range(50, 57), 300),
        "STOPPED": without(*range(200, 390)),
        "NOTHING": [],
        "ENTERED": without(*range(50, 57), 300),
        "THIN": without(*[place for place in range(390) if place % 20 > 9]),
    }
    for symbol, bars in stored.items():
        if bars:
            market.store(symbol, bars)
        if symbol != "IBM":
            market.answer(symbol, EVENING - MINUTE, DAY)
    market.database.query(
        "INSERT INTO market.halt VALUES ('ENTERED', %s, %s, 'T1')", OPEN + 50 * MINUTE, OPEN + 57 * MINUTE
    )
    market.audit(EVENING)
    assert {symbol: market.account(symbol, MONDAY) for symbol in stored} == {
        "IBM": {"expected": 390, "stored": 350, "outage": 40},
        "QUIET": {"expected": 390, "stored": 386, "no_trade": 4},
        "HALTED": {"expected": 390, "stored": 382, "halt_inferred": 7, "no_trade": 1},
        "STOPPED": {"expected": 390, "stored": 200, "vendor_missing": 190},
        "NOTHING": {"expected": 390, "vendor_missing": 390},
        "ENTERED": {"expected": 390, "stored": 382, "halt": 7, "no_trade": 1},
        "THIN": {"expected": 390, "stored": 200, "no_trade": 190},
    }
    assert market.runs("HALTED") == [("15:20", 7, "halt_inferred"), ("19:30", 1, "no_trade")]


def test_a_used_up_quota_is_told_from_an_outage_until_the_vendor_answers_again(market: Audited) -> None:
    market.store("IBM", without(*range(300, 390)))
    market.answer("IBM", OPEN + 350 * MINUTE, refusal="quota")
    assert market.account("IBM", MONDAY) == {}
    market.audit(EVENING)
    # The refusal says nothing of bars that had not begun.
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 300, "quota": 51, "outage": 39}
    market.answer("IBM", CLOSE + MINUTE, refusal="quota")
    market.audit(EVENING)
    assert market.account("IBM", MONDAY)["quota"] == 90
    market.answer("IBM", CLOSE + 2 * MINUTE, refusal="vendor_error")
    assert [name.kind for name in market.findings(EVENING)] == ["outage"]
    assert market.account("IBM", MONDAY)["outage"] == 90


def test_a_bar_is_pending_until_its_answer_had_its_time(market: Audited) -> None:
    market.store("IBM", minutes(OPEN, 10))
    market.answer("IBM", OPEN + 10 * MINUTE, (OPEN, OPEN + 10 * MINUTE))
    # The bar of 14:40 ends at 14:41, is ready 10 seconds later, and has 30 seconds of grace.
    market.audit(at("2026-01-05 14:41:39"))
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 10, "pending": 380}
    market.audit(at("2026-01-05 14:41:40"))
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 10, "outage": 1, "pending": 379}


def test_a_forming_bar_that_was_never_told_again_is_not_stored(market: Audited) -> None:
    market.store("IBM", without(389))
    market.store("IBM", minutes(CLOSE - MINUTE, 1), final=False, request="r1")
    market.audit(EVENING)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 389, "outage": 1}


def test_quarantined_bars_are_explained_by_it(market: Audited) -> None:
    market.store("IBM", without(7, 8))
    market.answer("IBM", EVENING, DAY)
    value = b'{"v":1,"symbol":"IBM","interval":"1min","bar_time":"2026-01-05T14:37:00Z","request_id":"r9"}'
    for offset, raw in enumerate(
        (value, b"\xff", b'{"bar_time": 7}', b'{"bar_time": "yesterday?"}', b'"\\u0000"', None)
    ):
        market.database.query(
            "INSERT INTO market.quarantine (topic_id, partition, record_offset, topic, reason, detail, key, value)"
            " VALUES (gen_random_uuid(), 0, %s, 't', 'bad_price', '', 'IBM', %s)",
            offset,
            raw,
        )
    market.audit(EVENING)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 388, "quarantined": 1, "no_trade": 1}


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


def test_a_late_answer_closes_an_old_outage(market: Audited) -> None:
    friday = at("2026-01-09 23:00")
    market.audit(friday)
    assert market.account("IBM", MONDAY) == {"expected": 390, "outage": 390}
    market.store("IBM", without(8), asked=friday)
    market.answer("IBM", friday, DAY, cause="repair")
    market.audit(friday + MINUTE, deep=False)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 389, "no_trade": 1}


def test_an_outage_that_nobody_healed_in_a_month_stays_in_the_account_and_is_no_alarm(market: Audited) -> None:
    market.database.query("UPDATE market.series SET until = %s", CLOSE)
    assert [name.kind for name in market.findings(EVENING)] == ["outage"]
    assert [name.kind for name in market.findings(EVENING + timedelta(days=28))] == ["outage"]
    assert market.findings(EVENING + timedelta(days=31)) == {}
    assert market.account("IBM", MONDAY) == {"expected": 390, "outage": 390}


def test_bars_that_were_lost_on_their_way_are_not_called_untraded_before_they_are_told_again(market: Audited) -> None:
    # A poll told minutes 2 to 49 in vain, but for 7, 8 and 9; the next one tells only what is new.
    market.store("IBM", minutes(OPEN, 2), request="r1")
    market.answer("IBM", OPEN + 2 * MINUTE, (OPEN, OPEN + 2 * MINUTE), rows=2, told=2, request="r1")
    market.database.query(
        "INSERT INTO market.lost_range (topic_id, partition, log_epoch, topic, from_offset, until_offset, reason,"
        " stored_until) VALUES (gen_random_uuid(), 0, 0, 't', 2, 60, 'lost', now())"
    )
    market.store("IBM", minutes(OPEN + 50 * MINUTE, 2), request="r2")
    market.store("IBM", minutes(OPEN + 53 * MINUTE, 7), request="r3")
    now = OPEN + 60 * MINUTE
    market.answer("IBM", OPEN + 52 * MINUTE, (OPEN, OPEN + 52 * MINUTE), rows=49, told=2, request="r2")
    market.answer("IBM", now, (OPEN, now), rows=56, told=7, request="r3")
    assert [name.kind for name in market.findings(now + MINUTE)] == ["outage"]
    assert market.account("IBM", MONDAY) == {
        "expected": 390, "stored": 11, "outage": 48, "no_trade": 1, "pending": 330
    }  # fmt: skip
    again = [OPEN + place * MINUTE for place in range(2, 50) if place not in (7, 8, 9)]
    market.store("IBM", again, asked=now, request="r4")
    market.answer(
        "IBM", now + MINUTE, (OPEN + 2 * MINUTE, OPEN + 50 * MINUTE), rows=45, told=45, cause="backfill", request="r4"
    )
    market.audit(now + MINUTE)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 56, "no_trade": 4, "pending": 330}


def test_a_loss_on_another_partition_says_nothing(market: Audited) -> None:
    market.store("IBM", minutes(OPEN, 2))
    market.database.query("UPDATE market.bar_revision SET partition = 3, record_offset = 1")
    market.database.query(
        "INSERT INTO market.lost_range (topic_id, partition, log_epoch, topic, from_offset, until_offset, reason,"
        " stored_until) VALUES (gen_random_uuid(), 0, 0, 't', 2, 60, 'lost', now())"
    )
    market.answer("IBM", OPEN + 52 * MINUTE, (OPEN, OPEN + 52 * MINUTE), rows=49, told=2)
    market.audit(OPEN + 52 * MINUTE)
    assert "outage" not in market.account("IBM", MONDAY)
    market.database.query("UPDATE market.lost_range SET partition = 3")
    market.audit(OPEN + 52 * MINUTE)
    assert market.account("IBM", MONDAY)["outage"] == 49


def test_a_halt_that_is_corrected_or_taken_back_is_looked_at_again(market: Audited) -> None:
    market.store("IBM", without(3, 4, 100, 200))
    market.answer("IBM", EVENING - MINUTE, DAY)
    market.database.query("INSERT INTO market.halt VALUES ('IBM', %s, %s, 'T1')", OPEN, OPEN + 4 * MINUTE)
    week_later = EVENING + timedelta(days=9)
    market.audit(EVENING)
    assert market.account("IBM", MONDAY)["halt"] == 1
    market.database.query(
        "SET session_replication_role = replica;"
        "UPDATE market.halt SET entered_at = '2026-01-05Z'; UPDATE market.answer SET recorded_at = '2026-01-05Z'"
    )
    market.audit(week_later)
    market.database.query("UPDATE market.halt SET until = %s", OPEN + 150 * MINUTE)
    market.audit(week_later, deep=False)
    assert market.account("IBM", MONDAY)["halt"] == 3
    market.database.query("DELETE FROM market.halt")
    market.audit(week_later)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 386, "no_trade": 4}


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


def test_an_audit_wants_one_snapshot(database: Database) -> None:
    with pytest.raises(psycopg2.errors.RaiseException, match="REPEATABLE READ"):
        database.query("SELECT market.audit(now(), '30 s')")


patterns = st.lists(st.sampled_from("SNQ-HF"), min_size=30, max_size=30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pattern=patterns, elapsed=st.integers(0, 400), quota=st.booleans(), deleted=st.sets(st.integers(0, 29), max_size=4)
)
def test_the_equation_holds_whatever_is_stored_covered_and_refused(
    market: Audited,
    pattern: list[str],
    elapsed: int,
    quota: bool,  # noqa: FBT001
    deleted: set[int],
) -> None:
    market.database.query(
        "SET session_replication_role = replica;"
        "DELETE FROM market.bar; DELETE FROM market.bar_revision; DELETE FROM market.answer; DELETE FROM market.halt;"
        "DELETE FROM market.completeness; DELETE FROM market.absence; DELETE FROM market.deletion"
    )
    whole = [pattern[place % 30] for place in range(390)]
    for code, final in (("S", True), ("F", False)):
        told = [OPEN + place * MINUTE for place, letter in enumerate(whole) if letter == code]
        if told:
            market.store("IBM", told, final=final, request=code)
    market.answers("IBM", [OPEN + place * MINUTE for place, letter in enumerate(whole) if letter in "NH"], MINUTE)
    if "H" in pattern:
        market.database.query("INSERT INTO market.halt VALUES ('IBM', %s, NULL, '')", OPEN + 90 * MINUTE)
    if quota:
        market.answer("IBM", OPEN + 300 * MINUTE, refusal="quota")
    gone = [OPEN + place * MINUTE for place in deleted]
    market.database.query("DELETE FROM market.bar WHERE bar_time = ANY (%s::timestamptz[])", gone)
    now = OPEN + elapsed * MINUTE
    market.audit(now)
    account = market.account("IBM", MONDAY)
    assert account["expected"] == 390
    final = {place for place, letter in enumerate(whole) if letter == "S" and place <= elapsed} - deleted
    assert account.get("stored", 0) == len(final)
    assert account.get("missing", 0) == len({place for place in deleted if whole[place] == "S" and place <= elapsed})
