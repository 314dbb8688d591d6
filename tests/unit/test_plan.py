"""What the calls of a day are for: every combination of figures that a free key can meet."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import pytest

from market_pulse.producer import plan
from market_pulse.producer.plan import DayPlan

OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = OPEN + timedelta(hours=6.5)
# Calls left, symbols, open questions among them, slots until the day ends.
DAYS = [
    (left, symbols, open_now, slots)
    for left, symbols, slots in product(range(26), range(1, 41), (0, 1, 2, 390))
    for open_now in {0, 1, symbols // 2, symbols}
]


def test_no_call_is_given_away_twice() -> None:
    for left, symbols, open_now, slots in DAYS:
        day = plan.day(left, symbols, open_now, slots)
        assert day.spare is not None
        assert day.reserve >= 0
        assert day.spare >= 0
        if day.need <= left:
            assert day.need + day.reserve + day.spare == left
        else:
            assert (day.reserve, day.spare) == (0, 0)


def test_a_question_needs_one_call_per_slot_and_none_twice_on_a_day_with_one_slot() -> None:
    for left, symbols, open_now, slots in DAYS:
        day = plan.day(left, symbols, open_now, slots)
        assert day.waits == (slots == 1)
        assert day.need == {0: open_now, 1: symbols}.get(slots, symbols * slots + open_now)


def test_more_calls_never_mean_less_to_spare() -> None:
    for symbols, slots in product(range(1, 41), (0, 1, 2)):
        plans = [plan.day(left, symbols, symbols, slots) for left in range(26)]
        assert all((a.spare or 0) <= (b.spare or 0) for a, b in pairwise(plans))
        assert all(a.reserve <= b.reserve for a, b in pairwise(plans))


@pytest.mark.parametrize(
    ("left", "symbols", "open_now", "slots", "expected"),
    [
        (25, 20, 0, 1, DayPlan(25, 20, 2, 3, waits=True)),
        # A first start in the morning: two calls a symbol there are not, so most of them wait for the evening.
        (25, 20, 20, 1, DayPlan(25, 20, 2, 3, waits=True)),
        (22, 20, 17, 1, DayPlan(22, 20, 2, 0, waits=True)),
        (25, 6, 6, 1, DayPlan(25, 6, 1, 18, waits=True)),
        # A weekend has no slot: what is open is asked at once.
        (25, 20, 20, 0, DayPlan(25, 20, 2, 3, waits=False)),
        (5, 20, 0, 0, DayPlan(5, 0, 0, 5, waits=False)),
        (25, 30, 30, 1, DayPlan(25, 30, 0, 0, waits=True)),
        (None, 500, 500, 390, DayPlan(None, 195_500, 0, None, waits=False)),
    ],
)
def test_days_that_are_met(left: int | None, symbols: int, open_now: int, slots: int, expected: DayPlan) -> None:
    assert plan.day(left, symbols, open_now, slots) == expected


def test_only_what_is_to_spare_goes_to_anything_but_live_questions() -> None:
    assert plan.day(None, 500, 0, 0).has_spare
    assert plan.day(23, 20, 0, 1).has_spare
    assert not plan.day(22, 20, 0, 1).has_spare


def test_the_minute_keeps_a_place_for_every_live_question() -> None:
    for recent, coming, per_minute in product(range(12), range(12), range(1, 12)):
        fits = plan.fits_the_minute(recent, coming, per_minute)
        assert fits == (per_minute - recent - 1 >= coming)
        assert plan.fits_the_minute(recent, coming, None)


def test_a_symbol_that_fails_for_ever_costs_a_twentieth_of_a_day() -> None:
    assert [plan.most_calls(day, 2, failed_before_today=True) for day in (1, 25, 39, 40, 500)] == [1, 1, 1, 2, 25]
    assert plan.most_calls(25, 2, failed_before_today=False) == 3


def test_pauses_grow_to_five_minutes_and_are_not_the_same_for_all() -> None:
    pauses = [plan.backoff_seconds(times, "IBM") for times in range(1, 40)]
    assert 1 <= pauses[0] < 1.25
    assert pauses == sorted(pauses)
    assert pauses[-1] == plan.LONGEST_PAUSE_SECONDS
    assert len({plan.backoff_seconds(3, name) for name in ("IBM", "MSFT", "NVDA", "TSLA")}) > 1


def test_further_tries_are_spread_over_the_rest_of_the_day() -> None:
    rest = timedelta(hours=3)
    for left, symbols in product(range(26), range(1, 41)):
        day = plan.day(left, symbols, symbols, 0)
        pause, tries = plan.spread(day, rest), 0
        while rest > pause * (tries + 1) + timedelta(milliseconds=1):
            tries += 1
        # Whoever keeps to the first pause does not use up what the others need, but for a few probes.
        assert 1 <= tries <= max(left - day.need, left // 10, 1)
    assert plan.spread(plan.day(None, 5, 5, 0), rest) == timedelta(0)
