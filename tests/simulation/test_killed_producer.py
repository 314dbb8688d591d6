"""The process killed at every step of polls, repairs and backfills: nothing is lost, and nothing paid for twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from market_pulse.producer.archive import Archive
from market_pulse.producer.backlog import State
from market_pulse.producer.store import Store
from simulation.backfilled import MONTHS, ORDERED, hourly_market, hours, live_only_since, months_of, order, times
from support.intake import at
from support.virtual_market import Call, VirtualMarket

LivesUntil = Callable[[VirtualMarket, str, int], bool]


def _unarchived(market: VirtualMarket) -> list[Call]:
    """Return the call whose answer nobody kept, if there is one: it can only be the last."""
    kept = len(list(Archive(market.directory / "archive", keep_days=400).entries()))
    assert len(market.calls) - kept in (0, 1)
    return market.calls[kept:]


class _KilledError(BaseException):
    """Stands for kill -9: nothing of the producer may catch it."""


@pytest.fixture
def lives_until(monkeypatch: pytest.MonkeyPatch) -> LivesUntil:
    """Give a function that runs a market or kills it just before its n-th write, and tells whether it lived."""
    left: list[int | None] = [None]

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object, **options: object) -> object:
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise _KilledError
            return method(*arguments, **options)

        return call

    for owner, name in ((Store, "execute"), (Store, "execute_many"), (Archive, "add")):
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))

    def run(market: VirtualMarket, until: str, write: int) -> bool:
        left[0] = write
        try:
            market.run_until(at(until))
        except _KilledError:
            return False
        finally:
            left[0] = None
        return True

    return run


def test_whatever_a_kill_interrupts_no_answer_is_paid_for_twice(tmp_path: Path, lives_until: LivesUntil) -> None:
    for point in range(0, 400, 3):
        directory = tmp_path / str(point)
        directory.mkdir()
        market = hourly_market(directory, "2026-01-03 12:00")
        market.run_until(at("2026-01-03 12:05"))
        polled = times(market)
        order(market)
        lived = lives_until(market, "2026-01-03 12:30", point)
        on_its_way = _unarchived(market)
        market.restart()
        market.run_until(at("2026-01-03 13:00"))
        assert order(market) == [State.DONE] * 3
        assert times(market) - polled == hours(market, *ORDERED) - polled
        # Only the answer that was on its way when the process died is asked for once more.
        assert sorted(months_of(market.calls)) == sorted([*MONTHS, *months_of(on_its_way)])
        if lived:
            break
    else:
        pytest.fail("the backfill takes more writes than were tried")
    assert point > 30


def test_a_live_answer_that_was_archived_is_not_asked_for_again(tmp_path: Path, lives_until: LivesUntil) -> None:
    for point in range(40):
        directory = tmp_path / str(point)
        directory.mkdir()
        market = hourly_market(directory, "2026-01-03 12:00")
        lived = lives_until(market, "2026-01-03 12:05", point)
        on_its_way = _unarchived(market)
        market.restart()
        market.run_until(at("2026-01-03 12:10"))
        assert {bar.symbol for bar in market.bars} == {"IBM", "MSFT"}
        assert len(market.calls) == 2 + len(on_its_way)
        if lived:
            break
    assert point > 10


def test_a_gap_that_was_found_survives_a_kill_at_any_step(tmp_path: Path, lives_until: LivesUntil) -> None:
    for point in range(60):
        directory = tmp_path / str(point)
        directory.mkdir()
        market = hourly_market(directory, "2026-01-05 10:31")
        market.run_until(at("2026-01-05 10:35"))
        # The live answer begins after the gap; the month's has everything.
        market.wire.fault = live_only_since(market.wire.api.reply, at("2026-01-05 12:30"))
        market.clock.at = at("2026-01-05 13:31")
        lived = lives_until(market, "2026-01-05 13:32", point)
        market.restart()
        market.run_until(at("2026-01-05 13:50"))
        for symbol in ("IBM", "MSFT"):
            assert {at("2026-01-05 10:30"), at("2026-01-05 11:30")} <= times(market, symbol), point
        if lived:
            break
    assert point > 20
