"""The producer over days and weeks of market time, against the simulator's API and its quota, without waiting."""

import logging
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from market_pulse import contract
from market_pulse.contract import Bar, Interval, Rejection
from market_pulse.settings import Plan
from market_pulse.sources.http import HttpError
from support.virtual_market import Call, VirtualMarket

NEW_YORK = ZoneInfo("America/New_York")
TWENTY = tuple(f"S{number:02}" for number in range(20))
DAY = timedelta(days=1)


def _at(wall_time: str) -> datetime:
    return datetime.fromisoformat(wall_time).replace(tzinfo=NEW_YORK).astimezone(UTC)


def _day(moment: datetime) -> date:
    return moment.astimezone(NEW_YORK).date()


def _function(call: Call) -> str:
    return call.query["function"]


def _free(directory: Path, start: str, symbols: tuple[str, ...] = TWENTY) -> VirtualMarket:
    return VirtualMarket(directory, _at(start), symbols, Plan.FREE)


@pytest.fixture
def _no_false_alarm(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


@pytest.mark.usefixtures("_no_false_alarm")
def test_a_month_of_a_free_key_with_a_clock_change_a_holiday_and_a_half_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = _free(tmp_path, "2026-10-29 09:00")
    told: dict[tuple[date, str], datetime] = {}

    def note() -> None:
        for bar in market.bars:
            if bar.is_final:
                told.setdefault((_day(bar.bar_time), bar.symbol), market.clock.at)
        market.told.clear()

    market.run_until(_at("2026-12-01 00:00"), step=note)
    sessions = [s.date for s in market.sessions.days if date(2026, 10, 29) <= s.date < date(2026, 12, 1)]
    assert len(sessions) == 22
    # Each day of each symbol by the end of the vendor's day.
    late = [(day, name) for day in sessions for name in TWENTY if _day(told[day, name]) != day]
    assert late == []
    # Every answer is data: the vendor never had to refuse.
    assert [call.reply.body for call in market.calls if '"Meta Data"' not in call.reply.body] == []
    assert max(Counter(_day(call.at) for call in market.calls).values()) <= 25
    assert caplog.messages == []
    # A call that would tell nothing, such as one for the quote of a day that is over, is not made.
    assert len(market.calls) == 20 * 22 + 3


@pytest.mark.parametrize("week", ["2026-03-06", "2026-10-30"])
@pytest.mark.usefixtures("_no_false_alarm")
def test_polls_keep_to_the_exchanges_hours_over_a_clock_change(
    tmp_path: Path, week: str, caplog: pytest.LogCaptureFixture
) -> None:
    market = VirtualMarket(
        tmp_path, _at(f"{week} 12:00"), ("IBM",), Plan.PREMIUM, Interval.FIVE_MINUTES, extended=False
    )
    monday = _at(f"{week} 00:00") + 3 * DAY + timedelta(hours=3)
    market.run_until(_at(f"{_day(monday)} 23:00"))
    per_day = Counter(_day(call.at) for call in market.calls)
    assert set(per_day) == {_day(_at(week)), _day(monday)}
    mine = [call.at for call in market.calls if _day(call.at) == _day(monday)]
    # At the end of each of 78 bars, and once more half an hour after the close.
    assert len(mine) == 79
    assert (mine[0], mine[-2]) == (_at(f"{_day(monday)} 09:35:05"), _at(f"{_day(monday)} 16:00:05"))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("extended", "last"), [(False, "2026-11-27 13:30:05"), (True, "2026-11-27 17:30:05")], ids=["regular", "extended"]
)
def test_nobody_asks_on_thanksgiving_and_the_half_day_after_ends_early(
    tmp_path: Path, last: str, *, extended: bool
) -> None:
    market = VirtualMarket(
        tmp_path, _at("2026-11-25 15:00"), ("IBM",), Plan.PREMIUM, Interval.FIVE_MINUTES, extended=extended
    )
    market.run_until(_at("2026-11-29 00:00"))
    asked = [call.at for call in market.calls]
    assert [moment for moment in asked if _day(moment) == date(2026, 11, 26)] == []
    assert max(asked) == _at(last)


def _ahead(market: VirtualMarket, until: str, *, is_shown: bool) -> None:
    """Let the host's clock be a day ahead until an instant, which the vendor's answers show or not."""
    market.clock.at += DAY
    market.wire.skew = DAY
    market.wire.ahead = DAY.total_seconds() if is_shown else 0.0
    market.run_until(_at(until) + DAY)
    market.clock.at -= DAY
    market.wire.skew, market.wire.ahead = DAY - DAY, 0.0


