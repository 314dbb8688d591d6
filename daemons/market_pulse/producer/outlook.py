"""Decides what to ask next, and when: what is due, then what is missing, as far as the plan lets each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from market_pulse.clock import Clock
from market_pulse.contract import Cause
from market_pulse.producer import plan
from market_pulse.producer.backlog import Piece
from market_pulse.producer.budget import Budget
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.plan import DayPlan
from market_pulse.producer.repairs import Repairs
from market_pulse.producer.schedule import Agenda
from market_pulse.producer.trouble import Trouble, Troubles
from market_pulse.sources.base import Refusal, Request

# What is no live question is not begun so shortly before one, unless these come faster.
_CLEAR_SECONDS = 5.0
_MINUTE = timedelta(minutes=1)
_SHORT_BURSTS = 3
# A symbol that the vendor says it does not know may be a good one: from one poll on the pause doubles, up to a day.
_UNKNOWN_PAUSE = timedelta(days=1)
_MOST_DOUBLINGS = 11
_OF_A_SYMBOL = frozenset({Refusal.BAD_CALL, Refusal.VENDOR_ERROR})
# What only the operator can mend.
GRAVE = frozenset({Refusal.BAD_KEY, Refusal.NOT_ENTITLED, Refusal.INVENTED})


@dataclass(frozen=True)
class Task:
    """One call that is worth sending, and the piece of the backlog that it is for."""

    request: Request
    cause: Cause
    piece: Piece | None = None

    @property
    def is_live(self) -> bool:
        """Return whether the agenda asks."""
        return self.cause in (Cause.POLL, Cause.REPLAY)


@dataclass
class Outlook:
    """Everything that the next call depends on."""

    agenda: Agenda
    budget: Budget
    outbox: Outbox
    repairs: Repairs
    troubles: Troubles
    clock: Clock

    def plan(self, now: datetime) -> DayPlan:
        """Return what the calls left of the vendor's day are for."""
        reset, slots = self.budget.renewed_at(now), self.agenda.slots
        asked = [request for request in self.agenda.requests if self.agenda.may_at(request, now) < reset]
        unanswered = frozenset(self.agenda.open(now))
        return plan.day(
            self.budget.left(now),
            symbols=len(asked),
            open_now=sum(request in unanswered for request in asked),
            slots_to_come=slots.passed(now, reset) if slots else 0,
        )

    def tasks(self) -> Iterator[Task]:
        """Yield what to ask now, the most urgent first; each time the caller comes back it is decided anew."""
        now = self.clock.now()
        if self.troubles.held_until and now < self.troubles.held_until:
            return
        # What fails comes last, for nothing else is to wait for it.
        for request in sorted(self.agenda.due(now), key=self.troubles.__contains__):
            if self._goes_before_the_slot(request, self.plan(self.clock.now())):
                yield Task(request, Cause.POLL if self.agenda.slots else Cause.REPLAY)
        now = self.clock.now()
        if self.agenda.slots is None or self.outbox.half_full or self._room_at(now) > now:
            return
        piece, plan_now = self.repairs.backlog.next(now), self.plan(now)
        if piece and plan_now.has_spare:
            yield Task(self.repairs.request(piece), piece.cause, piece)

    def next_at(self, now: datetime) -> datetime | None:
        """Return when there is something to ask next, within the budget; None if never."""
        held, following = self.troubles.held_until or now, self.agenda.following(now)
        plan_now = self.plan(now)
        times = [following] if following else []
        times += [
            self.agenda.may_at(request, now)
            for request in self.agenda.open(now)
            if following is None or self._goes_before_the_slot(request, plan_now)
        ]
        piece_at = self.repairs.backlog.next_at()
        if piece_at and following and not self.outbox.half_full:
            idle = max(piece_at, self._room_at(now))
            times.append(idle if plan_now.has_spare else max(idle, min(following, self.budget.renewed_at(now))))
        return max(min(times), held, self.budget.allowed_at(now)) if times else None

    def retry_at(self, request: Request, trouble: Trouble, now: datetime) -> datetime:
        """Return when to ask a live question again that was refused."""
        until = self.pause_until(now, trouble.times, request.symbol, trouble.refusal)
        if trouble.refusal in _OF_A_SYMBOL and (per_day := self.budget.limits.per_day):
            most = plan.most_calls(per_day, self.plan(now).reserve, failed_before_today=trouble.since < trouble.day)
            trouble.out_of_calls = trouble.calls_today >= most
            return self.budget.renewed_at(now) if trouble.out_of_calls else until
        if trouble.refusal is Refusal.BAD_CALL:
            pauses: int = 2 ** min(trouble.times - 1, _MOST_DOUBLINGS)
            return now + min(request.interval.length * pauses, _UNKNOWN_PAUSE)
        return until

    def pause_until(self, now: datetime, times: int, name: str, refusal: Refusal) -> datetime:
        """Return when to ask again after so many refusals of a symbol, or of the source as a whole."""
        seconds = plan.LONGEST_PAUSE_SECONDS if refusal in GRAVE else plan.backoff_seconds(times, name)
        # The pause is of real seconds: a simulated market runs on, the network does not run faster.
        until = self.clock.after(now, seconds)
        # A burst is over in a moment, and only one that does not end is spread over the day.
        if refusal is Refusal.BURST and times <= _SHORT_BURSTS:
            return until
        return max(until, now + plan.spread(self.plan(now), self.budget.renewed_at(now) - now))

    def _goes_before_the_slot(self, request: Request, plan_now: DayPlan) -> bool:
        """Return whether an open question need not wait for the slot that comes before the day ends."""
        return not plan_now.waits or (plan_now.has_spare and request not in self.troubles)

    def _room_at(self, now: datetime) -> datetime:
        """Return when a call may be sent that is no live question: now, or after the next slot."""
        following = self.agenda.following(now)
        if following is None:
            return now
        after = following + self.agenda.requests[0].interval.length
        clear = min(_CLEAR_SECONDS, self.clock.real_seconds(following, after) / 2)
        fits = following - now >= _MINUTE or plan.fits_the_minute(
            self.budget.recent(following - _MINUTE, now), len(self.agenda.requests), self.budget.limits.per_minute
        )
        return now if fits and self.clock.real_seconds(now, following) >= clear else following
