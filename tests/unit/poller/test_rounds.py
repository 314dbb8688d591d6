"""What a round asks for, and what it tells of the answers."""

import errno
import os
from collections.abc import Callable
from datetime import timedelta

import pytest

from market_pulse.errors import StateError
from market_pulse.producer.archive import Archive
from market_pulse.producer.poller import Poller
from support.intake import MINUTE, NOW
from support.scripted_source import ScriptedSource, one_round, told_of
from support.virtual_market import VirtualClock


def test_overlapping_answers_bring_only_what_is_new(poller: Poller, clock: VirtualClock) -> None:
    assert one_round(poller) == (2, 200)
    assert one_round(poller) == (0, 0)
    clock.at += MINUTE
    # The bar that was forming is final now, and another one forms.
    assert one_round(poller) == (2, 4)
    assert poller.last_bars == {"IBM": clock.at.replace(second=0), "MSFT": clock.at.replace(second=0)}


def test_a_restart_goes_on_where_the_process_before_stopped(make: Callable[[], Poller], clock: VirtualClock) -> None:
    one_round(make())
    again = make()
    assert one_round(again) == (0, 0)
    clock.at += MINUTE
    assert one_round(again) == (2, 4)


@pytest.mark.parametrize(("minutes", "full", "fresh"), [(80, False, 81), (81, True, 82), (600, True, 601)])
def test_after_a_gap_the_answer_reaches_back_to_the_last_one(
    poller: Poller, source: ScriptedSource, clock: VirtualClock, minutes: int, *, full: bool, fresh: int
) -> None:
    one_round(poller)
    clock.at += minutes * MINUTE
    source.asked.clear()
    # The hours before the gap were told: of a long answer only the reach of a short one is looked at again.
    assert one_round(poller) == (2, 2 * fresh)
    assert [request.full for request in source.asked] == [full, full]


def test_what_a_clock_ahead_of_time_made_of_a_bar_is_put_right_by_a_later_telling(
    make: Callable[[], Poller], source: ScriptedSource, clock: VirtualClock
) -> None:
    clock.at, source.frozen_at = NOW + timedelta(days=1), NOW
    one_round(make())
    clock.at, source.frozen_at, source.close = NOW + MINUTE, None, "1.5"
    poller = make()
    assert one_round(poller) == (2, 200)
    clock.at += MINUTE
    assert one_round(poller) == (2, 4)
    tellings = [bar for bar in told_of(poller, "IBM") if bar.bar_time == NOW.replace(second=0)]
    # The bar was forming under the wrong clock, too, which could not know that.
    assert [(bar.close, bar.is_final) for bar in tellings] == [("2", True), ("1.5", True)]
    last = [bar for bar in told_of(poller, "IBM") if bar.bar_time == NOW.replace(second=0) + MINUTE]
    assert [bar.is_final for bar in last] == [False, True]
    # The sink refuses what was told from a day ahead; what is told anew stands at its right time.
    assert tellings[1].fetched_at == last[0].fetched_at == NOW + MINUTE
    assert last[0].fetched_at < last[1].fetched_at


def test_a_vendor_that_froze_is_asked_again_for_what_it_kept_back(
    make: Callable[[], Poller], source: ScriptedSource, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    poller = make()
    one_round(poller)
    source.frozen_at = NOW
    for _ in range(6):
        clock.at += 50 * MINUTE
        assert one_round(poller)[0] == 2
    source.frozen_at, source.asked = None, []
    clock.at += MINUTE
    # What nobody told is planned in the same step, so that the next process knows, too.
    poller.round(lambda: len(source.asked) == 2)
    poller = make()
    assert poller.outlook.next_at(clock.at) == clock.at
    for _ in range(2):
        assert one_round(poller)[0] == 1
    assert one_round(poller) == (0, 0)
    assert [(request.full, request.month) for request in source.asked] == [(False, "")] * 2 + [(True, "2026-01")] * 2
    newest = clock.at.replace(second=0)
    assert {bar.bar_time for bar in told_of(poller, "IBM")} == {newest - n * MINUTE for n in range(301 + 100)}
    assert caplog.messages == []


def test_a_full_outbox_stops_the_polls(poller: Poller, source: ScriptedSource) -> None:
    poller.outlook.outbox._max_bars = 100  # noqa: SLF001 - so full that one answer suffices
    assert one_round(poller) == (1, 100)
    assert one_round(poller) == (0, 0)
    assert len(source.asked) == 1


def test_no_call_is_spent_on_what_cannot_be_kept(
    make: Callable[[], Poller], source: ScriptedSource, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    one_round(make())
    clock.at += MINUTE
    source.asked.clear()
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        patched.setattr(Archive, "_insert", full)
        for _ in range(5):
            poller = make()
            with pytest.raises(StateError, match="make room"):
                one_round(poller)
    assert source.asked == []
    assert poller.budget.used(clock.at) == 2
    assert one_round(make()) == (2, 4)


def test_stopping_ends_a_round_between_two_calls(poller: Poller, source: ScriptedSource) -> None:
    poller.round(lambda: bool(source.asked))
    assert len(source.asked) == 1


def test_unusable_bars_are_said_once(
    poller: Poller, source: ScriptedSource, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    source.unusable = ("yesterday",)
    for _ in range(3):
        one_round(poller)
        clock.at += MINUTE
    assert sum("bars unusable" in record.getMessage() for record in caplog.records) == 2
