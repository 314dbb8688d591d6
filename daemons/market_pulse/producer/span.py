"""Which requests a range of bars takes, and how far back a plan reaches: pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from market_pulse.contract import Interval
from market_pulse.producer.schedule import AFTER_CLOSE
from market_pulse.sessions import Sessions
from market_pulse.sources.base import SHORT_ANSWER_ROWS, Cadence, Function, Offer, Request

# The last bars of a session lack trades, not data, unless this much of it lacks every bar.
_SILENCE = timedelta(hours=1)

Range = tuple[datetime, datetime]


@dataclass(frozen=True)
class Part:
    """What one request can answer of a range: bars that begin at `starts_at` or later and before `ends_at`.

    `month` is of the exchange's time, ``YYYY-MM``, and empty for daily bars, which come in one answer.
    """

    symbol: str
    interval: Interval
    month: str
    starts_at: datetime
    ends_at: datetime

    @property
    def range(self) -> Range:
        """Return both edges."""
        return self.starts_at, self.ends_at

    def __str__(self) -> str:
        """Return it as events and tables show it."""
        return f"{self.symbol} {self.interval} {self.month}".rstrip()


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a day begins in a zone, in UTC."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def parts(symbol: str, interval: Interval, wanted: Range, sessions: Sessions) -> Iterator[Part]:
    """Split a range into parts, and leave out those in which the market did not trade."""
    start, end = wanted
    if interval is Interval.DAILY:
        if _trades(sessions, start, end):
            yield Part(symbol, interval, "", start, end)
        return
    while start < end:
        local = start.astimezone(sessions.zone)
        following = midnight((local.date().replace(day=1) + timedelta(days=31)).replace(day=1), sessions.zone)
        if _trades(sessions, start, min(end, following)):
            yield Part(symbol, interval, f"{local:%Y-%m}", start, min(end, following))
        start = following


def request(part: Part, offer: Offer) -> Request:
    """Return the question whose answer holds a part: a month, or the longest daily answer that the plan gives."""
    if part.interval is Interval.DAILY:
        return Request(Function.DAILY, part.symbol, part.interval, full=offer.long_answers)
    return Request(Function.INTRADAY, part.symbol, part.interval, full=True, month=part.month)


def unreachable(starts_at: datetime, offer: Offer, sessions: Sessions, now: datetime) -> datetime | None:
    """Return the start of the oldest bar that the plan can still get, if that is later than `starts_at`."""
    if offer.long_answers or offer.cadence is not Cadence.AFTER_CLOSE:
        return None
    told = (session for session in sessions.started(now) if session.close + offer.lag <= now)
    oldest = next(islice(told, SHORT_ANSWER_ROWS - 1, None), None)
    reach = midnight(oldest.date, sessions.zone) if oldest else None
    return reach if reach and reach > starts_at else None


def settled(offer: Offer, sessions: Sessions, now: datetime) -> datetime:
    """Return the end of the last day whose bars the vendor has finished; younger ones are the live polls' matter."""
    ends = (max(s.late_close, s.close + offer.lag) + AFTER_CLOSE for s in sessions.started(now))
    return next(end for end in ends if end <= now)


def missing_end(
    times: Iterable[datetime], interval: Interval, offer: Offer, sessions: Sessions, asked_at: datetime
) -> Range | None:
    """Return which end of the newest finished session an answer lacks, given the starts of its bars."""
    session = next((s for s in sessions.started(asked_at) if s.close + offer.lag + AFTER_CLOSE <= asked_at), None)
    held = sorted(times)
    if session is None or not held:
        return None
    if interval is Interval.DAILY:
        day = midnight(session.date, sessions.zone)
        return (day, midnight(session.date + timedelta(days=1), sessions.zone)) if held[-1] < day else None
    if held[0] >= session.close:
        return None
    regular = [moment for moment in held if session.open <= moment < session.close]
    end = regular[-1] + interval.length if regular else session.open
    return (end, session.close) if session.close - end > max(_SILENCE, 2 * interval.length) else None


def lacks(times: Iterable[datetime], part: Part, sessions: Sessions) -> bool:
    """Return whether an answer, given the starts of its bars, lacks what the vendor ought to have of a part.

    That is everything, a day's bar, or all of a silence that is longer than regular trading has.
    """
    held = sorted(moment for moment in times if part.starts_at <= moment < part.ends_at)
    if not held:
        return True
    silence = max(_SILENCE, 2 * part.interval.length)
    for session in takewhile(lambda session: session.open < part.ends_at, sessions.ahead(part.starts_at)):
        if part.interval is Interval.DAILY:
            day = midnight(session.date, sessions.zone)
            if part.starts_at <= day < part.ends_at and day not in held:
                return True
            continue
        start, end = max(session.open, part.starts_at), min(session.close, part.ends_at)
        edges = [start, *(moment for moment in held if start <= moment < end), end]
        if any(after - before > silence for before, after in pairwise(edges)):
            return True
    return False


def _trades(sessions: Sessions, start: datetime, end: datetime) -> bool:
    session = next(sessions.ahead(start))
    return max(start, session.early_open) < min(end, session.late_close)
