"""When which question is due, on real sessions of the New York Stock Exchange."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from market_pulse.contract import Interval
from market_pulse.errors import CalendarError
from market_pulse.producer.bars import BarMaker
from market_pulse.producer.schedule import Agenda, Slots
from market_pulse.sessions import Sessions
from market_pulse.sources.base import Answer, Cadence, Function, Offer, Request, Row, Series

SESSIONS = Sessions.load("XNYS", date(2024, 1, 2))
IBM = Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE)
MSFT = Request(Function.INTRADAY, "MSFT", Interval.ONE_MINUTE)
SETTLE = timedelta(seconds=5)


def _at(wall_time: str) -> datetime:
    return datetime.fromisoformat(wall_time).replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)


def _slots(*, extended: bool = True, lag: timedelta = timedelta(0), daily: bool = False) -> Slots:
    if daily:
        return Slots(
            SESSIONS,
            Offer((Request(Function.DAILY, "IBM", Interval.DAILY),), Cadence.AFTER_CLOSE),
            SETTLE,
            extended=True,
        )
    return Slots(SESSIONS, Offer((IBM, MSFT), Cadence.EVERY_BAR, lag), SETTLE, extended=extended)


@pytest.mark.parametrize(
    ("now", "latest", "following"),
    [
        ("2026-01-05 10:00:04", "2026-01-05 09:59:05", "2026-01-05 10:00:05"),
        ("2026-01-05 10:00:05", "2026-01-05 10:00:05", "2026-01-05 10:01:05"),
        # Before the first bar has ended, Friday's last slot is the newest.
        ("2026-01-05 04:00:30", "2026-01-02 20:30:05", "2026-01-05 04:01:05"),
        ("2026-01-05 20:00:05", "2026-01-05 20:00:05", "2026-01-05 20:30:05"),
        # Over a weekend and over a holiday, Martin Luther King's on Monday 19 January.
        ("2026-01-16 23:00:00", "2026-01-16 20:30:05", "2026-01-20 04:01:05"),
        # Half days: 13:00, and four hours more.
        ("2026-11-27 17:10:00", "2026-11-27 17:00:05", "2026-11-27 17:30:05"),
        ("2026-12-24 18:00:00", "2026-12-24 17:30:05", "2026-12-28 04:01:05"),
        # An unplanned closure, the mourning day of 9 January 2025.
        ("2025-01-09 12:00:00", "2025-01-08 20:30:05", "2025-01-10 04:01:05"),
        # Clocks change on Sunday 8 March 2026.
        ("2026-03-07 12:00:00", "2026-03-06 20:30:05", "2026-03-09 04:01:05"),
    ],
)
def test_slots_follow_the_bars(now: str, latest: str, following: str) -> None:
    assert _slots().latest(_at(now)) == _at(latest)
    assert _slots().following(_at(now)) == _at(following)


def test_slots_keep_to_the_regular_session_and_to_the_sources_lag() -> None:
    slots = _slots(extended=False, lag=timedelta(minutes=15))
    assert slots.following(_at("2026-01-05 05:00")) == _at("2026-01-05 09:46:05")
    assert slots.latest(_at("2026-01-05 19:00")) == _at("2026-01-05 16:45:05")


def test_daily_bars_of_a_key_that_gets_them_late_are_asked_for_when_they_are_there() -> None:
    offer = Offer((Request(Function.DAILY, "IBM", Interval.DAILY),), Cadence.AFTER_CLOSE, timedelta(hours=4))
    slots = Slots(SESSIONS, offer, SETTLE, extended=True)
    assert slots.following(_at("2026-01-05 16:30")) == _at("2026-01-05 20:30")
    assert slots.following(_at("2026-11-27 09:30")) == _at("2026-11-27 17:30")


def test_daily_bars_are_asked_for_once_after_the_close() -> None:
    slots = _slots(daily=True)
    assert slots.latest(_at("2026-01-05 16:29:59")) == _at("2026-01-02 16:30")
    assert slots.following(_at("2026-01-05 16:30")) == _at("2026-01-06 16:30")


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-01-05 12:00", None),
        ("2026-01-05 20:29", None),
        ("2026-01-05 20:31", "2026-01-06 04:00"),
        ("2026-01-17 12:00", "2026-01-20 04:00"),
    ],
)
def test_a_closed_market_opens_again(now: str, opens: str | None) -> None:
    assert _slots().opens_at(_at(now)) == (opens and _at(opens))


def test_passed_slots_are_counted_over_sessions() -> None:
    slots = _slots()
    assert slots.passed(_at("2026-01-05 10:00:05"), _at("2026-01-05 10:10:05")) == 10
    # The slot half an hour after the close, and the first ones of the next session.
    assert slots.passed(_at("2026-01-02 20:00:05"), _at("2026-01-05 04:10:05")) == 11


@pytest.mark.parametrize(
    ("last", "oldest", "traded"),
    [
        ("2026-01-05 10:00", "2026-01-05 10:01", False),
        ("2026-01-05 10:00", "2026-01-05 10:02", True),
        ("2026-01-05 10:00", "2026-01-05 09:00", False),
        ("2026-01-02 19:59", "2026-01-05 04:00", False),
        ("2026-01-02 19:58", "2026-01-05 04:00", True),
        ("2026-01-02 19:59", "2026-01-05 04:01", True),
        ("2026-01-02 19:59", "2026-01-06 04:00", True),
    ],
)
def test_trading_between_two_bars(last: str, oldest: str, *, traded: bool) -> None:
    assert _slots().traded_between(_at(last), _at(oldest)) is traded


def test_trading_between_two_days_knows_weekends_and_clock_changes() -> None:
    slots = _slots(daily=True)
    assert not slots.traded_between(_at("2026-03-06"), _at("2026-03-09"))
    assert slots.traded_between(_at("2026-03-05"), _at("2026-03-09"))
    assert not slots.traded_between(_at("2026-10-30"), _at("2026-11-02"))
    assert slots.traded_between(_at("2026-10-30"), _at("2026-11-03"))


def test_beyond_the_calendar_there_is_no_guess() -> None:
    with pytest.raises(CalendarError, match="a restart reads it anew"):
        _slots().following(SESSIONS.days[-1].late_close + timedelta(days=2))


def test_an_unknown_exchange_is_refused() -> None:
    with pytest.raises(CalendarError, match="XXXX"):
        Sessions.load("XXXX", date(2024, 1, 2))


def test_each_symbol_is_due_once_per_slot_and_the_longest_unanswered_first() -> None:
    agenda = Agenda(_slots(), (IBM, MSFT))
    now = _at("2026-01-05 10:00:06")
    assert agenda.due(now) == [IBM, MSFT]
    agenda.answer(IBM, now)
    assert agenda.due(now) == [MSFT]
    agenda.answer(MSFT, now - timedelta(seconds=30))
    assert agenda.due(now) == [MSFT]
    agenda.answer(MSFT, now)
    assert agenda.due(now) == []
    assert agenda.following(now) == _at("2026-01-05 10:01:05")
    agenda.answer(IBM, now + timedelta(milliseconds=1))
    assert agenda.due(_at("2026-01-05 10:01:05")) == [MSFT, IBM]


def test_a_fresh_deployment_on_a_sunday_asks_at_once() -> None:
    assert Agenda(_slots(), (IBM,)).due(_at("2026-01-04 12:00")) == [IBM]


def test_other_symbols_come_and_go_while_the_rest_stays_as_it_is() -> None:
    agenda, now = Agenda(_slots(), (IBM, MSFT)), _at("2026-01-05 10:00:06")
    agenda.answer(IBM, now)
    agenda.postpone(MSFT, now + timedelta(seconds=20))
    tesla = Request(Function.INTRADAY, "TSLA", Interval.ONE_MINUTE)
    agenda.watch((tesla, IBM))
    assert agenda.due(now) == [tesla]
    agenda.watch((IBM, MSFT))
    # Who comes back begins anew.
    assert agenda.due(now) == [MSFT]


def test_a_refused_question_waits_alone() -> None:
    agenda, now = Agenda(_slots(), (IBM, MSFT)), _at("2026-01-05 10:00:06")
    agenda.postpone(IBM, now + timedelta(seconds=20))
    assert agenda.due(now) == [MSFT]
    agenda.answer(MSFT, now)
    assert (agenda.open(now), agenda.may_at(IBM, now)) == ([IBM], now + timedelta(seconds=20))
    assert agenda.due(now + timedelta(seconds=20)) == [IBM]


def test_a_clock_that_was_set_back_does_not_silence_a_symbol() -> None:
    agenda = Agenda(_slots(), (IBM,))
    agenda.answer(IBM, _at("2026-06-01 12:00"))
    assert agenda.due(_at("2026-01-05 10:00:06")) == [IBM]


def test_without_slots_everything_is_due_once() -> None:
    agenda, now = Agenda(None, (IBM, MSFT)), _at("2026-01-04 12:00")
    assert agenda.due(now) == [IBM, MSFT]
    agenda.answer(IBM, now)
    agenda.answer(MSFT, now)
    assert (agenda.open(now), agenda.following(now)) == ([], None)


@pytest.mark.parametrize(
    ("interval", "bar_time", "asked_at", "final"),
    [
        ("1min", "2026-01-05 10:00", "2026-01-05 10:01:04.9", False),
        ("1min", "2026-01-05 10:00", "2026-01-05 10:01:05", True),
        ("60min", "2026-01-05 10:00", "2026-01-05 10:59:59", False),
        ("daily", "2026-01-05", "2026-01-05 16:29:59", False),
        ("daily", "2026-01-05", "2026-01-05 16:30", True),
        ("daily", "2026-11-27", "2026-11-27 13:30", True),
        # A day without a session in our calendar is over at its midnight.
        ("daily", "2026-01-04", "2026-01-04 20:00", False),
        ("daily", "2026-01-04", "2026-01-05 00:00:05", True),
    ],
)
def test_a_bar_is_final_once_it_was_complete_when_asked_for(
    interval: str, bar_time: str, asked_at: str, *, final: bool
) -> None:
    maker = BarMaker("simulator", SESSIONS, SETTLE, timedelta(0))
    asked = _at(asked_at)
    request = Request(Function.INTRADAY, "IBM", Interval(interval))
    row = Row(_at(bar_time), "1", "1", "1", "1", "1")
    answer = Answer(request, "id", asked, asked + timedelta(minutes=3), Series((row,)))
    (bar,) = maker.bars(answer, answer.series.rows)
    assert bar.is_final is final
    assert bar.fetched_at == asked + timedelta(minutes=3)


def test_late_data_make_late_final_bars() -> None:
    maker = BarMaker("alphavantage", SESSIONS, SETTLE, timedelta(minutes=15))
    asked = _at("2026-01-05 10:16:04")
    answer = Answer(IBM, "id", asked, asked, Series((Row(_at("2026-01-05 10:00"), "1", "1", "1", "1", "1"),)))
    assert not maker.bars(answer, answer.series.rows)[0].is_final