def _accepted(market: VirtualMarket) -> tuple[list[Bar], list[Rejection]]:
    """Return what the sink makes of the topic."""
    found = [
        contract.decode(message.symbol.encode(), message.value, appended)
        for message, appended in zip(market.told, market.appended, strict=True)
    ]
    return [b for b in found if isinstance(b, Bar)], [r for r in found if isinstance(r, Rejection)]


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_clock_that_was_a_day_ahead_costs_no_bar(tmp_path: Path, *, is_shown: bool) -> None:
    market = VirtualMarket(tmp_path, _at("2026-01-06 09:29"), ("IBM", "MSFT"), Plan.PREMIUM, extended=False)
    market.run_until(_at("2026-01-06 10:00"))
    before = len(market.calls)
    _ahead(market, "2026-01-06 10:05", is_shown=is_shown)
    # A wrong clock is no reason to ask more often.
    assert len(market.calls) - before <= 2 * 6
    market.run_until(_at("2026-01-06 11:00"))
    accepted, rejected = _accepted(market)
    # What the vendor's clock has put right is right at once.
    assert (not rejected) == is_shown
    minute = timedelta(minutes=1)
    for symbol in ("IBM", "MSFT"):
        newest: dict[datetime, Bar] = {}
        for bar in sorted((b for b in accepted if b.symbol == symbol), key=lambda b: (b.fetched_at, b.request_id)):
            newest[bar.bar_time] = bar
        today = [newest[_at("2026-01-06 09:30") + n * minute] for n in range(89)]
        assert all(bar.is_final for bar in today)
        # As they are without any fault.
        assert [(bar.close, bar.volume) for bar in today] == [
            (true.close, true.volume) for true in _true_bars(tmp_path / symbol, symbol)[:89]
        ]


def _true_bars(directory: Path, symbol: str) -> list[Bar]:
    directory.mkdir()
    market = VirtualMarket(directory, _at("2026-01-06 11:00"), (symbol,), Plan.PREMIUM, extended=False)
    market.run_until(_at("2026-01-06 11:01"))
    return [bar for bar in market.bars if bar.bar_time >= _at("2026-01-06 09:30")]


def test_with_more_symbols_than_calls_the_symbols_take_turns(tmp_path: Path) -> None:
    names = tuple(f"T{number:02}" for number in range(40))
    market = _free(tmp_path, "2026-01-05 09:00", names)
    market.run_until(_at("2026-01-24 00:00"))
    asked = Counter(call.query["symbol"] for call in market.calls)
    assert {_function(call) for call in market.calls} == {"TIME_SERIES_DAILY"}
    assert max(Counter(_day(call.at) for call in market.calls).values()) == 25
    assert max(asked.values()) - min(asked[name] for name in names) <= 1


def test_a_symbol_that_fails_for_ever_costs_little_and_delays_nobody(tmp_path: Path) -> None:
    market = _free(tmp_path, "2026-01-05 09:00")
    market.wire.fault = lambda query, _: HttpError("broken") if query["symbol"] == "S00" else None
    market.run_until(_at("2026-02-07 00:00"))
    cost = Counter(_day(call.at) for call in market.calls if call.query["symbol"] == "S00")
    days = sorted(cost)
    # On the first day nobody knows that it is for ever: it may use what is kept for that.
    assert cost[days[0]] <= 3
    assert {cost[day] for day in days[1:]} == {1}
    assert sum(cost.values()) <= 25 * len(days) * 5 / 100 + 1
    told = {(_day(bar.bar_time), bar.symbol) for bar in market.bars if bar.is_final}
    sessions = [s.date for s in market.sessions.days if date(2026, 1, 5) <= s.date < date(2026, 2, 7)]
    assert {(day, name) for day in sessions for name in TWENTY[1:]} <= told
    evening = [call.at for call in market.calls if _day(call.at) == date(2026, 1, 6) and call.query["symbol"] != "S00"]
    assert max(evening) < _at("2026-01-06 20:31")


def test_two_hours_without_the_vendor_in_the_evening_cost_two_calls_more_than_were_kept(tmp_path: Path) -> None:
    names = tuple(f"T{number:02}" for number in range(23))
    market = _free(tmp_path, "2026-01-05 09:00", names)
    start, end = _at("2026-01-06 20:00"), _at("2026-01-06 22:30")
    market.wire.fault = lambda _, now: HttpError("away") if start <= now < end else None
    market.run_until(_at("2026-01-07 00:00"))
    in_vain = [call for call in market.calls if start <= call.at < end]
    assert 2 <= len(in_vain) <= 4
    told = {bar.symbol for bar in market.bars if _day(bar.bar_time) == date(2026, 1, 6) and bar.is_final}
    # Two calls were kept for this.
    assert len(told) == 23 - (len(in_vain) - 2)
    market.run_until(_at("2026-01-07 23:00"))
    told = {bar.symbol for bar in market.bars if _day(bar.bar_time) == date(2026, 1, 6) and bar.is_final}
    assert told == set(names)


def test_a_first_start_in_the_morning_leaves_the_evening_its_calls(tmp_path: Path) -> None:
    market = _free(tmp_path, "2026-01-06 10:00")
    market.run_until(_at("2026-01-06 20:00"))
    assert Counter(map(_function, market.calls)) == {"TIME_SERIES_DAILY": 3}
    market.run_until(_at("2026-01-07 00:00"))
    assert len({call.query["symbol"] for call in market.calls if call.at > _at("2026-01-06 20:00")}) == 20


def test_our_own_spent_day_is_told_once_per_symbol_and_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[tuple[str, date]] = []
    names = tuple(f"T{number:02}" for number in range(28))
    market = _free(tmp_path, "2026-01-05 09:00", names)
    monkeypatch.setattr(
        type(market.poller.intake), "note_quota", lambda _, request, __, now: noted.append((request.symbol, _day(now)))
    )
    market.run_until(_at("2026-01-05 23:00"))
    market.restart()
    market.run_until(_at("2026-01-07 00:00"))
    assert len(noted) == len(set(noted)) == 6
    assert Counter(day for _, day in noted) == {date(2026, 1, 5): 3, date(2026, 1, 6): 3}
