"""What is told of an answer: decided by the entry in the archive and by what was told before, and by nothing else.

So the same entries in the same order tell the same, today or when everything is told again from the archive.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from msgspec import structs

from market_pulse import contract
from market_pulse.contract import AnswerRecord, Bar, Cause, Interval
from market_pulse.producer.archive import Archived, Place, Range
from market_pulse.producer.bars import BarMaker
from market_pulse.producer.outbox import Outbox, Poll
from market_pulse.producer.schedule import Slots
from market_pulse.sessions import Sessions
from market_pulse.sources.answers import parse
from market_pulse.sources.base import (
    SHORT_ANSWER_ROWS,
    Answer,
    Function,
    RefusedError,
    Row,
    Series,
    month_span,
)

_EVER = datetime.min.replace(tzinfo=UTC)
_NOTHING = Series(())
# An intraday answer holds a month at most: an older bar in it is a mistake, and tells nothing of those between.
_LONGEST_INTRADAY = timedelta(days=31)


@dataclass(frozen=True)
class Taken:
    """What an answer brought.

    `told` counts the bars that were queued, `newest` is the start of the newest bar in it. It speaks for all bars that
    begin in `covers`. `gap` is a range of bar starts in which the market traded, and of which neither this answer nor
    an earlier one told anything. Each range includes its start and excludes its end.
    """

    told: int
    newest: datetime | None
    covers: Range | None
    gap: Range | None


@dataclass(frozen=True)
class Teller:
    """Queues what an entry of the archive tells. Without `slots` no gap is looked for."""

    outbox: Outbox
    sessions: Sessions
    slots: Slots | None = None

    def tell(self, entry: Archived, place: Place | None, series: Series | None = None) -> Taken:
        """Queue the fresh bars of an entry, then its record; `series` is what its body says, if that is known already.

        An entry that this release's reading refuses is recorded as refused.
        """
        if series is None:
            entry, series = read(entry)
        answer = Answer(entry.request, entry.request_id, entry.asked_at, entry.fetched_at, series, entry.body)
        maker = BarMaker(entry.source, self.sessions, entry.settle, entry.lag)
        last = self._last_bar(entry)
        if not entry.refusal and not _is_repetition(entry) and self._was_ahead(entry):
            self.outbox.forget(entry.request.symbol, entry.request.interval.value)
        since = _reach(entry, last)
        rows = _rows(entry, series, since, maker)
        bars = maker.bars(answer, rows)
        if not _is_repetition(entry):
            bars = self.outbox.fresh(bars)
        if bars and last == bars[-1].bar_time and self._may_be_frozen(bars[-1], answer.asked_at, maker):
            # As it was told, forming, it stands until a newer bar or the end of trading proves it complete.
            del bars[-1]
        known = plausible(entry, series, self.sessions)
        covers = speaks_for(entry, series, maker, since)
        record = record_of(entry, series, told=len(bars), covers=covers)
        poll = None
        if known and _is_poll(entry):
            poll = Poll(entry.asked_at, max(known[-1], last or known[-1]), entry.fetched_at)
        seen_from = max(known[0], since) if poll else self._seen_from(entry)
        self.outbox.take(bars, record, seen_from=seen_from, poll=poll, place=place)
        gap = self._gap(entry, last, known[0], maker) if known else None
        return Taken(len(bars), known[-1] if known else None, covers, gap)

    def _was_ahead(self, entry: Archived) -> bool:
        """Tell whether the newest telling before this one came from a clock that was ahead: nobody may believe it."""
        told_at = self.outbox.told_at(entry.request.symbol, entry.request.interval.value)
        # The sink refuses a telling from so far ahead: what follows it is told anew, in the order of the right time.
        return told_at is not None and told_at - entry.fetched_at > contract.CLOCK_SKEW

    def _last_bar(self, entry: Archived) -> datetime | None:
        """Return the newest bar that polls told before this one."""
        poll = self.outbox.last_poll(entry.request.symbol, entry.request.interval.value) if _is_poll(entry) else None
        # A last bar of the future was told before a market's clock was set back.
        return poll.last_bar if poll and poll.last_bar <= entry.asked_at else None

    def _seen_from(self, entry: Archived) -> datetime | None:
        """Return from where on it is remembered what an entry tells that is no poll."""
        if entry.refusal or _is_repetition(entry):
            return None
        # What lies before would be forgotten by the next poll; where nobody polls, nothing ever would be.
        return self.outbox.oldest_seen(entry.request.symbol, entry.request.interval.value)

    def _may_be_frozen(self, newest: Bar, asked_at: datetime, maker: BarMaker) -> bool:
        """Tell whether the vendor may have stood still since it told the newest bar of before as forming."""
        forming = structs.replace(newest, is_final=False)
        return not self.outbox.fresh([forming]) and not maker.is_session_over(newest, asked_at)

    def _gap(self, entry: Archived, last: datetime | None, oldest: datetime, maker: BarMaker) -> Range | None:
        if last is None or self.slots is None or not self.slots.traded_between(last, oldest):
            return None
        daily = entry.request.interval is Interval.DAILY
        # The newest bar of before may have been forming when the vendor last told it.
        return (maker.following(Interval.DAILY, last) if daily else last), oldest


def speaks_for(entry: Archived, series: Series, maker: BarMaker, since: datetime = _EVER) -> Range | None:
    """Return for which bar starts an answer with data speaks, or None.

    A quote speaks for none, and neither does an answer with a row that could not be read: it may be any bar.
    """
    request = entry.request
    if entry.refusal or request.function is Function.QUOTE or series.unusable:
        return None
    until = maker.complete_until(request.interval, entry.asked_at)
    if until is None:
        return None
    known = plausible(entry, series, maker.sessions)
    month = month_span(request.month, maker.sessions.zone) if request.month else None
    if month and request.full:
        first = month[0]
    elif known:
        first = max(known[0], since)
    else:
        return None
    if month:
        until = min(until, month[1])
    elif request.interval is not Interval.DAILY:
        first = max(first, entry.asked_at - _LONGEST_INTRADAY)
    if entry.only:
        first, until = max(first, entry.only[0]), min(until, entry.only[1])
    return (first, until) if first < until else None


def read(entry: Archived) -> tuple[Archived, Series]:
    """Return an entry with what its body says; refused, if this release's reading of it is a refusal."""
    if entry.refusal:
        return entry, _NOTHING
    try:
        return entry, parse(entry.body, entry.request, entry.fetched_at)
    except RefusedError as error:
        return replace(entry, refusal=error.refusal), _NOTHING


