from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from market_pulse.auditor.facts import Absent, Deleted, Facts, Jump, Name, Pulse, Shortfall, Tally
from market_pulse.auditor.findings import Known, alarms, findings, news, sentence

NOW = datetime(2026, 1, 5, 16, tzinfo=UTC)
OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TALLY = Tally(symbols=5, due=450, stored=438, no_trade=12)
FACTS = Facts(NOW, timedelta(seconds=30), "XNYS", NOW + timedelta(days=300), tally=TALLY)
IBM = Pulse(
    symbol="IBM",
    interval="1min",
    step=MINUTE,
    since=OPEN,
    ready_after=timedelta(seconds=10),
    newest_bar=NOW - MINUTE,
    asked_at=NOW,
    refusal=None,
    traded=1.0,
    is_halted=False,
)
AAPL = replace(IBM, symbol="AAPL")
BAR = datetime(2026, 1, 5, 15, 31, tzinfo=UTC)
GONE = Deleted("IBM", "1min", "postgres", is_revision=False, first=BAR, last=BAR, rows=1, number=7, deleted_at=NOW)
RUN = Absent("IBM", "1min", date(2026, 1, 5), BAR, BAR + MINUTE, 1)


def only(**changed: object) -> tuple[Name, str]:
    """Return the only finding about facts that differ like this from good ones."""
    (item,) = findings(replace(FACTS, **changed)).items()  # type: ignore[arg-type]
    return item


def test_good_facts_are_no_finding() -> None:
    assert findings(replace(FACTS, pulses=(IBM, AAPL))) == {}
    assert sentence(TALLY, {}) == "complete: 5 symbols, 438 of 450 bars expected so far, 12 not traded"
    assert sentence(Tally(), {}) == "complete: no bar is expected yet"


def test_a_deleted_bar_is_named_with_who_deleted_it() -> None:
    found = findings(replace(FACTS, deleted=(GONE,)))
    assert list(found.values()) == ["IBM 2026-01-05 15:31 was deleted by postgres"]
    assert sentence(TALLY, found) == "missing: IBM 2026-01-05 15:31 was deleted by postgres"


def test_deleted_bars_in_a_row_are_one_finding() -> None:
    name, text = only(deleted=(replace(GONE, last=BAR + 9 * MINUTE, rows=10),))
    assert (name.kind, text) == (
        "missing",
        "10 bars of IBM 2026-01-05 15:31 to 2026-01-05 15:40 were deleted by postgres",
    )


def test_each_place_where_bars_were_deleted_is_named() -> None:
    apart = [replace(GONE, first=BAR + minute, last=BAR + minute) for minute in (0 * MINUTE, 29 * MINUTE, 59 * MINUTE)]
    gone = tuple(replace(run, number=number) for number, run in enumerate(apart))
    texts = findings(replace(FACTS, deleted=gone)).values()
    assert [text.split()[2] for text in texts] == ["15:31", "16:00", "16:30"]


def test_of_very_many_places_the_last_one_is_named() -> None:
    def places(number: int) -> tuple[Deleted, ...]:
        return tuple(
            replace(GONE, first=at, last=at, number=place, deleted_at=NOW + (MINUTE if place == 7 else 0 * MINUTE))
            for place, at in enumerate(BAR + 2 * place * MINUTE for place in range(number))
        )

    assert len(findings(replace(FACTS, deleted=places(20)))) == 20
    _, text = only(deleted=places(21))
    assert text == (
        "21 bars of IBM 1min, in 21 places from 2026-01-05 15:31 to 2026-01-05 16:11, were deleted by postgres, "
        "the last to go IBM 2026-01-05 15:45: see market.deletion"
    )
    runs = tuple(replace(RUN, since=run.first, until=run.first + MINUTE) for run in places(21))
    _, text = only(missing=runs)
    assert text.startswith("21 bars of IBM 1min, in 21 places from 2026-01-05 15:31 to 2026-01-05 16:11, were stored")


def test_deleted_history_is_told_from_a_deleted_bar() -> None:
    name, text = only(deleted=(replace(GONE, is_revision=True),))
    assert name.kind == "history"
    assert text.startswith("what was told of IBM 2026-01-05 15:31")


def test_a_bar_that_went_without_a_trace_is_named_beside_one_that_was_deleted() -> None:
    other = replace(RUN, since=BAR + 5 * MINUTE, until=BAR + 7 * MINUTE, bars=2)
    found = findings(replace(FACTS, deleted=(GONE,), missing=(other,)))
    assert list(found.values())[1] == "IBM 2026-01-05 15:36 and 1 more after it was stored and is gone"


def test_all_that_one_request_changes_is_one_finding() -> None:
    jump = Jump("IBM", "1min", BAR, "r9", Decimal("0.61"), before=Decimal(10), after=Decimal("10.061"))
    jumps = (jump, replace(jump, bar_time=BAR + MINUTE, percent=Decimal(50)))
    name, text = only(jumps=jumps)
    assert name == ("revised", "IBM 1min r9")
    assert text == (
        "IBM 2026-01-05 15:31 and 1 more after it were final, and request r9 changes a price by 50 %: "
        "close 10 before and 10.061 now"
    )


def test_a_shortfall_names_symbol_and_request() -> None:
    name, text = only(shortfalls=(Shortfall("IBM", "1min", NOW, "r77", told=3, kept=2),))
    assert name == ("shortfall", "IBM 1min r77")
    assert "r77 of IBM 2026-01-05 16:00 told 3 bars, and 2 are kept" in text


