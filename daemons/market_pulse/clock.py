"""The market's clock: real time, or a simulated market's time that runs faster.

Decisions take a `Clock` and never ask the operating system, so that tests and the simulator choose what time it is.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from market_pulse.settings import ClockSettings


class Clock(Protocol):
    """Market time, and how it relates to seconds of waiting."""

    def now(self) -> datetime:
        """Return the market's current instant, aware, in UTC."""

    def real_seconds(self, start: datetime, end: datetime) -> float:
        """Return how many real seconds pass between two instants of market time."""

    def after(self, now: datetime, real_seconds: float) -> datetime:
        """Return the market's instant `real_seconds` after its instant `now`."""


@dataclass(frozen=True)
class MarketClock:
    """Market time as a straight line through real time.

    It stays the same line over restarts and on every host, because it is given by settings alone. It never runs ahead
    of real time: a simulated market that has caught up with the present goes on at the present's pace.
    """

    speed: float
    real_start: datetime
    market_start: datetime

    @classmethod
    def from_settings(cls, settings: ClockSettings) -> "MarketClock":
        """Return the clock that a daemon's settings describe."""
        return cls(settings.clock_speed, settings.clock_real_start, settings.clock_market_start)

    def now(self) -> datetime:
        """Return the market's current instant."""
        return self.at(datetime.fromtimestamp(time.time(), UTC))

    def at(self, real: datetime) -> datetime:
        """Return the market's instant at a real instant."""
        return min(self.market_start + (real - self.real_start) * self.speed, real)

    def real_seconds(self, start: datetime, end: datetime) -> float:
        """Return how many real seconds pass between two instants of market time."""
        return (self.real(end) - self.real(start)).total_seconds()

    def after(self, now: datetime, real_seconds: float) -> datetime:
        """Return the market's instant `real_seconds` after its instant `now`."""
        return self.at(self.real(now) + timedelta(seconds=real_seconds))

    def real(self, market: datetime) -> datetime:
        """Return the real instant at which the market's is reached."""
        return max(self.real_start + (market - self.market_start) / self.speed, market)
