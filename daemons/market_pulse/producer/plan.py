"""What the calls that are left are for: pure, figures in, figures out.

A call goes to what is worth most: to a live question that is due, then to what is missing, then to history that an
operator asked for. What comes later in this order only gets what the ones before it will not need until the vendor's
day ends; a call that could tell nothing is not sent at all.
"""

from dataclasses import dataclass
from datetime import timedelta
from zlib import crc32

# One call in so many that are needed is kept for another try.
_NEEDED_PER_RETRY = 10
# A symbol that has failed since before today may cost one call in so many, and one in any case.
_CALLS_PER_FAILURE = 20
# While more is needed than is left, one call in so many may go to finding out whether the vendor is back.
_CALLS_PER_PROBE = 10
_FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 300.0


@dataclass(frozen=True)
class DayPlan:
    """What the calls left of the vendor's day are for; `left` and `spare` are None where no day is limited.

    `need` counts the live questions until the day ends, `reserve` the calls kept for asking some of them again.
    `waits` tells that a question which is open now does better to wait for the slot that comes before the day ends:
    one answer tells what both would.
    """

    left: int | None
    need: int
    reserve: int
    spare: int | None
    waits: bool

    @property
    def has_spare(self) -> bool:
        """Return whether a call may go to anything but a live question."""
        return self.spare is None or self.spare > 0


def day(left: int | None, symbols: int, open_now: int, slots_to_come: int) -> DayPlan:
    """Plan the rest of a day.

    Args:
        left: calls that are left, None for no limit.
        symbols: how many live questions there are.
        open_now: how many of them have no answer since their last slot.
        slots_to_come: how many slots each of them will have before the day ends.
    """
    # With one slot to come its answers tell what is open now, too; with many, each is a question of its own.
    waits = left is not None and slots_to_come == 1
    need = symbols * slots_to_come + (0 if waits else open_now)
    if left is None:
        return DayPlan(None, need, 0, None, waits=False)
    reserve = min(max(left - need, 0), -(-need // _NEEDED_PER_RETRY))
    return DayPlan(left, need, reserve, max(0, left - need - reserve), waits)


def fits_the_minute(recent: int, coming: int, per_minute: int | None) -> bool:
    """Return whether one more call leaves the coming live questions their place in the minute.

    Args:
        recent: calls that still count when they come.
        coming: how many come at once.
        per_minute: what the source allows, None for no limit.
    """
    return per_minute is None or recent + 1 + coming <= per_minute


def most_calls(per_day: int, reserve: int, *, failed_before_today: bool) -> int:
    """Return how many calls of a limited day a failing symbol may cost: a few on its first day, then next to none."""
    return max(1, per_day // _CALLS_PER_FAILURE) if failed_before_today else 1 + reserve


def backoff_seconds(times: int, name: str) -> float:
    """Return the real seconds to wait after so many failures; `name` shifts it a little, lest all come at once."""
    jitter = 1 + crc32(f"{name} {times}".encode()) % 256 / 1024
    return min(_FIRST_PAUSE_SECONDS * float(2 ** min(times - 1, 16)) * jitter, LONGEST_PAUSE_SECONDS)


def spread(plan: DayPlan, rest: timedelta) -> timedelta:
    """Return the pause that spreads further tries over the rest of the vendor's day; none where no day is limited."""
    if plan.left is None:
        return timedelta(0)
    tries = max(plan.left - plan.need, plan.left // _CALLS_PER_PROBE, 1)
    return rest / (tries + 1)
