from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from market_pulse.cli.moments import Moment, day, read
from market_pulse.contract import Interval
from market_pulse.sessions import Sessions

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 1, 10, tzinfo=UTC)
SESSIONS = Sessions.load("XNYS", date(2025, 11, 24))


def utc(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant", "reading"),
    [
        ("2026-01-05T10:31", utc(5, 15, 31), "in the exchange's time, America/New_York"),
        ("2026-01-05 10:31:30", utc(5, 15, 31).replace(second=30), "in the exchange's time, America/New_York"),
        ("2026-01-05T15:31Z", utc(5, 15, 31), "an absolute instant"),
        ("2026-01-05T16:31+01:00", utc(5, 15, 31), "an absolute instant"),
    ],
)
def test_an_instant_with_and_without_an_offset(text: str, instant: datetime, reading: str) -> None:
    assert read(text, NEW_YORK, None, Interval.ONE_MINUTE) == Moment(instant, Interval.ONE_MINUTE, reading)


def test_a_day_alone_is_its_bar() -> None:
    for interval in (None, Interval.DAILY):
        moment = read("2026-01-05", NEW_YORK, interval, Interval.ONE_MINUTE)
        assert (moment.instant, moment.interval) == (utc(5, 5), Interval.DAILY)


@pytest.mark.parametrize(
    ("text", "interval", "said"),
    [
        ("yesterday", None, "'yesterday' is no instant"),
        ("2026-02-30", None, "'2026-02-30' is no day of the calendar"),
        ("2026-01-05T25:00", None, "is no instant"),
        ("2026-11-01T01:30", None, "comes twice or never in America/New_York"),
        ("2026-03-08T02:30", None, "comes twice or never"),
        ("0001-01-01T00:00+10:00", None, "is no instant"),
        ("2026-01-05", Interval.ONE_MINUTE, "names a day, and 1min bars have a time"),
        ("2026-01-05T10:31", Interval.DAILY, "a daily bar is named by its day alone"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_could(text: str, interval: Interval | None, said: str) -> None:
    with pytest.raises(ValueError, match="2026-01-05") as refused:
        read(text, NEW_YORK, interval, Interval.ONE_MINUTE)
    assert said in str(refused.value)


def test_a_day_is_written_out() -> None:
    assert day("2026-01-05") == date(2026, 1, 5)
    with pytest.raises(ValueError, match="is no day of the calendar"):
        day("5.1.2026")


@pytest.mark.parametrize(
    ("instant", "interval", "said"),
    [
        (utc(5, 15, 31), Interval.ONE_MINUTE, None),
        (utc(5, 14, 30), Interval.ONE_MINUTE, None),
        (utc(5, 14, 0), Interval.SIXTY_MINUTES, None),
        (utc(5, 14, 29), Interval.ONE_MINUTE, "outside of the regular session, from 09:30 to 16:00"),
        (utc(5, 21, 0), Interval.ONE_MINUTE, "outside of the regular session"),
        (utc(6, 1, 0), Interval.ONE_MINUTE, "NYSE traded from 04:00 to 20:00 on 2026-01-05: no bar is expected"),
        (utc(4, 15, 31), Interval.ONE_MINUTE, "NYSE was closed on 2026-01-04"),
        (utc(11), Interval.ONE_MINUTE, "in market time it is 2026-01-10T00:00Z"),
        (utc(9, 5), Interval.DAILY, None),
    ],
)
def test_whether_there_can_be_a_bar(instant: datetime, interval: Interval, said: str | None) -> None:
    found = Moment(instant, interval, "").unexpected(SESSIONS, NOW)
    assert found is None if said is None else said in str(found)


def test_a_half_day_and_a_day_that_is_not_over() -> None:
    after_the_early_close = datetime(2025, 11, 28, 18, 30, tzinfo=UTC)
    found = Moment(after_the_early_close, Interval.ONE_MINUTE, "").unexpected(SESSIONS, NOW)
    assert "from 09:30 to 13:00" in str(found)
    today = Moment(utc(9, 5), Interval.DAILY, "").unexpected(SESSIONS, utc(9, 20))
    assert today == "NYSE closes at 16:00"
