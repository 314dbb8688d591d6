"""When a bar is told as final: not while it forms, and not by a vendor that froze."""

from collections.abc import Callable
from datetime import datetime, timedelta

from market_pulse.contract import Bar, Cause
from market_pulse.producer.intake import Intake
from support.intake import DAILY, IBM, MINUTE, NOW, QUOTE, answer, at, bars, minutes, told


def _frozen(intake: Intake, asked_at: datetime, name: str) -> list[Bar]:
    """Return what is told of the answer that the vendor has frozen."""
    intake.take(answer(IBM, asked_at, minutes(100), name=name), Cause.POLL)
    return bars(intake)


def test_a_vendor_that_froze_in_the_middle_of_a_bar_does_not_make_it_final(intake: Intake) -> None:
    assert _frozen(intake, NOW, "a")[-1].is_final is False
    assert _frozen(intake, NOW + MINUTE, "b") == []
    assert _frozen(intake, NOW + 100 * MINUTE, "c") == []
    # What is back asks for that bar, too.
    later = NOW + 300 * MINUTE
    taken = intake.take(answer(IBM, later, minutes(100, later), name="d"), Cause.POLL)
    assert taken.gap == (at("2026-01-05 11:00"), at("2026-01-05 14:21"))


def test_the_last_bar_of_a_session_is_final_half_an_hour_after_it(intake: Intake) -> None:
    last = at("2026-01-05 15:59")
    told_at = [
        (asked_at, bar.is_final)
        for number, asked_at in enumerate(("15:59:06", "16:00:06", "16:29:59", "16:30:06"))
        for bar in (
            intake.take(answer(IBM, at(f"2026-01-05 {asked_at}"), minutes(3, last), name=f"r{number}"), Cause.POLL)
            and bars(intake)
        )
        if bar.bar_time == last
    ]
    assert told_at == [("15:59:06", False), ("16:30:06", True)]


def test_the_newest_bar_is_final_at_once_when_it_moved_on_or_changed(intake: Intake) -> None:
    intake.take(answer(IBM, NOW, minutes(3)), Cause.POLL)
    told(intake)
    changed = answer(IBM, NOW + MINUTE, minutes(1), close="1.5", name="s")
    intake.take(changed, Cause.POLL)
    assert [(bar.close, bar.is_final) for bar in bars(intake)] == [("1.5", True)]
    intake.take(answer(IBM, NOW + 3 * MINUTE, minutes(1, NOW + MINUTE), name="t"), Cause.POLL)
    assert [(bar.bar_time, bar.is_final) for bar in bars(intake)] == [(at("2026-01-05 11:01"), True)]


def test_late_data_are_complete_later(make: Callable[..., Intake]) -> None:
    intake = make(lag=timedelta(minutes=15))
    assert intake.take(answer(IBM, NOW, minutes(50, NOW - 15 * MINUTE)), Cause.POLL).covers == (
        at("2026-01-05 09:56"),
        at("2026-01-05 10:45"),
    )
    assert [bar.is_final for bar in bars(intake)] == [True] * 49 + [False]
    daily = answer(DAILY, at("2026-01-05 16:44"), ["2026-01-05"])
    assert intake.take(daily, Cause.POLL).covers is None
    assert [bar.is_final for bar in bars(intake)] == [False]


def test_a_quote_stands_in_for_a_day_only_until_the_day_is_complete(make: Callable[..., Intake]) -> None:
    intake = make(request=DAILY)
    intake.take(answer(DAILY, at("2025-12-31 16:30"), ["2025-12-31"]), Cause.POLL)
    told(intake)
    for time, count in (("12:00", 1), ("16:29", 1), ("16:30", 0), ("19:00", 0)):
        close = f"1.{time[-2:]}"
        taken = intake.take(answer(QUOTE, at(f"2026-01-05 {time}"), ["2026-01-05"], close), Cause.QUOTE)
        assert (taken.told, taken.covers, taken.gap) == (count, None, None)
    *quotes, _, _ = [thing for thing in told(intake) if isinstance(thing, Bar) or not thing.told]
    assert [(bar.is_final, bar.close) for bar in quotes if isinstance(bar, Bar)] == [(False, "1.00"), (False, "1.29")]
    # A quote is no poll: what daily answers have not told since is a gap, and no day is told as known.
    taken = intake.take(answer(DAILY, at("2026-01-05 19:01"), ["2026-01-05", "2025-12-31"]), Cause.POLL)
    assert [(bar.is_final, bar.close) for bar in bars(intake)] == [(True, "2")]
    assert taken.gap is None
