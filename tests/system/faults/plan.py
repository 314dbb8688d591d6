"""What the nemesis does and when: a pure function of the seed."""

import random
from typing import NamedTuple

_LEAST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 20, 40
# How long a fault that has a length lasts: shorter than every watchdog and every retry of the sink.
_LEAST_SECONDS, _LONGEST_SECONDS = 5, 12


class Step(NamedTuple):
    """One fault: when it begins, in seconds from the start, its name, and for how long it lasts."""

    at: float
    fault: str
    seconds: float


def plan(seed: int, length: float, faults: list[str]) -> list[Step]:
    """Draw faults, one every 20 to 40 seconds, until the length in seconds is over."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    steps: list[Step] = []
    at = draw.uniform(0, _LEAST_PAUSE_SECONDS)
    while at + _LONGEST_SECONDS <= length:
        steps.append(Step(at, draw.choice(faults), draw.uniform(_LEAST_SECONDS, _LONGEST_SECONDS)))
        at += draw.uniform(_LEAST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    return steps