def test_an_outage_is_one_finding_a_day_whoever_it_is_about() -> None:
    runs = (RUN, replace(RUN, symbol="AAPL", bars=4), replace(RUN, trading_date=date(2026, 1, 6)))
    found = findings(replace(FACTS, outages=runs))
    assert [name.subject for name in found] == ["2026-01-05 1min", "2026-01-06 1min"]
    assert (
        next(iter(found.values())) == "5 bars of AAPL and 1 more are due and not asked for, first AAPL 2026-01-05 15:31"
    )


@pytest.mark.parametrize(("seconds", "found"), [(100, False), (101, True)])
def test_nobody_asks_is_said_as_soon_as_the_first_answer_is_overdue(seconds: int, found: bool) -> None:  # noqa: FBT001
    quiet = [replace(pulse, asked_at=NOW - timedelta(seconds=seconds)) for pulse in (IBM, AAPL)]
    assert bool(findings(replace(FACTS, pulses=tuple(quiet)))) is found


def test_nobody_has_ever_asked() -> None:
    pulses = tuple(replace(pulse, asked_at=None, newest_bar=None) for pulse in (IBM, AAPL))
    name, text = only(pulses=pulses)
    assert name == ("silent", "all")
    assert "no answer of the vendor has come at all" in text


def test_one_series_that_is_not_asked_for_is_named() -> None:
    name, text = only(pulses=(replace(IBM, asked_at=NOW - timedelta(minutes=6)), AAPL))
    assert name == ("silent", "IBM 1min")
    assert text == "no answer about IBM 1min has come since 2026-01-05 15:54"


def test_a_vendor_that_tells_the_same_again_and_again_is_stale() -> None:
    name, text = only(pulses=(replace(IBM, newest_bar=NOW - timedelta(minutes=14)), AAPL))
    assert name == ("stale", "IBM 1min")
    assert "the newest bar is of 2026-01-05 15:46" in text
    assert "answers keep coming" in text


def test_answers_without_a_single_bar_are_stale() -> None:
    name, _ = only(pulses=(replace(IBM, newest_bar=None, traded=None), AAPL))
    assert name == ("stale", "IBM 1min")


def test_a_refusing_vendor_is_said_to_refuse() -> None:
    _, text = only(pulses=(replace(IBM, newest_bar=NOW - timedelta(minutes=30), refusal="quota"), AAPL))
    assert "the vendor refuses (quota)" in text


def test_what_stops_for_all_is_stale_at_once_and_a_pause_of_one_series_is_none() -> None:
    stuck = [replace(pulse, newest_bar=NOW - timedelta(minutes=5)) for pulse in (IBM, AAPL)]
    assert [name.kind for name in findings(replace(FACTS, pulses=tuple(stuck)))] == ["stale", "stale"]
    assert findings(replace(FACTS, pulses=(stuck[0], AAPL))) == {}
    assert findings(replace(FACTS, pulses=(stuck[0],))) == {}


def test_a_series_that_never_traded_before_is_never_stale() -> None:
    pulse = replace(IBM, traded=0.0, newest_bar=NOW - timedelta(hours=6), since=NOW - timedelta(hours=6))
    assert findings(replace(FACTS, pulses=(pulse, AAPL))) == {}


@pytest.mark.parametrize(("traded", "bars"), [(1.0, 12), (0.9, 24), (0.3, 86), (None, 15)])
def test_a_series_is_given_as_long_as_it_usually_takes_to_trade(traded: float | None, bars: int) -> None:
    def stale_after(age: int) -> bool:
        pulse = replace(IBM, traded=traded, newest_bar=NOW - timedelta(minutes=age), since=NOW - timedelta(hours=3))
        return bool(findings(replace(FACTS, pulses=(pulse, AAPL))))

    # Counted from the end of its last bar, and the answer has its time, too.
    assert next(age for age in range(1, 120) if stale_after(age)) == bars + 2


def test_a_halted_series_is_not_stale() -> None:
    assert not findings(replace(FACTS, pulses=(replace(IBM, newest_bar=OPEN, is_halted=True), AAPL)))


def test_nothing_is_stale_when_no_session_is_under_way() -> None:
    assert findings(replace(FACTS, pulses=())) == {}


@pytest.mark.parametrize(("days", "found"), [(60, False), (59, True)])
def test_the_end_of_the_calendar_is_said_two_months_before(days: int, found: bool) -> None:  # noqa: FBT001
    assert bool(findings(replace(FACTS, calendar_ends=NOW + timedelta(days=days)))) is found


def test_an_empty_calendar_is_a_finding() -> None:
    assert "is empty" in only(calendar_ends=None)[1]


def test_a_finding_is_told_once_and_its_end_once() -> None:
    name = Name("missing", "IBM")
    known = {name: Known("a", is_acknowledged=False)}
    assert news({name: "a"}, {}).begun == {name: "a"}
    again = news({name: "b"}, known)
    assert (again.begun, again.over, again.reworded) == ({}, (), {name: "b"})
    assert news({}, known).over == (name,)


def test_what_is_acknowledged_is_no_alarm_until_it_says_something_else() -> None:
    name, other = Name("missing", "IBM"), Name("missing", "AAPL")
    known = {name: Known("a", is_acknowledged=True), other: Known("c", is_acknowledged=False)}
    assert alarms({name: "a", other: "c"}, known) == {other: "c"}
    assert alarms({name: "b"}, known) == {name: "b"}
    assert news({name: "a", other: "c"}, known) == ({}, (), {})
