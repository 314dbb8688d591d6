"""Gaps that the vendor fills late, in part or never, in virtual time."""

from datetime import date
from pathlib import Path

import pytest

from market_pulse.producer.backlog import State
from market_pulse.settings import Plan
from market_pulse.sources.http import HttpError
from simulation.backfilled import HOUR, hourly_market, hours, live_only_since, months_of, order, times, without
from support.intake import at
from support.virtual_market import VirtualMarket


def test_an_outage_longer_than_the_plan_reaches_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    market = hourly_market(tmp_path, "2025-03-03 22:00", Plan.FREE)
    market.run_until(at("2025-03-04 22:00"))
    market.clock.at = at("2025-10-06 22:00")
    market.restart()
    market.run_until(at("2025-10-09 00:00"))
    said = [message for message in caplog.messages if message.startswith("gap: ")]
    assert [message.split()[1] for message in said] == ["symbol=IBM", "symbol=MSFT"]
    assert "from=2025-03-05" in said[0]
    assert "longest answer begins later" in said[0]
    assert market.poller.repairs.backlog.open_pieces() == []


def test_an_afternoon_that_comes_late_is_asked_for_some_hours_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = hourly_market(tmp_path, "2026-01-05 09:00")
    market.wire.fault = without(market, at("2026-01-05 13:00"), at("2026-01-05 16:00"))
    market.run_until(at("2026-01-05 19:30"))
    assert months_of(market.calls) == ["2026-01"] * 2
    market.wire.fault = lambda _query, _now: None
    market.run_until(at("2026-01-06 09:00"))
    assert hours(market, date(2026, 1, 5), date(2026, 1, 5)) <= times(market)
    assert len(months_of(market.calls)) == 4
    assert caplog.messages == []


def test_an_afternoon_that_never_comes_is_asked_for_three_times_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = hourly_market(tmp_path, "2026-01-05 09:00")
    market.wire.fault = without(market, at("2026-01-05 13:00"), at("2026-01-06 00:00"))
    market.run_until(at("2026-01-07 09:00"))
    market.restart()
    market.run_until(at("2026-01-08 09:00"))
    assert len(months_of(market.calls)) == 2 * 3
    assert [message.split(" reason=")[0] for message in caplog.messages] == [
        f"gap: symbol={symbol} from=2026-01-05T18:30Z to=2026-01-05T21:00Z" for symbol in ("IBM", "MSFT")
    ]


def test_a_gap_that_the_vendor_fills_an_hour_later_is_asked_for_until_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = VirtualMarket(tmp_path, at("2026-01-05 09:25"), ("IBM",), Plan.PREMIUM, extended=False)
    market.run_until(at("2026-01-05 09:40"))
    market.clock.at = at("2026-01-05 13:40")
    held = without(market, at("2026-01-05 09:40"), at("2026-01-05 11:45"))
    market.wire.fault = live_only_since(held, at("2026-01-05 12:00"))
    market.run_until(at("2026-01-05 14:40"))
    assert months_of(market.calls) == ["2026-01"]
    market.wire.fault = lambda _query, _now: None
    market.run_until(at("2026-01-05 16:00"))
    assert len(months_of(market.calls)) == 2
    opened = at("2026-01-05 09:30")
    assert {opened + n * HOUR / 60 for n in range(390)} <= times(market)
    assert caplog.messages == []


def test_a_gap_that_never_comes_is_told_and_a_partial_answer_does_not_close_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = VirtualMarket(tmp_path, at("2026-01-05 09:25"), ("IBM",), Plan.PREMIUM, extended=False)
    market.run_until(at("2026-01-05 09:40"))
    market.clock.at = at("2026-01-05 13:40")
    held = without(market, at("2026-01-05 10:00"), at("2026-01-05 11:45"))
    market.wire.fault = live_only_since(held, at("2026-01-05 12:00"))
    market.run_until(at("2026-01-06 05:00"))
    assert len(months_of(market.calls)) == 4
    assert [message.split(" reason=")[0] for message in caplog.messages] == [
        "gap: symbol=IBM from=2026-01-05T14:39Z to=2026-01-05T17:00Z"
    ]


def test_a_weekend_without_network_ends_no_repair(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    market = hourly_market(tmp_path, "2026-01-02 22:00")
    market.run_until(at("2026-01-02 22:05"))
    order(market, (date(2025, 12, 1), date(2025, 12, 31)))
    market.wire.fault = lambda _query, _now: HttpError("network is unreachable")
    market.run_until(at("2026-01-04 12:00"))
    assert [message for message in caplog.messages if message.startswith("gap")] == []
    market.wire.fault = lambda _query, _now: None
    market.run_until(at("2026-01-04 22:00"))
    assert order(market, (date(2025, 12, 1), date(2025, 12, 31))) == [State.DONE]
