"""Repairs and backfill beside live polls, in virtual time, and with the process killed at every step of them."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from market_pulse.contract import Interval
from market_pulse.producer import orders
from market_pulse.producer.archive import Archive
from market_pulse.producer.backlog import State
from market_pulse.producer.rebuild import rebuild
from market_pulse.producer.store import Store
from market_pulse.settings import Plan
from market_pulse.simulator.wire import Reply
from market_pulse.sources.http import HttpError
from support.virtual_market import Call, VirtualMarket

NEW_YORK = ZoneInfo("America/New_York")
HOUR = timedelta(hours=1)
ORDERED = (date(2025, 10, 20), date(2025, 12, 31))
MONTHS = ["2025-10", "2025-11", "2025-12"]


def _at(wall_time: str) -> datetime:
    return datetime.fromisoformat(wall_time).replace(tzinfo=NEW_YORK).astimezone(UTC)


def _market(directory: Path, start: str, plan: Plan = Plan.PREMIUM, **options: Any) -> VirtualMarket:
    return VirtualMarket(
        directory, _at(start), ("IBM", "MSFT"), plan, Interval.SIXTY_MINUTES, extended=False, **options
    )


def _order(market: VirtualMarket, days: tuple[date, date] = ORDERED, *, again: bool = False) -> list[State | None]:
    """Order a backfill of IBM as the control command does, and return how its pieces stand."""
    poller, now = market.poller, market.clock.at
    wanted = orders.parts("IBM", days, poller.offer, market.sessions, now)
    orders.place(poller.repairs.backlog, wanted, now, again=again)
    return [piece and piece.state for piece in orders.standing(poller.repairs.backlog, wanted)]


def _months_of(calls: Sequence[Call]) -> list[str]:
    return [call.query["month"] for call in calls if "month" in call.query]


def _months(market: VirtualMarket) -> list[str]:
    return _months_of(market.calls)


def _unarchived(market: VirtualMarket) -> list[Call]:
    """Return the call whose answer nobody kept, if there is one: it can only be the last."""
    kept = len(list(Archive(market.directory / "archive", keep_days=400).entries()))
    assert len(market.calls) - kept in (0, 1)
    return market.calls[kept:]


def _times(market: VirtualMarket, symbol: str = "IBM") -> set[datetime]:
    return {bar.bar_time for bar in market.bars if bar.symbol == symbol}


def _hours(market: VirtualMarket, first: date, last: date) -> set[datetime]:
    """Return the starts of all bars of an hour in the sessions of these days."""
    sessions = [session for session in market.sessions.days if first <= session.date <= last]
    count = {session: -((session.open - session.close) // HOUR) for session in sessions}
    return {session.open + n * HOUR for session in sessions for n in range(count[session])}


def test_a_backfill_takes_one_call_a_month_and_tells_the_ordered_days_alone(tmp_path: Path) -> None:
    market = _market(tmp_path, "2026-01-03 12:00")
    market.run_until(_at("2026-01-03 12:05"))
    polled = _times(market)
    _order(market)
    market.run_until(_at("2026-01-03 12:30"))
    assert _months(market) == MONTHS
    assert _times(market) - polled == _hours(market, *ORDERED) - polled
    assert _order(market) == [State.DONE] * 3
    market.run_until(_at("2026-01-03 13:00"))
    assert _months(market) == MONTHS


def test_a_backfill_beside_live_polls_delays_none_of_them(tmp_path: Path) -> None:
    def live_calls(directory: Path, *, ordering: bool) -> list[tuple[datetime, str]]:
        market = VirtualMarket(
            directory, _at("2026-01-05 09:25"), ("IBM", "MSFT"), Plan.PREMIUM, calls_per_minute=4, extended=False
        )
        market.run_until(_at("2026-01-05 09:40"))
        if ordering:
            _order(market)
        market.run_until(_at("2026-01-05 10:00"))
        assert bool(_months(market)) == ordering
        return [(call.at, call.query["symbol"]) for call in market.calls if "month" not in call.query]

    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    assert live_calls(tmp_path / "with", ordering=True) == live_calls(tmp_path / "without", ordering=False)


def test_with_no_room_in_the_minute_a_backfill_waits_for_the_close(tmp_path: Path) -> None:
    market = VirtualMarket(
        tmp_path, _at("2026-01-05 15:00"), ("IBM", "MSFT"), Plan.PREMIUM, calls_per_minute=2, extended=False
    )
    market.run_until(_at("2026-01-05 15:10"))
    _order(market)
    market.run_until(_at("2026-01-05 16:00"))
    assert _months(market) == []
    market.run_until(_at("2026-01-05 17:00"))
    assert _months(market) == MONTHS


def test_a_free_key_keeps_the_evenings_calls_and_reaches_a_hundred_days(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    symbols = tuple(f"S{number:02}" for number in range(24))
    market = VirtualMarket(tmp_path, _at("2026-01-05 22:00"), symbols, Plan.FREE)
    market.run_until(_at("2026-01-06 08:00"))
    poller, now = market.poller, market.clock.at
    wanted = orders.parts("OTHER", (date(2025, 12, 1), date(2025, 12, 5)), poller.offer, market.sessions, now)
    orders.place(poller.repairs.backlog, wanted, now)
    market.run_until(_at("2026-01-06 20:29"))
    assert [call for call in market.calls if call.query["symbol"] == "OTHER"] == []
    market.run_until(_at("2026-01-06 23:59"))
    # When every live question has its answer, what was kept for them is free.
    assert [call.at > _at("2026-01-06 20:30") for call in market.calls if call.query["symbol"] == "OTHER"] == [True]
    (piece,) = orders.standing(poller.repairs.backlog, wanted)
    assert piece is not None
    assert piece.state is State.GIVEN_UP


def test_an_outage_longer_than_the_plan_reaches_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    market = _market(tmp_path, "2025-03-03 22:00", Plan.FREE)
    market.run_until(_at("2025-03-04 22:00"))
    market.clock.at = _at("2025-10-06 22:00")
    market.restart()
    market.run_until(_at("2025-10-09 00:00"))
    said = [message for message in caplog.messages if message.startswith("gap: ")]
    assert [message.split()[1] for message in said] == ["symbol=IBM", "symbol=MSFT"]
    assert "from=2025-03-05" in said[0]
    assert "longest answer begins later" in said[0]
    assert market.poller.repairs.backlog.open_pieces() == []


def _without(start: datetime, end: datetime) -> Callable[[VirtualMarket], Callable[..., Reply | None]]:
    """Return a fault that keeps a range of bars back."""

    def fault(market: VirtualMarket) -> Callable[..., Reply | None]:
        def answer(query: dict[str, str], now: datetime) -> Reply | None:
            reply = market.wire.api.reply(query, now)
            body = json.loads(reply.body)
            series = next((value for key, value in body.items() if key.startswith("Time Series")), {})
            for label in list(series):
                if start <= _at(label) < end:
                    del series[label]
            return reply._replace(body=json.dumps(body))

        return answer

    return fault


def test_an_afternoon_that_comes_late_is_asked_for_some_hours_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = _market(tmp_path, "2026-01-05 09:00")
    missing = (_at("2026-01-05 13:00"), _at("2026-01-05 16:00"))
    market.wire.fault = _without(*missing)(market)
    market.run_until(_at("2026-01-05 19:30"))
    assert _months(market) == ["2026-01"] * 2
    market.wire.fault = lambda _query, _now: None
    market.run_until(_at("2026-01-06 09:00"))
    assert _hours(market, date(2026, 1, 5), date(2026, 1, 5)) <= _times(market)
    assert len(_months(market)) == 4
    assert caplog.messages == []


def test_an_afternoon_that_never_comes_is_asked_for_three_times_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = _market(tmp_path, "2026-01-05 09:00")
    market.wire.fault = _without(_at("2026-01-05 13:00"), _at("2026-01-06 00:00"))(market)
    market.run_until(_at("2026-01-07 09:00"))
    market.restart()
    market.run_until(_at("2026-01-08 09:00"))
    assert len(_months(market)) == 2 * 3
    assert [message.split(" reason=")[0] for message in caplog.messages] == [
        f"gap: symbol={symbol} from=2026-01-05T18:30Z to=2026-01-05T21:00Z" for symbol in ("IBM", "MSFT")
    ]


def test_an_order_that_grows_while_its_answer_is_on_its_way_is_fetched_whole(tmp_path: Path) -> None:
    market = _market(tmp_path, "2026-01-03 12:00")
    market.run_until(_at("2026-01-03 12:05"))
    _order(market, (date(2025, 12, 15), date(2025, 12, 19)))
    days = (date(2025, 12, 1), date(2025, 12, 19))

    def order_more(query: dict[str, str], _now: datetime) -> None:
        if "month" in query:
            _order(market, days)

    market.wire.fault = order_more
    market.run_until(_at("2026-01-03 12:30"))
    assert _order(market, days) == [State.DONE]
    assert _hours(market, *days) <= _times(market)
    # The answer that was on its way holds it all.
    assert _months(market) == ["2025-12"]


def test_a_gap_that_the_vendor_fills_an_hour_later_is_asked_for_until_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = VirtualMarket(tmp_path, _at("2026-01-05 09:25"), ("IBM",), Plan.PREMIUM, extended=False)
    market.run_until(_at("2026-01-05 09:40"))
    market.clock.at = _at("2026-01-05 13:40")
    held = _without(_at("2026-01-05 09:40"), _at("2026-01-05 11:45"))(market)
    market.wire.fault = lambda query, now: (
        held(query, now) if "month" in query else _cut(held(query, now), _at("2026-01-05 12:00"))
    )
    market.run_until(_at("2026-01-05 14:40"))
    assert _months(market) == ["2026-01"]
    market.wire.fault = lambda _query, _now: None
    market.run_until(_at("2026-01-05 16:00"))
    assert len(_months(market)) == 2
    opened = _at("2026-01-05 09:30")
    assert {opened + n * HOUR / 60 for n in range(390)} <= _times(market)
    assert caplog.messages == []


def test_a_gap_that_never_comes_is_told_and_a_partial_answer_does_not_close_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = VirtualMarket(tmp_path, _at("2026-01-05 09:25"), ("IBM",), Plan.PREMIUM, extended=False)
    market.run_until(_at("2026-01-05 09:40"))
    market.clock.at = _at("2026-01-05 13:40")
    held = _without(_at("2026-01-05 10:00"), _at("2026-01-05 11:45"))(market)
    market.wire.fault = lambda query, now: (
        held(query, now) if "month" in query else _cut(held(query, now), _at("2026-01-05 12:00"))
    )
    market.run_until(_at("2026-01-06 05:00"))
    assert len(_months(market)) == 4
    assert [message.split(" reason=")[0] for message in caplog.messages] == [
        "gap: symbol=IBM from=2026-01-05T14:39Z to=2026-01-05T17:00Z"
    ]


def test_a_weekend_without_network_ends_no_repair(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    market = _market(tmp_path, "2026-01-02 22:00")
    market.run_until(_at("2026-01-02 22:05"))
    _order(market, (date(2025, 12, 1), date(2025, 12, 31)))
    market.wire.fault = lambda _query, _now: HttpError("network is unreachable")
    market.run_until(_at("2026-01-04 12:00"))
    assert [message for message in caplog.messages if message.startswith("gap")] == []
    market.wire.fault = lambda _query, _now: None
    market.run_until(_at("2026-01-04 22:00"))
    assert _order(market, (date(2025, 12, 1), date(2025, 12, 31))) == [State.DONE]


def test_an_order_outlives_its_symbol_being_watched(tmp_path: Path) -> None:
    market = _market(tmp_path, "2026-01-03 12:00")
    market.run_until(_at("2026-01-03 12:05"))
    poller, now = market.poller, market.clock.at
    request = poller.offer.requests[0]
    poller.repairs.found_gap(request, (_at("2025-12-10 09:30"), _at("2025-12-11 16:00")), now)
    days = (date(2025, 12, 1), date(2025, 12, 19))
    _order(market, days)
    poller.watch(poller.source.offer(["MSFT"], Interval.SIXTY_MINUTES))
    market.run_until(_at("2026-01-03 12:30"))
    assert _order(market, days) == [State.DONE]
    assert _hours(market, *days) <= _times(market)


def _lost(market: VirtualMarket) -> None:
    """Let the topic lose everything that it was told."""
    market.told.clear()


@pytest.mark.parametrize("plan", [Plan.FREE, Plan.PREMIUM])
def test_what_the_topic_lost_is_told_again_without_paying_for_what_is_archived(tmp_path: Path, plan: Plan) -> None:
    market = VirtualMarket(tmp_path, _at("2026-01-02 22:00"), ("IBM",), plan, Interval.DAILY)
    market.run_until(_at("2026-01-03 08:00"))
    days = (date(2025, 12, 15), date(2025, 12, 19))
    held = {session.date for session in market.sessions.days if days[0] <= session.date <= days[1]}
    _order(market, days)
    market.run_until(_at("2026-01-03 09:00"))
    calls = len(market.calls)
    for _ in range(2):
        _lost(market)
        _order(market, days)
        market.run_until(market.clock.at + HOUR)
        assert _times(market) == set()
        _order(market, days, again=True)
        # The same order while it is open is that order.
        _order(market, days, again=True)
        market.run_until(market.clock.at + HOUR)
        assert {moment.astimezone(NEW_YORK).date() for moment in _times(market)} == held
        assert len(market.bars) == 5
        assert _order(market, days) == [State.DONE]
    assert len(market.calls) == calls


def test_what_polls_told_lately_is_told_again_for_one_call(tmp_path: Path) -> None:
    market = _market(tmp_path, "2026-01-03 12:00")
    market.run_until(_at("2026-01-03 12:05"))
    days = (date(2025, 12, 30), date(2025, 12, 31))
    told = {bar for bar in market.bars if bar.symbol == "IBM" and bar.bar_time in _hours(market, *days)}
    _lost(market)
    _order(market, days, again=True)
    market.run_until(_at("2026-01-03 13:00"))
    again = {bar for bar in market.bars if bar.symbol == "IBM"}
    assert {(bar.bar_time, bar.close, bar.volume) for bar in again} == {
        (bar.bar_time, bar.close, bar.volume) for bar in told
    }
    assert again
    assert _months(market) == ["2025-12"]
    # The archive tells the same, that telling included.
    entries = Archive(tmp_path / "archive", keep_days=400).entries()
    rebuilt = [message.value for message in rebuild(entries, market.sessions)]
    assert {message.value for message in market.told} <= set(rebuilt)


class _KilledError(BaseException):
    """Stands for kill -9: nothing of the producer may catch it."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], None]]:
    """Give a switch: the process dies just before its n-th write from now on, or lives for good."""
    left: list[int | None] = [None]

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object, **options: object) -> object:
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise _KilledError
            return method(*arguments, **options)

        return call

    def set_(count: int | None) -> None:
        left[0] = count

    for owner, name in ((Store, "execute"), (Store, "execute_many"), (Archive, "add")):
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))
    yield set_
    left[0] = None


