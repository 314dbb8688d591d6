"""Asks the vendor, one call at a time, and takes in what it answers.

A call is written down before it is sent, and its answer is archived before anything is made of it: whatever ends the
process, no answer is paid for twice, but for the one that was on its way.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from market_pulse import log
from market_pulse.clock import Clock
from market_pulse.contract import Cause
from market_pulse.producer.archive import Archived
from market_pulse.producer.intake import Intake, Taken
from market_pulse.producer.outlook import GRAVE, Outlook, Task
from market_pulse.producer.store import Store
from market_pulse.sources.answers import parse
from market_pulse.sources.base import SHORT_ANSWER_ROWS, Answer, Offer, Refusal, RefusedError, Request, Source

# A round ends after this, so that what it brought is published and the watchdog hears of it.
_ROUND_SECONDS = 5.0
# A short answer reaches far enough back while fewer bars than this have ended since the last one.
_SHORT_ANSWER_REACH = SHORT_ANSWER_ROWS * 4 // 5

_log = logging.getLogger(__name__)


@dataclass
class Round:
    """What one round brought."""

    answers: int = 0
    fresh: int = 0
    last_bar: datetime | None = None


@dataclass
class Poller:
    """Works an agenda and a backlog off against one source."""

    source: Source
    offer: Offer
    store: Store
    intake: Intake
    clock: Clock
    outlook: Outlook
    last_bars: dict[str, datetime] = field(default_factory=dict)
    _last_round: datetime | None = None

    def __post_init__(self) -> None:
        """Take the parts of the outlook by their names: it looks at them, the poller changes them."""
        look = self.outlook
        self.agenda, self.budget, self.repairs = look.agenda, look.budget, look.repairs
        self.troubles = look.troubles

    @property
    def trouble(self) -> str | None:
        """Return what the source refuses, or None while it answers everything."""
        for request, trouble in self.troubles:
            share = "" if len(self.troubles) == 1 else f" and {len(self.troubles) - 1} more"
            return f"{self.source.name} refused {request.symbol}{share}: {trouble.sentence}"
        return None

    def watch(self, offer: Offer) -> None:
        """Ask the questions of an offer from now on; those that were asked before go on as they are.

        A new one is taken up where a process before left it, and what is played once is played once per process.
        """
        self.offer = offer
        known = frozenset(self.agenda.requests)
        self.agenda.watch(offer.requests)
        self.troubles.keep(frozenset(offer.requests))
        if self.agenda.slots is None:
            return
        symbols = [request.symbol for request in offer.requests]
        self.repairs.watch(offer, symbols)
        self.last_bars = {symbol: at for symbol, at in self.last_bars.items() if symbol in symbols}
        for request in offer.requests:
            poll = self.outlook.outbox.last_poll(request.symbol, request.interval.value)
            if poll and request not in known:
                self.agenda.answer(request, poll.asked_at)
                self.last_bars[request.symbol] = poll.last_bar

    def recover(self) -> None:
        """Take from the archive what a process before was still paid for and did not come to tell."""
        now = self.clock.now()
        slot = self.agenda.slots.latest(now) if self.agenda.slots else None
        if slot is None:
            return
        for told, taken in self.intake.recovered:
            if told.cause is Cause.POLL and taken.gap:
                self.repairs.found_gap(told.request, taken.gap, told.asked_at)
        for request in self.agenda.due(now):
            for full in (False, True):
                entry = self.repairs.archive.newest(replace(request, full=full), slot)
                self._take_archived(Task(request, Cause.POLL), entry, Round())
        for piece in self.repairs.backlog.open_pieces():
            task = Task(self.repairs.request(piece), piece.cause, piece)
            self._take_archived(task, self.repairs.archived(piece), Round())

    def round(self, stopping: Callable[[], bool]) -> Round:
        """Ask until nothing is left to ask, something is refused, or time, budget or room run out."""
        result = Round()
        until = time.monotonic() + _ROUND_SECONDS
        self._forget_pauses_to_come()
        for task in self.outlook.tasks():
            now = self.clock.now()
            if stopping() or self.outlook.outbox.full or time.monotonic() > until:
                break
            if task.piece and self._take_archived(task, self.repairs.archived(task.piece), result):
                continue
            if self.budget.allowed_at(now) > now or not self._ask(task, now, result):
                break
        self._note_spent_day(self.clock.now())
        return result

    def _forget_pauses_to_come(self) -> None:
        """End the pauses that were begun under a clock which has been set back since."""
        now = self.clock.now()
        if self._last_round and now < self._last_round:
            self.troubles.held_until = None
            self.agenda.not_before.clear()
        self._last_round = now

    def _note_spent_day(self, now: datetime) -> None:
        """Tell of what is due, once a day, that the day's calls are used up."""
        if self.agenda.slots is None or self.budget.left(now) != 0:
            return
        for request in self.agenda.due(now):
            with self.store.transaction():
                if self.budget.note_unasked(request, now):
                    self.intake.note_quota(request, Cause.POLL, now)

    def _ask(self, task: Task, now: datetime, result: Round) -> bool:
        """Send a call; return whether the round goes on."""
        request = self._reaching(task.request, now) if task.is_live else task.request
        self.intake.archive.reserve(now)
        self.budget.spend(now)
        try:
            answer = self.source.fetch(request)
        except RefusedError as error:
            self.intake.refuse(request, task.cause, error.asked_at or now, error)
            return self._refused(task, error, now)
        for waiting in self.troubles.back():
            self.agenda.hurry(waiting)
        self._take(task, answer, now, partial(self.intake.take, answer), result)
        return True

    def _reaching(self, request: Request, now: datetime) -> Request:
        """Return the request in the length that should reach back to the last answer."""
        last = self.agenda.answered.get(request)
        if self.agenda.slots is None or last is None or last > now or not self.offer.long_answers:
            return request
        return replace(request, full=self.agenda.slots.passed(last, now) > _SHORT_ANSWER_REACH)

    def _take_archived(self, task: Task, entry: Archived | None, result: Round) -> bool:
        """Take an answer in that was paid for before; return whether there is one."""
        if entry is None or entry.asked_at > self.clock.now():
            # A clock that was ahead of this one has answered for a time that has not come.
            return False
        try:
            series = parse(entry.body, entry.request, entry.fetched_at)
        except RefusedError as error:
            # An older release read it; this one asks again.
            log.event(_log, logging.WARNING, "archived answer unreadable", id=entry.request_id, reason=str(error))
            return False
        answer = Answer(entry.request, entry.request_id, entry.asked_at, entry.fetched_at, series, entry.body)
        self._take(task, answer, entry.asked_at, partial(self.intake.take_archived, entry), result)
        return True

    def _take(self, task: Task, answer: Answer, asked_at: datetime, take: Callable[..., Taken], result: Round) -> None:
        """Take an answer in by a method of the intake, together with what follows from it for the backlog.

        `asked_at` is by this host's clock, by which the agenda goes, too.
        """
        with self.store.transaction():
            if task.piece:
                taken = take(task.cause, task.piece.part.range, again=task.piece.again)
                self.repairs.settle(task.piece, answer, taken.told)
            else:
                taken = take(task.cause)
                if task.cause is Cause.POLL and self.agenda.slots:
                    self.repairs.judge_end(answer)
                    if taken.gap:
                        self.repairs.found_gap(task.request, taken.gap, answer.asked_at)
        result.answers += 1
        result.fresh += taken.told
        if task.is_live:
            self._polled(task.request, asked_at, taken, result)

    def _polled(self, request: Request, asked_at: datetime, taken: Taken, result: Round) -> None:
        if self.troubles.clear(request):
            log.event(_log, logging.INFO, "vendor answers again", symbol=request.symbol)
        self.agenda.answer(request, asked_at if self.agenda.slots else self.clock.now())
        if taken.newest:
            self.last_bars[request.symbol] = taken.newest
            result.last_bar = max(taken.newest, result.last_bar or taken.newest)

    def _refused(self, task: Task, error: RefusedError, asked_at: datetime) -> bool:
        """Decide what a refusal means; return whether the round goes on."""
        now, request = self.clock.now(), task.request
        if self.agenda.slots is None:
            log.event(_log, logging.WARNING, "recording refused", recording=request.recording, reason=str(error))
            self.agenda.answer(request, now)
            return True
        is_first = self._note(task, error, now)
        if error.refusal is Refusal.QUOTA:
            # Of the day in which it was asked, not of the one in which the answer arrived.
            self.budget.exhaust(asked_at)
            return False
        if error.refusal is Refusal.BAD_CALL or (task.piece and error.refusal is Refusal.NOT_ENTITLED):
            return True
        if self.troubles.is_the_vendors(is_new=is_first) or error.refusal is not Refusal.VENDOR_ERROR:
            times = max(1, self.troubles.in_a_row - 1)
            self.troubles.held_until = self.outlook.pause_until(now, times, self.source.name, error.refusal)
            return False
        return True

    def _note(self, task: Task, error: RefusedError, now: datetime) -> bool:
        """Write a refusal down where its question stands; return whether the question was answered before."""
        if not task.is_live:
            is_first = is_news = task.piece is None or task.piece.attempts == 0
            if task.piece:
                # What ends a piece is told as a gap, with this as its reason.
                is_news = not self.repairs.refused(task.piece, error, now) and is_first
        else:
            trouble, is_news = self.troubles.add(task.request, error, self.budget.day(now))
            is_first = trouble.times == 1
            self.agenda.postpone(task.request, self.outlook.retry_at(task.request, trouble, now))
        if is_news:
            level = logging.ERROR if error.refusal in GRAVE else logging.WARNING
            facts = {"symbol": task.request.symbol, "refusal": error.refusal, "reason": str(error)}
            log.event(_log, level, "vendor refused", **facts)
        return is_first
