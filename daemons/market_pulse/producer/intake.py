"""Takes answers in: into the archive first, and when they are safe there, into the outbox.

Nothing is told that is not archived. An answer that was archived when the process died is told by the next one.
"""

import hashlib
import logging
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from market_pulse import contract, log
from market_pulse.contract import Cause
from market_pulse.producer.archive import Archive, Archived, Range
from market_pulse.producer.bars import BarMaker
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.schedule import Slots
from market_pulse.producer.telling import Taken as Taken
from market_pulse.producer.telling import Teller, plausible, read, record_of, speaks_for
from market_pulse.sources.base import Answer, Refusal, RefusedError, Request, Series

_TICK = timedelta(microseconds=1)
_NOTHING = Series(())

_log = logging.getLogger(__name__)


@dataclass
class Intake:
    """The one way from a source to the topic. `slots` is None for a source that is played once.

    Making one tells first what is archived and not told yet, and keeps what that brought in `recovered`. Every method
    raises StateError if archive or outbox cannot be written; what was taken is then told at the next start, or the
    answer is not kept at all.
    """

    archive: Archive
    outbox: Outbox
    maker: BarMaker
    slots: Slots | None
    recovered: list[tuple[Archived, Taken]] = field(default_factory=list, init=False)
    _unusable: dict[Request, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Go on where the process before stopped."""
        self._teller = Teller(self.outbox, self.maker.sessions, self.slots)
        told = self.outbox.place()
        if told is None:
            self.outbox.keep_place(self.archive.end())
            return
        if told > self.archive.end():
            # The newest file was moved away: what follows is numbered from the end of what is left.
            told = self.archive.end()
            self.outbox.return_to(told)
        for place, entry in self.archive.after(told):
            self.recovered.append((entry, self._teller.tell(entry, place)))
            log.event(_log, logging.INFO, "archived answer told", request=entry.request_id)

    def take(self, answer: Answer, cause: Cause, only: Range | None = None, *, again: bool = False) -> Taken:
        """Keep an answer and queue what is fresh of it, or of those of its bars that begin in a range.

        With `again` everything is queued, fresh or not.
        """
        fetched_at = answer.fetched_at
        if cause is not Cause.REPLAY:
            told_at = self.outbox.told_at(answer.request.symbol, answer.request.interval.value)
            # Revisions are ordered by it: told under a clock that was ahead, wrong values would stay for good.
            if told_at and told_at - fetched_at <= contract.CLOCK_SKEW:
                fetched_at = max(fetched_at, told_at + _TICK)
        entry = replace(self._entry(replace(answer, fetched_at=fetched_at), cause), only=only, tells_all=again)
        taken = self._teller.tell(entry, self.archive.add(entry), answer.series)
        self._complain(answer)
        return taken

    def take_archived(self, entry: Archived, cause: Cause, only: Range | None = None, *, again: bool = False) -> Taken:
        """Queue an archived answer's bars that begin in a range, or all, unless that was done before, or `again`.

        They carry the times of the answer, so that they stand behind what later answers told, and a request id of
        their own that begins with the answer's.
        """
        _, series = read(entry)
        part = replace(entry, request_id=f"{entry.request_id}:{_name(only)}", cause=cause, only=only, is_again=True)
        if not again and (_was_told(entry, only) or self.archive.find(part.request_id)):
            newest = max(plausible(entry, series, self.maker.sessions), default=None)
            return Taken(0, newest, speaks_for(part, series, self.maker), None)
        return self._teller.tell(part, self.archive.add(part), series)

    def refuse(self, request: Request, cause: Cause, asked_at: datetime, error: RefusedError) -> None:
        """Keep a refusal with what arrived, and queue its record; it counts as fetched when it was asked for."""
        answer = Answer(request, uuid.uuid4().hex, asked_at, asked_at, _NOTHING, error.body)
        entry = replace(self._entry(answer, cause), refusal=error.refusal)
        self._teller.tell(entry, self.archive.add(entry))

    def note_quota(self, request: Request, cause: Cause, now: datetime) -> None:
        """Queue the record of a request that was not sent, because the calls of the day are used up."""
        entry = self._entry(Answer(request, uuid.uuid4().hex, now, now, _NOTHING), cause)
        self.outbox.take((), record_of(replace(entry, refusal=Refusal.QUOTA), _NOTHING, told=0, covers=None))

    def _entry(self, answer: Answer, cause: Cause) -> Archived:
        return Archived(
            request_id=answer.request_id,
            source=self.maker.source,
            cause=cause,
            request=answer.request,
            asked_at=answer.asked_at,
            fetched_at=answer.fetched_at,
            refusal=None,
            sha256=hashlib.sha256(answer.body).hexdigest() if answer.body else None,
            body=answer.body,
            settle=self.maker.settle,
            lag=self.maker.lag,
        )

    def _complain(self, answer: Answer) -> None:
        unusable = answer.series.unusable
        if unusable and self._unusable.get(answer.request) != len(unusable):
            facts = {"symbol": answer.request.symbol, "count": len(unusable), "first": unusable[0]}
            log.event(_log, logging.WARNING, "bars unusable", request=answer.request_id, **facts)
        self._unusable[answer.request] = len(unusable)


def _name(only: Range | None) -> str:
    return "-".join(f"{edge:%Y%m%dT%H%M}" for edge in only) if only else "all"


def _was_told(entry: Archived, only: Range | None) -> bool:
    """Tell whether an answer's bars of a range were told when it was taken."""
    if entry.only is None:
        # Of a poll's long answer, the older part was told by polls before it.
        return not (entry.cause is Cause.POLL and entry.request.full)
    return only is not None and entry.only[0] <= only[0] and only[1] <= entry.only[1]
