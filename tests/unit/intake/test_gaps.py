"""Which answers leave a gap behind them, and which do not."""

from collections.abc import Callable
from dataclasses import replace

from market_pulse import contract
from market_pulse.contract import Cause
from market_pulse.producer.intake import Intake
from support.intake import DAILY, IBM, MINUTE, NOW, answer, at, bars, minutes, told


def test_a_short_answer_after_a_gap_is_taken_at_once_and_the_gap_is_told(intake: Intake) -> None:
    intake.take(answer(IBM, NOW, minutes(100)), Cause.POLL)
    later = NOW + 300 * MINUTE
    taken = intake.take(answer(IBM, later, minutes(100, later)), Cause.POLL)
    assert taken.told == 100
    # The newest bar of before was forming, and may be the last that anybody told of it.
    gap = (at("2026-01-05 11:00"), at("2026-01-05 14:21"))
    assert taken.gap == gap
    # The repair tells the gap and nothing else, and no poll looks for it again.
    told(intake)
    january = replace(IBM, full=True, month="2026-01")
    repaired = intake.take(answer(january, later + MINUTE, minutes(400, later)), Cause.REPAIR, gap)
    assert (repaired.told, repaired.covers, repaired.gap) == (201, gap, None)
    assert {bar.bar_time for bar in bars(intake)} == {gap[0] + n * MINUTE for n in range(201)}
    after = intake.take(answer(IBM, later + 2 * MINUTE, minutes(100, later + 2 * MINUTE)), Cause.POLL)
    assert (after.told, after.gap) == (3, None)


def test_where_nothing_traded_there_is_no_gap(intake: Intake) -> None:
    friday = at("2026-01-02 20:05")
    intake.take(answer(IBM, friday, minutes(100, at("2026-01-02 19:59"))), Cause.POLL)
    monday = at("2026-01-05 05:45:06")
    assert intake.take(answer(IBM, monday, minutes(100, at("2026-01-05 05:39"))), Cause.POLL).gap is None


def test_a_long_answer_tells_no_more_of_the_past_than_a_short_one(intake: Intake) -> None:
    intake.take(answer(IBM, NOW, minutes(100)), Cause.POLL)
    later = NOW + 150 * MINUTE
    taken = intake.take(answer(replace(IBM, full=True), later, minutes(400, later)), Cause.POLL)
    # The forming bar of before, and 150 more; it does not speak for what it does not tell.
    assert (taken.told, taken.gap) == (151, None)
    assert taken.covers == (at("2026-01-05 09:21"), at("2026-01-05 13:30"))


def test_a_day_that_daily_answers_never_told_is_a_gap(make: Callable[..., Intake]) -> None:
    intake = make(request=DAILY)
    intake.take(answer(DAILY, at("2026-03-06 17:00"), ["2026-03-06"]), Cause.POLL)
    taken = intake.take(answer(DAILY, at("2026-03-11 17:00"), ["2026-03-11"]), Cause.POLL)
    # Over the clock change of 8 March, on which a day has 23 hours.
    assert taken.gap == (at("2026-03-07"), at("2026-03-11"))


def test_a_bar_of_the_future_is_told_for_the_quarantine_and_hides_no_gap(intake: Intake) -> None:
    labels = [*minutes(50), "2026-01-05 11:02:00", "9999-12-31 10:00:00"]
    taken = intake.take(answer(IBM, NOW, labels), Cause.POLL)
    waiting = intake.outbox.oldest(100)
    found = [contract.decode(message.symbol.encode(), message.value) for message in waiting]
    assert [thing.reason for thing in found if isinstance(thing, contract.Rejection)] == ["future_bar"] * 2
    assert (taken.newest, taken.told) == (at("2026-01-05 11:00"), 52)
    later = NOW + 300 * MINUTE
    assert intake.take(answer(IBM, later, minutes(100, later)), Cause.POLL).gap is not None
