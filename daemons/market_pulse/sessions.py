"""When an exchange trades: its sessions with holidays and half days, as UTC instants.

Loading asks the exchange-calendars library once; everything after that is looking up in two sorted lists.
"""

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from market_pulse.errors import CalendarError

# Trading before and after the regular session, as US exchanges and their vendors count it: 04:00 to 20:00 on a full
# day, to 17:00 on a half day.
_EARLY_OPEN = time(4)
_LATE_TRADING = timedelta(hours=4)
_NAMES = {"XNYS": "NYSE", "XNAS": "Nasdaq"}


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day. All instants are UTC; each window includes its start and excludes its end."""

    date: date
    early_open: datetime
    open: datetime
    close: datetime
    late_close: datetime

    def window(self, *, extended: bool) -> tuple[datetime, datetime]:
        """Return start and end of trading, with or without the hours around the regular session."""
        return (self.early_open, self.late_close) if extended else (self.open, self.close)

    def closed_at(self, close: datetime | None) -> "Session | None":
        """Return the session as it is if its regular hours end then, or None where there is no close at all."""
        return replace(self, close=close, late_close=close + _LATE_TRADING) if close else None


@dataclass(frozen=True)
class Sessions:
    """The sessions of one exchange, in order; a calendar has an end, and asking beyond it is an error."""

    exchange: str
    zone: ZoneInfo
    days: Sequence[Session]

    @classmethod
    def load(cls, exchange: str, first: date) -> "Sessions":
        """Read the calendar of an exchange, such as ``XNYS``, from `first` to about a year ahead.

        Raises:
            CalendarError: no such exchange.
        """
        # It brings pandas, a second that only those pay who ask for a calendar.
        import exchange_calendars  # noqa: PLC0415

        try:
            with warnings.catch_warnings():
                # exchange-calendars 4.13 reads pandas in a way that pandas 3.1 is going to change.
                warnings.simplefilter("ignore", DeprecationWarning)
                calendar = exchange_calendars.get_calendar(exchange, start=first.isoformat())
        except exchange_calendars.errors.InvalidCalendarName:
            raise CalendarError(f"exchange {exchange!r} is unknown; give its ISO 10383 code, such as XNYS") from None
        zone = ZoneInfo(str(calendar.tz))
        hours = zip(calendar.schedule.index, calendar.schedule["open"], calendar.schedule["close"], strict=True)
        return cls(
            exchange,
            zone,
            tuple(
                Session(
                    date=label.date(),
                    early_open=datetime.combine(label.date(), _EARLY_OPEN, zone).astimezone(UTC),
                    open=opened.to_pydatetime().astimezone(UTC),
                    close=closed.to_pydatetime().astimezone(UTC),
                    late_close=closed.to_pydatetime().astimezone(UTC) + _LATE_TRADING,
                )
                for label, opened, closed in hours
            ),
        )

    @property
    def name(self) -> str:
        """Return what people call the exchange."""
        return _NAMES.get(self.exchange, self.exchange)

    def on(self, day: date) -> Session | None:
        """Return the session of a date, or None for a day without trading."""
        index = bisect_left(self._dates, day)
        return self.days[index] if index < len(self.days) and self._dates[index] == day else None

    def number(self, session: Session) -> int:
        """Return a session's place in the list."""
        return bisect_left(self._dates, session.date)

    def started(self, instant: datetime) -> Iterator[Session]:
        """Yield the sessions whose early trading has begun by `instant`, newest first.

        Raises:
            CalendarError: the instant lies beyond the calendar.
        """
        self._refuse_beyond(instant)
        for index in range(bisect_right(self._early_opens, instant) - 1, -1, -1):
            yield self.days[index]

    def ahead(self, instant: datetime) -> Iterator[Session]:
        """Yield the sessions whose late trading ends after `instant`, oldest first.

        Raises:
            CalendarError: the instant lies beyond the calendar, now or when the caller has taken the last session.
        """
        self._refuse_beyond(instant)
        index = max(0, bisect_right(self._early_opens, instant) - 1)
        yield from (session for session in self.days[index:] if session.late_close > instant)
        raise CalendarError(f"the calendar of {self.name} ends on {self.days[-1].date}; a restart reads it anew")

    def _refuse_beyond(self, instant: datetime) -> None:
        if instant > self.days[-1].late_close:
            raise CalendarError(f"the calendar of {self.name} ends on {self.days[-1].date}; a restart reads it anew")

    @cached_property
    def _dates(self) -> list[date]:
        return [session.date for session in self.days]

    @cached_property
    def _early_opens(self) -> list[datetime]:
        return [session.early_open for session in self.days]
