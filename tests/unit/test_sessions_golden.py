"""The weeks around each clock change on three exchanges, against hours that were written down by hand."""

from datetime import date, timedelta

import pytest

from market_pulse.sessions import Sessions

SUMMER_US, SUMMER_EU, WINTER_EU, WINTER_US = (
    date(2026, 3, 9),
    date(2026, 3, 30),
    date(2026, 10, 26),
    date(2026, 11, 2),
)
# Exchange, Monday, open and close in UTC, and the days of that week without trading.
WEEKS = [
    ("XNYS", SUMMER_US, ("13:30", "20:00"), ()),
    ("XNYS", SUMMER_EU, ("13:30", "20:00"), ("Fri",)),
    ("XNYS", WINTER_EU, ("13:30", "20:00"), ()),
    ("XNYS", WINTER_US, ("14:30", "21:00"), ()),
    ("XLON", SUMMER_US, ("08:00", "16:30"), ()),
    ("XLON", SUMMER_EU, ("07:00", "15:30"), ("Fri",)),
    ("XLON", WINTER_EU, ("08:00", "16:30"), ()),
    ("XLON", WINTER_US, ("08:00", "16:30"), ()),
    ("XTKS", SUMMER_US, ("00:00", "06:30"), ()),
    ("XTKS", SUMMER_EU, ("00:00", "06:30"), ()),
    ("XTKS", WINTER_EU, ("00:00", "06:30"), ()),
    # Culture Day.
    ("XTKS", WINTER_US, ("00:00", "06:30"), ("Tue",)),
]


@pytest.fixture(scope="module")
def exchanges() -> dict[str, Sessions]:
    return {name: Sessions.load(name, date(2026, 1, 2)) for name in ("XNYS", "XLON", "XTKS")}


@pytest.mark.parametrize(("exchange", "monday", "hours", "closed"), WEEKS)
def test_a_week_of_a_clock_change_is_as_it_was_written_down(
    exchanges: dict[str, Sessions], exchange: str, monday: date, hours: tuple[str, str], closed: tuple[str, ...]
) -> None:
    found = []
    for number in range(-1, 6):
        session = exchanges[exchange].on(monday + timedelta(days=number))
        if session:
            found.append((f"{session.date:%a}", f"{session.open:%H:%M}", f"{session.close:%H:%M}"))
            assert session.open.date() == session.close.date() == session.date
    assert found == [(day, *hours) for day in ("Mon", "Tue", "Wed", "Thu", "Fri") if day not in closed]
