"""Works the backlog off: finds what is missing, and decides what an answer or a refusal means for a piece."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from market_pulse import log
from market_pulse.contract import Cause
from market_pulse.producer import span
from market_pulse.producer.archive import Archive, Archived
from market_pulse.producer.backlog import Backlog, Piece, Wanted
from market_pulse.producer.span import Part, Range
from market_pulse.sessions import Sessions
from market_pulse.sources.base import Answer, Offer, Refusal, RefusedError, Request

# What the vendor kept back is asked for so often, after a pause that doubles each time; what polls missed, once before.
_LATE_CHANCES = 3
_LATE_PAUSE = timedelta(hours=2)
_FIRST_PAUSE = timedelta(minutes=5)
_LONGEST_PAUSE = timedelta(hours=6)
_MOST_DOUBLINGS = 8
# So many answers of the vendor that refuse a piece are believed; its silence never is.
_BELIEVED = {
    Refusal.NOT_ENTITLED: (1, "the key's plan does not include it"),
    Refusal.BAD_CALL: (3, "the vendor does not serve it"),
    Refusal.VENDOR_ERROR: (10, "10 answers could not be used"),
}

_log = logging.getLogger(__name__)


@dataclass
class Repairs:
    """The pieces beside the live polls, on one exchange under one offer."""

    backlog: Backlog
    archive: Archive
    sessions: Sessions
    offer: Offer
    _judged: dict[Request, date] = field(default_factory=dict)

    def found_gap(self, request: Request, gap: Range, now: datetime) -> None:
        """Open what no answer has told; what the plan cannot get is given up, and said."""
        reach = span.unreachable(gap[0], self.offer, self.sessions, now)
        start = min(reach, gap[1]) if reach else gap[0]
        for part in span.parts(request.symbol, request.interval, (gap[0], start), self.sessions):
            reason = "the plan's longest answer begins later"
            self.backlog.refuse(Wanted.at_once(part, Cause.REPAIR, now), reason)
            _say_given_up(part, reason)
        for part in span.parts(request.symbol, request.interval, (start, gap[1]), self.sessions):
            self.backlog.open(replace(Wanted.at_once(part, Cause.REPAIR, now), chances=_LATE_CHANCES + 1))
            log.event(_log, logging.INFO, "repair planned", **_words(part))

    def judge_end(self, answer: Answer) -> None:
        """Open the end of the newest finished session if an answer lacks it though the vendor ought to have it."""
        request, asked_at = answer.request, answer.asked_at
        day = asked_at.astimezone(self.sessions.zone).date()
        times = (row.bar_time for row in answer.series.rows)
        missing = span.missing_end(times, request.interval, self.offer, self.sessions, asked_at)
        if missing is None or self._judged.get(request) == day:
            return
        self._judged[request] = day
        later = asked_at + _LATE_PAUSE
        for part in span.parts(request.symbol, request.interval, missing, self.sessions):
            if self.backlog.holding(part, Cause.REPAIR) is None:
                wanted = Wanted.at_once(part, Cause.REPAIR, asked_at)
                self.backlog.open(replace(wanted, asked_since=later, not_before=later, chances=_LATE_CHANCES))
                log.event(_log, logging.INFO, "repair planned", **_words(part))

    def request(self, piece: Piece) -> Request:
        """Return the question whose answer holds a piece."""
        return span.request(piece.part, self.offer)

    def archived(self, piece: Piece) -> Archived | None:
        """Return the answer to a piece that was paid for already."""
        return self.archive.newest(self.request(piece), piece.asked_since)

    def settle(self, piece: Piece, answer: Answer, told: int) -> None:
        """Close a piece with its answer, unless that lacks what the vendor ought to have."""
        times = (row.bar_time for row in answer.series.rows)
        if piece.chances == 0 or not span.lacks(times, piece.part, self.sessions):
            self.backlog.finish(piece, answer.request_id, told)
        elif piece.chances > 1:
            later = answer.asked_at + _LATE_PAUSE * 2 ** (_LATE_CHANCES - piece.chances + 1)
            self.backlog.ask_anew(piece, later, told)
        else:
            self._give_up(piece, "the vendor does not tell it all, however often it is asked")

    def refused(self, piece: Piece, error: RefusedError, now: datetime) -> bool:
        """Return whether a refusal ends a piece; a spent day, a burst or a wrong key says nothing about it."""
        if error.refusal not in _BELIEVED:
            return False
        times, reason = _BELIEVED[error.refusal]
        if piece.cause is Cause.BACKFILL and error.refusal is Refusal.BAD_CALL:
            # An operator waits for it, reads the reason, and can order again.
            times = 1
        if error.is_answer and piece.denied + 1 >= times:
            self._give_up(piece, f"{reason}: {error}")
            return True
        pause = _FIRST_PAUSE * 2 ** min(piece.attempts, _MOST_DOUBLINGS)
        self.backlog.postpone(piece, now + min(pause, _LONGEST_PAUSE), is_denied=error.is_answer)
        return False

    def watch(self, offer: Offer, symbols: Sequence[str]) -> None:
        """Work for an offer from now on; what was missing of other symbols is no longer of interest."""
        self.offer = offer
        for piece in self.backlog.open_pieces():
            if piece.cause is Cause.REPAIR and piece.part.symbol not in symbols:
                self.backlog.give_up(piece, "its symbol is no longer watched")

    def _give_up(self, piece: Piece, reason: str) -> None:
        self.backlog.give_up(piece, reason)
        _say_given_up(piece.part, reason)


def _say_given_up(part: Part, reason: str) -> None:
    log.event(_log, logging.WARNING, "gap", **_words(part), reason=reason)


def _words(part: Part) -> dict[str, str]:
    edges = {"from": part.starts_at, "to": part.ends_at}
    return {"symbol": part.symbol, **{name: f"{edge.astimezone(UTC):%Y-%m-%dT%H:%MZ}" for name, edge in edges.items()}}
