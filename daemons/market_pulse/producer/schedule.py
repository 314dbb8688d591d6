"""When which question is due: pure, in market time.

A slot is an instant from which an answer tells something new: shortly after the end of each bar while the market
trades, and once more after its close. A question is due when a slot has come since its last answer.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from market_pulse.sessions import Session, Sessions
from market_pulse.sources.base import Cadence, Offer, Request

# A vendor corrects a day's last bars, and completes its daily bar, for a while after the close.
AFTER_CLOSE = timedelta(minutes=30)
_EVER = datetime.min.replace(tzinfo=UTC)


class Slots:
    """The slots of one offer on one exchange."""

    def __init__(self, sessions: Sessions, offer: Offer, settle: timedelta, *, extended: bool) -> None:
        """Place slots `settle` after the end of bars, and later by the offer's lag."""
        self._sessions = sessions
        self._cadence = offer.cadence
        self._length = offer.requests[0].interval.length
        self._lag = offer.lag
        self._delay = settle + offer.lag
        self._extended = extended
        # Recent sessions only: each has about a thousand slots.
        self._of = lru_cache(8)(self._place)

    def latest(self, now: datetime) -> datetime | None:
        """Return the newest slot that has come, or None before the calendar's first."""
        for session in self._sessions.started(now):
            slots = self._of(session)
            past = bisect_right(slots, now)
            if past:
                return slots[past - 1]
        return None

    def following(self, now: datetime) -> datetime:
        """Return the first slot after `now`.

        Raises:
            CalendarError: the calendar ends before.
        """
        return next(slots[bisect_right(slots, now)] for slots in map(self._of, self._around(now)) if slots[-1] > now)

    def passed(self, since: datetime, now: datetime) -> int:
        """Return how many slots have come after `since`."""
        count = 0
        for session in self._sessions.started(now):
            slots = self._of(session)
            count += bisect_right(slots, now) - bisect_right(slots, since)
            if slots[0] <= since:
                break
        return count

    def traded_between(self, last: datetime, oldest: datetime) -> bool:
        """Return whether the market traded after the bar that begins at `last` and before the one at `oldest`."""
        end = last + self._length
        windows = (session.window(extended=self._extended) for session in self._sessions.started(oldest))
        start, past = next(((start, past) for start, past in windows if start < oldest), (oldest, oldest))
        return max(start, end) < min(past, oldest)

    def opens_at(self, now: datetime) -> datetime | None:
        """Return when trading next begins, or None while the market trades or a slot of today is still to come.

        Raises:
            CalendarError: the calendar ends before.
        """
        session = next(session for session in self._around(now) if self._of(session)[-1] > now)
        start, _ = session.window(extended=self._extended)
        return start if start > now else None

    def _around(self, now: datetime) -> Iterator[Session]:
        # The last slot of a session comes after its end, so the session before is looked at, too.
        return self._sessions.ahead(now - timedelta(days=1))

    def _place(self, session: Session) -> Sequence[datetime]:
        if self._cadence is Cadence.AFTER_CLOSE:
            return (session.close + self._lag + AFTER_CLOSE,)
        start, end = session.window(extended=self._extended)
        bars = -((start - end) // self._length)
        ends = (min(start + number * self._length, end) for number in range(1, bars + 1))
        return (*(moment + self._delay for moment in ends), end + self._delay + AFTER_CLOSE)


@dataclass
class Agenda:
    """Which requests are open: what was answered when, and what waits after a refusal."""

    slots: Slots | None
    requests: Sequence[Request]
    answered: dict[Request, datetime] = field(default_factory=dict)
    not_before: dict[Request, datetime] = field(default_factory=dict)

    def due(self, now: datetime) -> list[Request]:
        """Return what to ask now, the longest unanswered first."""
        due = [request for request in self.open(now) if self.may_at(request, now) == now]
        return sorted(due, key=lambda request: self.answered.get(request, _EVER))

    def open(self, now: datetime) -> list[Request]:
        """Return what has no answer since its last slot, whether it may be asked now or not."""
        slot = self._latest_slot(now)
        return [request for request in self.requests if slot and self._is_open(request, slot, now)]

    def following(self, now: datetime) -> datetime | None:
        """Return the next slot, or None where nothing is asked twice."""
        return self.slots.following(now) if self.slots else None

    def may_at(self, request: Request, now: datetime) -> datetime:
        """Return when an open question may be asked: `now` or later."""
        return max(now, self.not_before.get(request, now))

    def watch(self, requests: Sequence[Request]) -> None:
        """Ask these from now on; those that were asked before go on as they are."""
        self.requests = requests
        kept = frozenset(requests)
        self.answered = {request: at for request, at in self.answered.items() if request in kept}
        self.not_before = {request: at for request, at in self.not_before.items() if request in kept}

    def answer(self, request: Request, asked_at: datetime) -> None:
        """Close a request until its next slot."""
        self.answered[request] = asked_at
        self.not_before.pop(request, None)

    def postpone(self, request: Request, until: datetime) -> None:
        """Leave a request open, and ask it no earlier than `until`."""
        self.not_before[request] = until

    def hurry(self, request: Request) -> None:
        """Ask a request that waits as soon as it is due."""
        self.not_before.pop(request, None)

    def _latest_slot(self, now: datetime) -> datetime | None:
        # Without slots everything is due once, from the beginning.
        return self.slots.latest(now) if self.slots else _EVER

    def _is_open(self, request: Request, slot: datetime, now: datetime) -> bool:
        answered = self.answered.get(request)
        # An answer from the future was given to a market's clock that has been set back since.
        return answered is None or answered < slot or answered > now
