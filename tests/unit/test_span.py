"""Ranges of bars as requests, how far a plan reaches, and ends that the vendor kept back."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from market_pulse.contract import Interval
from market_pulse.errors import OrderError
from market_pulse.producer import orders, span
from market_pulse.producer.span import Part
from market_pulse.sessions import Sessions
from market_pulse.sources.base import Cadence, Function, Offer, Request

SESSIONS = Sessions.load("XNYS", date(2024, 1, 2))
MINUTE = Interval.ONE_MINUTE
INTRADAY = Offer((Request(Function.INTRADAY, "IBM", MINUTE),), Cadence.EVERY_BAR)
DAILY = Request(Function.DAILY, "IBM", Interval.DAILY)
FREE = Offer((DAILY,), Cadence.AFTER_CLOSE, timedelta(hours=4), long_answers=False)
PAID = Offer((DAILY,), Cadence.AFTER_CLOSE)


def _at(wall_time: str) -> datetime:
    return datetime.fromisoformat(wall_time).replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)


NOW = _at("2026-01-05 12:00")


def test_a_range_is_split_at_the_exchanges_months() -> None:
    found = list(span.parts("IBM", MINUTE, (_at("2025-10-20"), _at("2026-01-03")), SESSIONS))
    assert [(part.month, *part.range) for part in found] == [
        ("2025-10", _at("2025-10-20"), _at("2025-11-01")),
        # Clocks change on 2 November.
        ("2025-11", _at("2025-11-01"), _at("2025-12-01")),
        ("2025-12", _at("2025-12-01"), _at("2026-01-01")),
        ("2026-01", _at("2026-01-01"), _at("2026-01-03")),
    ]


@pytest.mark.parametrize("interval", [MINUTE, Interval.DAILY])
def test_days_without_trading_take_no_request(interval: Interval) -> None:
    saturday, monday = _at("2026-01-03"), _at("2026-01-05")
    assert list(span.parts("IBM", interval, (saturday, monday), SESSIONS)) == []
    assert len(list(span.parts("IBM", interval, (saturday, _at("2026-01-06")), SESSIONS))) == 1
    # After the last trade of Friday.
    assert list(span.parts("IBM", MINUTE, (_at("2026-01-02 20:00"), monday), SESSIONS)) == []


def test_months_are_asked_for_whole_and_days_in_the_longest_answer() -> None:
    (month,) = span.parts("IBM", MINUTE, (_at("2025-12-01"), _at("2026-01-01")), SESSIONS)
    assert span.request(month, INTRADAY) == Request(Function.INTRADAY, "IBM", MINUTE, full=True, month="2025-12")
    (days,) = span.parts("IBM", Interval.DAILY, (_at("2025-12-01"), _at("2026-01-01")), SESSIONS)
    assert [span.request(days, offer).full for offer in (FREE, PAID)] == [False, True]


def test_a_free_key_reaches_a_hundred_sessions() -> None:
    told = [session.date for session in SESSIONS.days if session.date < date(2026, 1, 5)]
    oldest = _at(f"{told[-100]}")
    assert span.unreachable(oldest, FREE, SESSIONS, NOW) is None
    assert span.unreachable(oldest - timedelta(days=1), FREE, SESSIONS, NOW) == oldest
    assert span.unreachable(_at("2024-01-02"), PAID, SESSIONS, NOW) is None
    assert span.unreachable(_at("2024-01-02"), INTRADAY, SESSIONS, NOW) is None


def _minutes(start: str, count: int) -> list[datetime]:
    return [_at(start) + n * timedelta(minutes=1) for n in range(count)]


@pytest.mark.parametrize(
    ("held", "asked_at", "missing"),
    [
        (_minutes("2026-01-05 09:30", 390), "2026-01-05 16:30:05", None),
        (_minutes("2026-01-05 09:30", 210), "2026-01-05 16:30:05", ("2026-01-05 13:00", "2026-01-05 16:00")),
        # Nobody knows yet.
        (_minutes("2026-01-05 09:30", 210), "2026-01-05 16:29:59", None),
        # The last hour may have had no trade.
        (_minutes("2026-01-05 09:30", 330), "2026-01-05 16:30:05", None),
        # A vendor that froze the day before.
        (_minutes("2026-01-02 15:00", 60), "2026-01-05 16:30:05", ("2026-01-05 09:30", "2026-01-05 16:00")),
        # Half a day is a day.
        (_minutes("2025-11-28 09:30", 210), "2025-11-28 13:30:05", None),
        # An answer that begins after the close says nothing about the session, and an empty one nothing at all.
        (_minutes("2026-01-05 16:00", 60), "2026-01-05 18:00", None),
        ([], "2026-01-05 18:00", None),
    ],
)
def test_an_afternoon_that_is_missing_is_found(
    held: list[datetime], asked_at: str, missing: tuple[str, str] | None
) -> None:
    found = span.missing_end(held, MINUTE, INTRADAY, SESSIONS, _at(asked_at))
    assert found == (missing and tuple(map(_at, missing)))


def test_a_day_that_is_missing_is_found_when_it_should_be_there() -> None:
    held = [_at("2025-12-31"), _at("2026-01-02")]
    assert span.missing_end(held, Interval.DAILY, FREE, SESSIONS, _at("2026-01-05 20:29")) is None
    missing = span.missing_end(held, Interval.DAILY, FREE, SESSIONS, _at("2026-01-05 20:30"))
    assert missing == (_at("2026-01-05"), _at("2026-01-06"))
    assert span.missing_end([*held, missing[0]], Interval.DAILY, FREE, SESSIONS, _at("2026-01-05 20:30")) is None


@pytest.mark.parametrize(
    ("held", "lacking"),
    [
        ([], True),
        (_minutes("2026-01-02 15:00", 60) + _minutes("2026-01-05 09:30", 150), False),
        # An hour without trades is no more than that, and a minute longer is.
        (_minutes("2026-01-02 15:59", 1) + _minutes("2026-01-05 10:30", 90), False),
        (_minutes("2026-01-02 15:59", 1) + _minutes("2026-01-05 10:31", 89), True),
        (_minutes("2026-01-02 15:00", 60) + _minutes("2026-01-05 09:30", 1), True),
        (_minutes("2026-01-05 09:30", 150), False),
        # What lies beside the part says nothing about it.
        (_minutes("2026-01-05 12:00", 60), True),
    ],
)
def test_an_answer_lacks_what_regular_trading_cannot_do_without(held: list[datetime], *, lacking: bool) -> None:
    part = Part("IBM", MINUTE, "2026-01", _at("2026-01-02 15:00"), _at("2026-01-05 12:00"))
    assert span.lacks(held, part, SESSIONS) == lacking


def test_an_answer_lacks_any_day_of_trading() -> None:
    part = Part("IBM", Interval.DAILY, "", _at("2026-01-02"), _at("2026-01-06"))
    assert not span.lacks([_at("2026-01-02"), _at("2026-01-05")], part, SESSIONS)
    assert span.lacks([_at("2026-01-02")], part, SESSIONS)


def test_an_order_ends_with_the_last_finished_day_so_that_repeating_it_is_the_same_order() -> None:
    days = (date(2025, 12, 30), date(2026, 1, 5))
    noon, evening = (orders.parts("IBM", days, INTRADAY, SESSIONS, _at(f"2026-01-05 {t}")) for t in ("12:00", "19:00"))
    assert noon == evening
    assert [part.ends_at for part in noon] == [_at("2026-01-01"), _at("2026-01-02 20:30")]
    tomorrow = orders.parts("IBM", days, INTRADAY, SESSIONS, _at("2026-01-06 09:00"))
    assert tomorrow[-1].ends_at == _at("2026-01-05 20:30")


@pytest.mark.parametrize(
    ("symbol", "first", "last", "offer", "sentence"),
    [
        ("ibm", "2025-12-01", "2025-12-31", INTRADAY, "'ibm' is not a symbol"),
        ("IBM", "2025-12-31", "2025-12-01", INTRADAY, "--from 2025-12-31 is later than --to 2025-12-01"),
        ("IBM", "2025-12-01", "2026-01-06", INTRADAY, "--to 2026-01-06 lies in the future; on NYSE it is 2026-01-05"),
        ("IBM", "2023-12-01", "2026-01-02", INTRADAY, "--from 2023-12-01 is too early"),
        ("IBM", "2025-01-02", "2026-01-02", FREE, "longest answer of the key's plan begins on 2025-08-1"),
        ("IBM", "2026-01-03", "2026-01-05", INTRADAY, "NYSE has not finished a session from 2026-01-03"),
        ("IBM", "2025-12-01", "2025-12-31", Offer((DAILY,), Cadence.ONCE), "plays recorded answers"),
    ],
)
def test_what_cannot_be_ordered_is_said(symbol: str, first: str, last: str, offer: Offer, sentence: str) -> None:
    with pytest.raises(OrderError) as refused:
        orders.parts(symbol, (date.fromisoformat(first), date.fromisoformat(last)), offer, SESSIONS, NOW)
    assert sentence in str(refused.value)
