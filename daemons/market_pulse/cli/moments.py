"""Which bar an operator means: a day or an instant as it was typed, read where the exchange is. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from market_pulse.contract import Interval
from market_pulse.sessions import Sessions

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_HOW = (
    "write 2026-01-05T10:31 in the exchange's time, 2026-01-05T15:31Z in UTC, or 2026-01-05 alone for the bar of a day"
)


@dataclass(frozen=True)
class Moment:
    """An instant in UTC within a bar of `interval`, and how it was read."""

    instant: datetime
    interval: Interval
    reading: str

    def unexpected(self, sessions: Sessions, now: datetime) -> str | None:
        """Return why there can be no such bar at `now`, in market time, or None if there can."""
        local = self.instant.astimezone(sessions.zone).date()
        session = sessions.on(local)
        if self.instant > now:
            return f"it begins in the future: in market time it is {now:%Y-%m-%dT%H:%MZ}"
        if session is None:
            return f"{sessions.name} was closed on {local}: no bar is expected"
        if self.interval is Interval.DAILY:
            return f"{sessions.name} closes at {_clock(session.close, sessions)}" if now < session.close else None
        end = self.instant + self.interval.length
        if end <= session.early_open or self.instant >= session.late_close:
            hours = f"from {_clock(session.early_open, sessions)} to {_clock(session.late_close, sessions)}"
            return f"{sessions.name} traded {hours} on {local}: no bar is expected"
        if end <= session.open or self.instant >= session.close:
            hours = f"from {_clock(session.open, sessions)} to {_clock(session.close, sessions)}"
            return f"it lies outside of the regular session, {hours}: there is a bar only where somebody traded"
        return None


def day(text: str) -> date:
    """Return the day that a text names.

    Raises:
        ValueError: it names none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day of the calendar; a day is written as 2026-01-05") from None


def read(text: str, zone: ZoneInfo, interval: Interval | None, usual: Interval) -> Moment:
    """Return what a text means; `usual` is the interval of an instant for which none was given.

    Raises:
        ValueError: it is no instant, none that can be told apart in that zone, or does not go with the interval.
    """
    local = f"in the exchange's time, {zone.key}"
    if _DAY.fullmatch(text):
        if interval not in {None, Interval.DAILY}:
            raise ValueError(f"{text!r} names a day, and {interval} bars have a time; {_HOW}")
        midnight = datetime.combine(day(text), time(), zone)
        return Moment(midnight.astimezone(UTC), Interval.DAILY, f"the day {local}")
    if interval is Interval.DAILY:
        raise ValueError(f"{text!r} names an instant, and a daily bar is named by its day alone; {_HOW}")
    try:
        told = datetime.fromisoformat(text)
        instant = told.astimezone(UTC) if told.tzinfo else _placed(told, zone)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no instant: {error}; {_HOW}") from None
    return Moment(instant, interval or usual, "an absolute instant" if told.tzinfo else local)


def _clock(instant: datetime, sessions: Sessions) -> str:
    return f"{instant.astimezone(sessions.zone):%H:%M}"


def _placed(told: datetime, zone: ZoneInfo) -> datetime:
    earlier, later = (told.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if earlier.utcoffset() != later.utcoffset():
        raise ValueError(f"on the night of a clock change this time comes twice or never in {zone.key}")
    return earlier.astimezone(UTC)