def plausible(entry: Archived, series: Series, sessions: Sessions) -> list[datetime]:
    """Return the starts of an answer's bars in order, without those of the future and of before the calendar."""
    first = datetime.combine(sessions.days[0].date, time.min, sessions.zone)
    return sorted(row.bar_time for row in series.rows if first <= row.bar_time <= entry.fetched_at)


def _is_poll(entry: Archived) -> bool:
    """Tell whether an entry is the newest that is known of a series, up to its end."""
    part = entry.only or entry.request.month or entry.is_again
    return entry.cause is Cause.POLL and not part and not entry.refusal and entry.request.function is not Function.QUOTE


def _is_repetition(entry: Archived) -> bool:
    """Tell whether an entry tells its bars whatever was told before."""
    return entry.is_again or entry.tells_all or entry.cause is Cause.REPLAY


def _reach(entry: Archived, last: datetime | None) -> datetime:
    """Return from where on a poll's bars are looked at: a long answer also tells the month that was told already."""
    if last is None or not entry.request.full:
        return _EVER
    return last - (SHORT_ANSWER_ROWS - 1) * entry.request.interval.length


def _rows(entry: Archived, series: Series, since: datetime, maker: BarMaker) -> list[Row]:
    rows = sorted(row for row in series.rows if row.bar_time >= since)
    if entry.only:
        rows = [row for row in rows if entry.only[0] <= row.bar_time < entry.only[1]]
    if entry.request.function is Function.QUOTE:
        # Its volume is not that of the day's bar, so it must never stand in for one.
        rows = [row for row in rows if not maker.complete(entry.request.interval, row.bar_time, entry.asked_at)]
    return rows


def record_of(entry: Archived, series: Series, *, told: int, covers: Range | None) -> AnswerRecord:
    """Return what is told of an entry itself."""
    request = entry.request
    covers_from, covers_until = covers or (None, None)
    return AnswerRecord(
        v=contract.VERSION,
        source=entry.source,
        request_id=entry.request_id,
        cause=entry.cause.value,
        function=request.function.value,
        symbol=request.symbol,
        interval=request.interval.value,
        month=request.month or None,
        asked_at=entry.asked_at,
        fetched_at=entry.fetched_at,
        refusal=entry.refusal.value if entry.refusal else None,
        sha256=entry.sha256,
        rows=len(series.rows),
        told=told,
        unusable=len(series.unusable),
        covers_from=covers_from,
        covers_until=covers_until,
    )
