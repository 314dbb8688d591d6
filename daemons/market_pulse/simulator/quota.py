"""What a key may still ask: counted like the vendor counts, by its own day and by the second or the minute."""

import enum
from collections import deque
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from market_pulse.settings import Plan

FREE_CALLS_PER_DAY = 25
_FREE_GAP = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)


class Verdict(enum.Enum):
    """Whether a call is within the plan."""

    GRANTED = enum.auto()
    DAY_SPENT = enum.auto()
    TOO_FAST = enum.auto()


class Quota:
    """Counts the calls of one key in market time; the count starts anew with the process."""

    def __init__(self, plan: Plan, calls_per_minute: int, zone: ZoneInfo) -> None:
        """Count for a plan; a paid one may make so many calls a minute, the free one has the vendor's limits."""
        self._free = plan is Plan.FREE
        self._window, self._calls_in_window = (_FREE_GAP, 1) if self._free else (_MINUTE, calls_per_minute)
        self._zone = zone
        self._day: date | None = None
        self._calls_today = 0
        self._recent: deque[datetime] = deque()

    def ask(self, now: datetime) -> Verdict:
        """Count a call, and say whether it is granted; refused calls cost nothing."""
        day = now.astimezone(self._zone).date()
        if day != self._day:
            self._day, self._calls_today = day, 0
        while self._recent and self._recent[0] <= now - self._window:
            self._recent.popleft()
        if self._free and self._calls_today >= FREE_CALLS_PER_DAY:
            return Verdict.DAY_SPENT
        if len(self._recent) >= self._calls_in_window:
            return Verdict.TOO_FAST
        self._recent.append(now)
        self._calls_today += 1
        return Verdict.GRANTED
