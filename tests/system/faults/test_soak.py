"""A time in which nothing happens: no restart, no growth; MARKET_PULSE_SOAK_SECONDS says for how long."""

import os
import sys
import time
from statistics import linear_regression

import pytest

from system.deployment import UNITS
from system.faults.bounds import resident
from system.faults.injections import last
from system.faults.trial import Trial
from system.host import Host

_SECONDS = float(os.environ.get("MARKET_PULSE_SOAK_SECONDS", "1800"))
# A JVM fills its heap, and every process its caches, in the first part.
_WARM_UP = 1 / 3
_EVERY_SECONDS = 15
# Of what a unit holds after the warm-up, in the time that remains: what is more would be gigabytes in a month.
_MOST_GROWTH = 0.05


@pytest.mark.slow
def test_a_healthy_half_hour_restarts_nothing_and_memory_does_not_grow(host: Host, trial: Trial) -> None:
    with trial("soak", f"nothing, for {_SECONDS / 60:.0f} min", within=30, lasts=_SECONDS):
        last(_SECONDS * _WARM_UP)
        samples = _samples(host, _SECONDS * (1 - _WARM_UP))
    moments = [moment for moment, _ in samples]
    growth = {}
    for unit in UNITS:
        sizes = [sizes[unit] for _, sizes in samples]
        line = linear_regression(moments, sizes)
        growth[unit] = line.slope * (moments[-1] - moments[0]) / sizes[0]
    sys.stdout.write(f"growth after the warm-up: {growth}\n")
    assert {unit: part for unit, part in growth.items() if part > _MOST_GROWTH} == {}


def _samples(host: Host, seconds: float) -> list[tuple[float, dict[str, int]]]:
    """Return what every unit holds in memory, every few seconds: (moment, unit to KiB)."""
    taken, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        taken.append((time.monotonic(), resident(host, UNITS)))
        last(_EVERY_SECONDS)
    return taken
