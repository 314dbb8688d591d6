"""Ordered history beside live polls, in virtual time: what it costs, what it delays, and what it tells again."""

import logging
from datetime import date, datetime
from pathlib import Path

import pytest

from market_pulse.contract import Interval
from market_pulse.producer import orders
from market_pulse.producer.archive import Archive
from market_pulse.producer.backlog import State
from market_pulse.producer.rebuild import rebuild
from market_pulse.settings import Plan
from simulation.backfilled import HOUR, MONTHS, ORDERED, hourly_market, hours, months_of, order, times
from support.intake import NEW_YORK, at
from support.virtual_market import VirtualMarket


def test_a_backfill_takes_one_call_a_month_and_tells_the_ordered_days_alone(tmp_path: Path) -> None:
    market = hourly_market(tmp_path, "2026-01-03 12:00")
    market.run_until(at("2026-01-03 12:05"))
    polled = times(market)
    order(market)
    market.run_until(at("2026-01-03 12:30"))
    assert months_of(market.calls) == MONTHS
    assert times(market) - polled == hours(market, *ORDERED) - polled
    assert order(market) == [State.DONE] * 3
    market.run_until(at("2026-01-03 13:00"))
    assert months_of(market.calls) == MONTHS


def test_a_backfill_beside_live_polls_delays_none_of_them(tmp_path: Path) -> None:
    def live_calls(directory: Path, *, ordering: bool) -> list[tuple[datetime, str]]:
        market = VirtualMarket(
            directory, at("2026-01-05 09:25"), ("IBM", "MSFT"), Plan.PREMIUM, calls_per_minute=4, extended=False
        )
        market.run_until(at("2026-01-05 09:40"))
        if ordering:
            order(market)
        market.run_until(at("2026-01-05 10:00"))
        assert bool(months_of(market.calls)) == ordering
        return [(call.at, call.query["symbol"]) for call in market.calls if "month" not in call.query]

    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    assert live_calls(tmp_path / "with", ordering=True) == live_calls(tmp_path / "without", ordering=False)


def test_with_no_room_in_the_minute_a_backfill_waits_for_the_close(tmp_path: Path) -> None:
    market = VirtualMarket(
        tmp_path, at("2026-01-05 15:00"), ("IBM", "MSFT"), Plan.PREMIUM, calls_per_minute=2, extended=False
    )
    market.run_until(at("2026-01-05 15:10"))
    order(market)
    market.run_until(at("2026-01-05 16:00"))
    assert months_of(market.calls) == []
    market.run_until(at("2026-01-05 17:00"))
    assert months_of(market.calls) == MONTHS


def test_a_free_key_keeps_the_evenings_calls_and_reaches_a_hundred_days(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    symbols = tuple(f"S{number:02}" for number in range(24))
    market = VirtualMarket(tmp_path, at("2026-01-05 22:00"), symbols, Plan.FREE)
    market.run_until(at("2026-01-06 08:00"))
    poller, now = market.poller, market.clock.at
    wanted = orders.parts("OTHER", (date(2025, 12, 1), date(2025, 12, 5)), poller.offer, market.sessions, now)
    orders.place(poller.repairs.backlog, wanted, now)
    market.run_until(at("2026-01-06 20:29"))
    assert [call for call in market.calls if call.query["symbol"] == "OTHER"] == []
    market.run_until(at("2026-01-06 23:59"))
    # When every live question has its answer, what was kept for them is free.
    assert [call.at > at("2026-01-06 20:30") for call in market.calls if call.query["symbol"] == "OTHER"] == [True]
    (piece,) = orders.standing(poller.repairs.backlog, wanted)
    assert piece is not None
    assert piece.state is State.GIVEN_UP


def test_an_order_that_grows_while_its_answer_is_on_its_way_is_fetched_whole(tmp_path: Path) -> None:
    market = hourly_market(tmp_path, "2026-01-03 12:00")
    market.run_until(at("2026-01-03 12:05"))
    order(market, (date(2025, 12, 15), date(2025, 12, 19)))
    days = (date(2025, 12, 1), date(2025, 12, 19))

    def order_more(query: dict[str, str], _now: datetime) -> None:
        if "month" in query:
            order(market, days)

    market.wire.fault = order_more
    market.run_until(at("2026-01-03 12:30"))
    assert order(market, days) == [State.DONE]
    assert hours(market, *days) <= times(market)
    # The answer that was on its way holds it all.
    assert months_of(market.calls) == ["2025-12"]


def test_an_order_outlives_its_symbol_being_watched(tmp_path: Path) -> None:
    market = hourly_market(tmp_path, "2026-01-03 12:00")
    market.run_until(at("2026-01-03 12:05"))
    poller, now = market.poller, market.clock.at
    request = poller.offer.requests[0]
    poller.repairs.found_gap(request, (at("2025-12-10 09:30"), at("2025-12-11 16:00")), now)
    days = (date(2025, 12, 1), date(2025, 12, 19))
    order(market, days)
    poller.watch(poller.source.offer(["MSFT"], Interval.SIXTY_MINUTES))
    market.run_until(at("2026-01-03 12:30"))
    assert order(market, days) == [State.DONE]
    assert hours(market, *days) <= times(market)


def _lost(market: VirtualMarket) -> None:
    """Let the topic lose everything that it was told."""
    market.told.clear()


@pytest.mark.parametrize("plan", [Plan.FREE, Plan.PREMIUM])
def test_what_the_topic_lost_is_told_again_without_paying_for_what_is_archived(tmp_path: Path, plan: Plan) -> None:
    market = VirtualMarket(tmp_path, at("2026-01-02 22:00"), ("IBM",), plan, Interval.DAILY)
    market.run_until(at("2026-01-03 08:00"))
    days = (date(2025, 12, 15), date(2025, 12, 19))
    held = {session.date for session in market.sessions.days if days[0] <= session.date <= days[1]}
    order(market, days)
    market.run_until(at("2026-01-03 09:00"))
    calls = len(market.calls)
    for _ in range(2):
        _lost(market)
        order(market, days)
        market.run_until(market.clock.at + HOUR)
        assert times(market) == set()
        order(market, days, again=True)
        # The same order while it is open is that order.
        order(market, days, again=True)
        market.run_until(market.clock.at + HOUR)
        assert {moment.astimezone(NEW_YORK).date() for moment in times(market)} == held
        assert len(market.bars) == 5
        assert order(market, days) == [State.DONE]
    assert len(market.calls) == calls


def test_what_polls_told_lately_is_told_again_for_one_call(tmp_path: Path) -> None:
    market = hourly_market(tmp_path, "2026-01-03 12:00")
    market.run_until(at("2026-01-03 12:05"))
    days = (date(2025, 12, 30), date(2025, 12, 31))
    told = {bar for bar in market.bars if bar.symbol == "IBM" and bar.bar_time in hours(market, *days)}
    _lost(market)
    order(market, days, again=True)
    market.run_until(at("2026-01-03 13:00"))
    again = {bar for bar in market.bars if bar.symbol == "IBM"}
    assert {(bar.bar_time, bar.close, bar.volume) for bar in again} == {
        (bar.bar_time, bar.close, bar.volume) for bar in told
    }
    assert again
    assert months_of(market.calls) == ["2025-12"]
    # The archive tells the same, that telling included.
    entries = Archive(tmp_path / "archive", keep_days=400).entries()
    rebuilt = [message.value for message in rebuild(entries, market.sessions)]
    assert {message.value for message in market.told} <= set(rebuilt)