def test_whatever_a_kill_interrupts_no_answer_is_paid_for_twice(
    tmp_path: Path, kill_at: Callable[[int | None], None]
) -> None:
    for point in range(0, 400, 3):
        directory = tmp_path / str(point)
        directory.mkdir()
        market = _market(directory, "2026-01-03 12:00")
        market.run_until(_at("2026-01-03 12:05"))
        polled = _times(market)
        _order(market)
        kill_at(point)
        try:
            market.run_until(_at("2026-01-03 12:30"))
        except _KilledError:
            was_killed = True
        else:
            was_killed = False
        kill_at(None)
        on_its_way = _unarchived(market)
        market.restart()
        market.run_until(_at("2026-01-03 13:00"))
        assert _order(market) == [State.DONE] * 3
        assert _times(market) - polled == _hours(market, *ORDERED) - polled
        # Only the answer that was on its way when the process died is asked for once more.
        assert sorted(_months(market)) == sorted([*MONTHS, *_months_of(on_its_way)])
        if not was_killed:
            break
    else:
        pytest.fail("the backfill takes more writes than were tried")
    assert point > 30


def test_a_live_answer_that_was_archived_is_not_asked_for_again(
    tmp_path: Path, kill_at: Callable[[int | None], None]
) -> None:
    for point in range(40):
        directory = tmp_path / str(point)
        directory.mkdir()
        market = _market(directory, "2026-01-03 12:00")
        kill_at(point)
        try:
            market.run_until(_at("2026-01-03 12:05"))
        except _KilledError:
            was_killed = True
        else:
            was_killed = False
        kill_at(None)
        on_its_way = _unarchived(market)
        market.restart()
        market.run_until(_at("2026-01-03 12:10"))
        assert {bar.symbol for bar in market.bars} == {"IBM", "MSFT"}
        assert len(market.calls) == 2 + len(on_its_way)
        if not was_killed:
            break
    assert point > 10


