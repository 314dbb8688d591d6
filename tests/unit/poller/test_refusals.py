"""What the poller does when the vendor refuses: whom it asks again, when, and what it says."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from market_pulse.producer.poller import Poller
from market_pulse.sources.base import Refusal
from support.intake import MINUTE, NEW_YORK, NOW
from support.scripted_source import ScriptedSource, one_round
from support.virtual_market import VirtualClock


@pytest.mark.parametrize(
    ("refusal", "reason", "calls"),
    [
        # The same sentence as a bad symbol's has come for good ones.
        (Refusal.BAD_CALL, "the vendor does not serve it", 3),
        (Refusal.NOT_ENTITLED, "the key's plan does not include it", 1),
    ],
)
def test_what_cannot_be_had_is_said_once(
    make: Callable[[], Poller],
    source: ScriptedSource,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
    *,
    refusal: Refusal,
    reason: str,
    calls: int,
) -> None:
    poller = make()
    one_round(poller)
    source.frozen_at = NOW
    clock.at += 90 * MINUTE
    one_round(poller)
    clock.at += 90 * MINUTE
    one_round(poller)
    source.frozen_at, source.month_refusal = None, refusal
    clock.at += MINUTE
    for _ in range(25):
        one_round(poller)
        clock.at += MINUTE
        poller = make()
    assert sum(bool(request.month) for request in source.asked) == 2 * calls
    gaps = [message for message in caplog.messages if not message.startswith("vendor refused")]
    for symbol, said in zip(("IBM", "MSFT"), gaps, strict=True):
        assert said.startswith(f"gap: symbol={symbol} from=2026-01-05T16:00Z to=2026-01-05T17:22Z reason=")
        assert reason in said


def test_an_unknown_symbol_is_asked_ever_more_rarely_and_delays_no_other(
    poller: Poller, source: ScriptedSource, clock: VirtualClock
) -> None:
    source.refusals["IBM"] = Refusal.BAD_CALL
    assert one_round(poller) == (1, 100)
    assert poller.trouble == "simulator refused IBM: no bad_call"
    asked: list[int] = []
    for minute in range(1, 121):
        clock.at += MINUTE
        source.asked.clear()
        one_round(poller)
        symbols = [request.symbol for request in source.asked]
        assert symbols.count("MSFT") == 1
        asked += [minute] * symbols.count("IBM")
    assert asked == [1, 3, 7, 15, 31, 63]


def test_one_refusal_does_not_silence_a_symbol_that_was_answered(
    poller: Poller, source: ScriptedSource, clock: VirtualClock
) -> None:
    one_round(poller)
    clock.at += MINUTE
    source.refusals["IBM"] = Refusal.BAD_CALL
    one_round(poller)
    source.refusals.clear()
    clock.at += MINUTE
    assert one_round(poller) == (2, 5)


def test_a_vendor_in_trouble_is_asked_ever_more_rarely(
    poller: Poller, source: ScriptedSource, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source.refusals = {"IBM": Refusal.VENDOR_ERROR, "MSFT": Refusal.VENDOR_ERROR}
    for _ in range(600):
        one_round(poller)
        clock.at += timedelta(seconds=30)
    assert 5 < len(source.asked) < 30
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    source.refusals = {}
    clock.at += timedelta(hours=1) * 6
    assert one_round(poller)[0] == 2
    assert caplog.records[-1].getMessage() == "vendor answers again: symbol=MSFT"
    assert poller.trouble is None


def test_a_spent_day_ends_the_calls_until_the_next(poller: Poller, source: ScriptedSource, clock: VirtualClock) -> None:
    source.refusals = {"IBM": Refusal.QUOTA}
    assert one_round(poller) == (0, 0)
    clock.at += 10 * MINUTE
    one_round(poller)
    assert len(source.asked) == 1
    assert poller.outlook.next_at(clock.at) == datetime(2026, 1, 6, tzinfo=NEW_YORK)


def test_a_spent_day_is_the_day_of_the_question(poller: Poller, source: ScriptedSource, clock: VirtualClock) -> None:
    midnight = datetime(2026, 1, 6, tzinfo=NEW_YORK).astimezone(UTC)
    clock.at = midnight - timedelta(seconds=2)
    source.refusals, source.takes = {"IBM": Refusal.QUOTA}, timedelta(seconds=3)
    one_round(poller)
    assert clock.at > midnight
    assert poller.budget.left(clock.at) is None
    assert poller.budget.left(midnight - timedelta(seconds=2)) == 0


def test_a_pause_that_a_clock_ahead_began_ends_when_the_clock_is_mended(
    poller: Poller, source: ScriptedSource, clock: VirtualClock
) -> None:
    one_round(poller)
    source.refusals = dict.fromkeys(("IBM", "MSFT"), Refusal.VENDOR_ERROR)
    for _ in range(5):
        clock.at += timedelta(days=1)
        one_round(poller)
    source.refusals, clock.at = {}, NOW + MINUTE
    assert one_round(poller) == (2, 4)


@pytest.mark.parametrize("refusal", [Refusal.BAD_KEY, Refusal.NOT_ENTITLED, Refusal.INVENTED])
def test_what_only_the_operator_can_mend_is_an_error(
    poller: Poller, source: ScriptedSource, refusal: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    source.refusals = {"IBM": refusal}
    one_round(poller)
    assert caplog.records[0].levelname == "ERROR"
