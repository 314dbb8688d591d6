"""Asks what is due, as far as the budget goes, and puts the answers into the outbox."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from market_pulse import log
from market_pulse.clock import Clock
from market_pulse.producer.bars import BarMaker
from market_pulse.producer.budget import Budget
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.schedule import Agenda
from market_pulse.sources.base import SHORT_ANSWER_ROWS, Answer, Refusal, RefusedError, Request, Source

# A round ends after this, so that what it brought is published and the watchdog hears of it.
_ROUND_SECONDS = 5.0
# A short answer reaches far enough back while fewer bars than this have ended since the last one.
_SHORT_ANSWER_REACH = SHORT_ANSWER_ROWS * 4 // 5
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0
_TICK = timedelta(microseconds=1)
_UNKNOWN_PAUSE = timedelta(days=1)
_GRAVE = frozenset({Refusal.BAD_KEY, Refusal.NOT_ENTITLED})

_log = logging.getLogger(__name__)


@dataclass
class Round:
    """What one round brought."""

    answers: int = 0
    fresh: int = 0
    last_bar: datetime | None = None


@dataclass
class _Trouble:
    refusal: Refusal
    sentence: str
    times: int = 1


@dataclass
class Poller:
    """Works an agenda off against one source. `trouble` is a sentence while the source refuses something."""

    source: Source
    agenda: Agenda
    budget: Budget
    outbox: Outbox
    maker: BarMaker
    clock: Clock
    long_answers: bool
    last_bars: dict[str, datetime] = field(default_factory=dict)
    _too_short: dict[Request, Answer] = field(default_factory=dict)
    _troubles: dict[Request, _Trouble] = field(default_factory=dict)
    _unusable: dict[Request, int] = field(default_factory=dict)

    @property
    def trouble(self) -> str | None:
        """Return what the source refuses, or None while it answers everything."""
        for request, trouble in self._troubles.items():
            share = "" if len(self._troubles) == 1 else f" and {len(self._troubles) - 1} more"
            return f"{self.source.name} refused {request.symbol}{share}: {trouble.sentence}"
        return None

    def remember(self) -> None:
        """Take up the agenda where the process before left it; what is played once is played once per process."""
        if self.agenda.slots is None:
            return
        for request in self.agenda.requests:
            poll = self.outbox.last_poll(request.symbol, request.interval.value)
            if poll:
                self.agenda.answer(request, poll.asked_at)
                self.last_bars[request.symbol] = poll.last_bar

    def round(self, stopping: Callable[[], bool]) -> Round:
        """Ask what is due until everything is answered, something is refused, or time, budget or room run out."""
        result = Round()
        until = time.monotonic() + _ROUND_SECONDS
        for request in self.agenda.due(self.clock.now()):
            now = self.clock.now()
            if stopping() or self.outbox.full or time.monotonic() > until or self.budget.allowed_at(now) > now:
                break
            self.budget.spend(now)
            try:
                answer = self.source.fetch(self._reaching(request, now))
            except RefusedError as error:
                self._refused(request, error)
                if error.refusal is not Refusal.BAD_CALL:
                    break
            else:
                self._answered(request, answer, result)
        return result

    def next_at(self, now: datetime) -> datetime | None:
        """Return when there is something to ask next, within the budget; None if never."""
        due = self.agenda.next_at(now)
        return due and max(due, self.budget.allowed_at(now))

    def _reaching(self, request: Request, now: datetime) -> Request:
        """Return the request in the length that should reach back to the last answer."""
        last = self.agenda.answered.get(request)
        if request in self._too_short:
            return replace(request, full=True)
        if self.agenda.slots is None or last is None or last > now or not self.long_answers:
            return request
        return replace(request, full=self.agenda.slots.passed(last, now) > _SHORT_ANSWER_REACH)

    def _answered(self, request: Request, answer: Answer, result: Round) -> None:
        if self._troubles.pop(request, None) and not self._troubles:
            log.event(_log, logging.INFO, "vendor answers again", symbol=request.symbol)
        self._complain(request, answer)
        result.answers += 1
        if self.agenda.slots is None:
            bars = self.maker.bars(answer, _EVER)
            result.fresh += self.outbox.add_again(bars)
            self.agenda.answer(request, self.clock.now())
        else:
            short = self._too_short.pop(request, None)
            # A long answer without a bar is worth less than the short one before it.
            answer = answer if short is None or answer.series.rows else short
            poll = self.outbox.last_poll(request.symbol, request.interval.value)
            if poll:
                # Revisions are ordered by it: told under a clock that was ahead, wrong values would stay for good.
                answer = replace(answer, fetched_at=max(answer.fetched_at, poll.fetched_at + _TICK))
            # A last bar of the future was told before a market's clock was set back.
            last = poll.last_bar if poll and poll.last_bar <= answer.asked_at else None
            oldest = min((row.bar_time for row in answer.series.rows), default=None)
            if last and oldest and self.agenda.slots.traded_between(last, min(oldest, answer.asked_at)):
                if self.long_answers and short is None and not answer.request.full:
                    # Stays open, and outside the outbox, which with its bars would forget what is missing.
                    self._too_short[request] = answer
                    return
                edges = {"from": last + request.interval.length, "to": oldest}
                told = {name: f"{edge:%Y-%m-%dT%H:%MZ}" for name, edge in edges.items()}
                log.event(_log, logging.WARNING, "gap", symbol=request.symbol, **told)
            # A long answer also tells the month before, which earlier answers told already.
            reach = (SHORT_ANSWER_ROWS - 1) * request.interval.length
            bars = self.maker.bars(answer, last - reach if answer.request.full and last else _EVER)
            result.fresh += self.outbox.add(bars, answer.asked_at)
            self.agenda.answer(request, answer.asked_at)
        if bars:
            newest = max(bar.bar_time for bar in bars)
            self.last_bars[request.symbol] = newest
            result.last_bar = max(newest, result.last_bar or newest)

    def _refused(self, request: Request, error: RefusedError) -> None:
        now = self.clock.now()
        if self.agenda.slots is None:
            log.event(_log, logging.WARNING, "recording refused", recording=request.recording, reason=str(error))
            self.agenda.answer(request, now)
            return
        last = self._troubles.pop(request, None)
        trouble = _Trouble(error.refusal, str(error), last.times + 1 if last else 1)
        if error.refusal not in {last and last.refusal, *(other.refusal for other in self._troubles.values())}:
            level = logging.ERROR if error.refusal in _GRAVE else logging.WARNING
            facts = {"symbol": request.symbol, "refusal": error.refusal, "reason": str(error)}
            log.event(_log, level, "vendor refused", **facts)
        self._troubles[request] = trouble
        if error.refusal is Refusal.QUOTA:
            self.budget.exhaust(now)
        elif error.refusal is Refusal.BAD_CALL:
            self.agenda.postpone(request, now + _UNKNOWN_PAUSE)
        else:
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(trouble.times - 1, 16), _LONGEST_PAUSE_SECONDS)
            if error.refusal in _GRAVE:
                pause = _LONGEST_PAUSE_SECONDS
            # The pause is of real seconds: a simulated market runs on, the network does not run faster.
            self.agenda.postpone(request, self.clock.after(now, pause))

    def _complain(self, request: Request, answer: Answer) -> None:
        unusable = answer.series.unusable
        if unusable and self._unusable.get(request) != len(unusable):
            facts = {"symbol": request.symbol, "count": len(unusable), "first": unusable[0]}
            log.event(_log, logging.WARNING, "bars unusable", **facts)
        self._unusable[request] = len(unusable)