def test_a_gap_that_was_found_survives_a_kill_at_any_step(
    tmp_path: Path, kill_at: Callable[[int | None], None]
) -> None:
    lost = (_at("2026-01-05 10:30"), _at("2026-01-05 12:30"))

    def short_memory(market: VirtualMarket) -> Callable[..., Reply | None]:
        held = _without(*lost)(market)
        # The live answer begins after the gap; the month's has everything.
        return lambda query, now: None if "month" in query else _cut(held(query, now), lost[1])

    for point in range(60):
        directory = tmp_path / str(point)
        directory.mkdir()
        market = _market(directory, "2026-01-05 10:31")
        market.run_until(_at("2026-01-05 10:35"))
        market.wire.fault = short_memory(market)
        market.clock.at = _at("2026-01-05 13:31")
        kill_at(point)
        try:
            market.run_until(_at("2026-01-05 13:32"))
        except _KilledError:
            was_killed = True
        else:
            was_killed = False
        kill_at(None)
        market.restart()
        market.run_until(_at("2026-01-05 13:50"))
        for symbol in ("IBM", "MSFT"):
            assert {_at("2026-01-05 10:30"), _at("2026-01-05 11:30")} <= _times(market, symbol), point
        if not was_killed:
            break
    assert point > 20


def _cut(reply: Reply | None, since: datetime) -> Reply:
    """Return a reply without its older bars."""
    assert reply is not None
    body = json.loads(reply.body)
    key = next(key for key in body if key.startswith("Time Series"))
    body[key] = {label: bar for label, bar in body[key].items() if _at(label) >= since}
    return reply._replace(body=json.dumps(body))
