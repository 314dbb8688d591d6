"""The New York calendar, against what the exchange announced and nobody can compute."""

from datetime import UTC, date, datetime, timedelta

import pytest

from market_pulse.sessions import Sessions

FIRST = date(1998, 1, 1)


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return Sessions.load("XNYS", FIRST)


@pytest.mark.parametrize(
    "day",
    [
        *(date(2001, 9, day) for day in (11, 12, 13, 14)),
        date(2004, 6, 11),
        date(2007, 1, 2),
        date(2012, 10, 29),
        date(2012, 10, 30),
        date(2018, 12, 5),
        date(2025, 1, 9),
    ],
    ids=str,
)
def test_closures_that_no_rule_foretells_are_known(sessions: Sessions, day: date) -> None:
    assert sessions.on(day) is None
    assert day.weekday() < 5


@pytest.mark.parametrize("day", [date(2026, 11, 27), date(2026, 12, 24)], ids=str)
def test_half_days_are_known(sessions: Sessions, day: date) -> None:
    session = sessions.on(day)
    assert session is not None
    assert (session.close - session.open, session.late_close - session.close) == (
        timedelta(hours=3.5),
        timedelta(hours=4),
    )


def test_every_year_has_as_many_sessions_as_it_can(sessions: Sessions) -> None:
    last = sessions.days[-1].date.year
    years = {year: sum(session.date.year == year for session in sessions.days) for year in range(FIRST.year, last)}
    assert {year for year, days in years.items() if not 248 <= days <= 253} == set()
    assert {session.date.weekday() for session in sessions.days} == {0, 1, 2, 3, 4}


def test_a_session_may_close_earlier_or_not_take_place(sessions: Sessions) -> None:
    session = sessions.on(date(2026, 1, 5))
    assert session is not None
    noon = datetime(2026, 1, 5, 17, tzinfo=UTC)
    early = session.closed_at(noon)
    assert early is not None
    assert (early.open, early.close, early.late_close) == (session.open, noon, noon + timedelta(hours=4))
    assert session.closed_at(None) is None
