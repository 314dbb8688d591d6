"""The calls that a key has left, by the vendor's day, by the minute and by the gap between two.

A call is written down before it is sent: one too many could only be sent by forgetting one, and a restart forgets none.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from market_pulse.producer.store import Store
from market_pulse.sources.base import Limits, Request

_MINUTE = timedelta(minutes=1)


class Budget:
    """Counts calls in market time."""

    def __init__(self, store: Store, limits: Limits, zone: ZoneInfo) -> None:
        """Keep to limits; the vendor's day begins at midnight in `zone`."""
        self._store = store
        self.limits = limits
        self._zone = zone

    def allowed_at(self, now: datetime) -> datetime:
        """Return when the next call may be sent: `now` or later."""
        if self.left(now) == 0:
            return self.renewed_at(now)
        earliest = now
        # Calls of a clock that was ahead of this one count for the day, and hold nothing up.
        recent = [at for at in self._calls_since(now - _MINUTE) if at <= now]
        if self.limits.per_minute and len(recent) >= self.limits.per_minute:
            earliest = max(earliest, recent[-self.limits.per_minute] + _MINUTE)
        if recent:
            earliest = max(earliest, recent[-1] + self.limits.gap)
        return earliest

    def spend(self, now: datetime) -> None:
        """Write down a call that is about to be sent."""
        with self._store.transaction():
            self._store.execute("DELETE FROM call WHERE at <= ?", (now - _MINUTE).isoformat())
            self._store.execute("INSERT INTO call VALUES (?)", now.isoformat())
            self._count(self.day(now), calls=1, spent=0)

    def exhaust(self, now: datetime) -> None:
        """Believe the vendor, who says that the day's calls are used up."""
        with self._store.transaction():
            self._count(self.day(now), calls=0, spent=1)

    def note_unasked(self, request: Request, now: datetime) -> bool:
        """Write down that a question had no call left; return whether that is news today."""
        today = self.day(now).isoformat()
        self._store.execute("DELETE FROM quota_note WHERE day <> ?", today)
        note = "INSERT OR IGNORE INTO quota_note VALUES (?, ?, ?)"
        return self._store.execute(note, today, request.symbol, request.interval.value).rowcount > 0

    def left(self, now: datetime) -> int | None:
        """Return how many calls are left of the vendor's day, or None where no day is limited and none was refused."""
        row = self._store.execute("SELECT calls, spent FROM day WHERE day = ?", self.day(now).isoformat()).fetchone()
        calls, spent = row or (0, 0)
        if spent:
            return 0
        return None if self.limits.per_day is None else max(0, self.limits.per_day - calls)

    def used(self, now: datetime) -> int:
        """Return how many calls were sent in the vendor's day."""
        row = self._store.execute("SELECT calls FROM day WHERE day = ?", self.day(now).isoformat()).fetchone()
        return int(row[0]) if row else 0

    def recent(self, since: datetime, now: datetime) -> int:
        """Return how many calls of the last minute were sent after `since`."""
        return sum(at <= now for at in self._calls_since(since))

    def day(self, now: datetime) -> date:
        """Return the vendor's day."""
        return now.astimezone(self._zone).date()

    def renewed_at(self, now: datetime) -> datetime:
        """Return when the vendor's next day begins."""
        return datetime.combine(self.day(now) + timedelta(days=1), time.min, self._zone).astimezone(now.tzinfo)

    def _count(self, day: date, *, calls: int, spent: int) -> None:
        self._store.execute(
            "INSERT INTO day VALUES (?, ?, ?) ON CONFLICT (day) DO UPDATE"
            " SET calls = calls + excluded.calls, spent = max(spent, excluded.spent)",
            day.isoformat(),
            calls,
            spent,
        )

    def _calls_since(self, moment: datetime) -> list[datetime]:
        rows = self._store.execute("SELECT at FROM call WHERE at > ? ORDER BY at", moment.isoformat())
        return [datetime.fromisoformat(at) for (at,) in rows]
