"""What the auditor makes of what it reads: rows in, findings and one sentence out; nothing here looks."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from market_pulse.auditor.facts import Absent, Facts, Jump, Name, Pulse, Tally, Unserved
from market_pulse.auditor.losses import losses
from market_pulse.auditor.words import bar

_FEWEST_SILENT_BARS = 3
# At noon a series trades about half as often as over the whole day.
_QUIET_SHARE = 0.5
# A pause after a price had moved too far lasts ten minutes, and the first bar after it takes one more.
_PAUSE_OF_ONE_SERIES = timedelta(minutes=12)
_MOST_SILENT_BARS = 1000
_SILENT_BARS_OF_A_NEW_SERIES = 15
# So rarely may a series without a fault be called stale: once in so many bars.
_RARITY = 1e-6
_CALENDAR_DAYS = 60
_WHY = {
    "vendor_missing": "the vendor answers and does not have them",
    "halt_inferred": "the vendor answers and does not have them, as in a halt",
    "quota": "the calls of the day were used up",
    "quarantined": "what the vendor told is in quarantine",
}


class Known(NamedTuple):
    """A finding that was open before this audit."""

    sentence: str
    is_acknowledged: bool


class News(NamedTuple):
    """What is different from the findings that were open: these begin, these are over, these read differently."""

    begun: dict[Name, str]
    over: tuple[Name, ...]
    reworded: dict[Name, str]


def findings(facts: Facts) -> dict[Name, str]:
    """Return every finding with its sentence, the gravest first."""
    return {
        name: sentence
        for found in (
            losses(facts),
            _outages(facts.outages),
            _unserved(facts.unserved),
            _pulses(facts),
            _jumps(facts.jumps),
            _calendar(facts),
        )
        for name, sentence in found
    }


def news(found: Mapping[Name, str], known: Mapping[Name, Known]) -> News:
    """Compare what is found with what was open."""
    return News(
        begun={name: sentence for name, sentence in found.items() if name not in known},
        over=tuple(name for name in known if name not in found),
        reworded={name: text for name, text in found.items() if name in known and known[name].sentence != text},
    )


def alarms(found: Mapping[Name, str], known: Mapping[Name, Known]) -> dict[Name, str]:
    """Return what is found and not acknowledged as it is."""
    return {name: text for name, text in found.items() if known.get(name) != Known(text, is_acknowledged=True)}


def sentence(tally: Tally, found: Mapping[Name, str]) -> str:
    """Return what ``systemctl status`` shows: the gravest finding, or that everything is accounted for."""
    for name, text in found.items():
        return f"{name.kind}: {text}" + (f", and {len(found) - 1} more" if len(found) > 1 else "")
    if not tally.symbols:
        return "complete: no bar is expected yet"
    explained = f", {tally.otherwise_explained} otherwise explained" if tally.otherwise_explained else ""
    return (
        f"complete: {tally.symbols} symbols, {tally.stored} of {tally.due} bars expected so far, "
        f"{tally.no_trade} not traded{explained}"
    )


def _outages(runs: Iterable[Absent]) -> Iterator[tuple[Name, str]]:
    by_day: dict[tuple[date, str], list[Absent]] = {}
    for run in sorted(runs, key=lambda run: (run.trading_date, run.interval, run.since, run.symbol)):
        by_day.setdefault((run.trading_date, run.interval), []).append(run)
    for (day, interval), of_day in by_day.items():
        others = len({run.symbol for run in of_day}) - 1
        whose = of_day[0].symbol + (f" and {others} more" if others else "")
        bars = sum(run.bars for run in of_day)
        first = bar(of_day[0].symbol, interval, of_day[0].since)
        yield Name("outage", f"{day} {interval}"), f"{bars} bars of {whose} are due and not asked for, first {first}"


def _unserved(sessions: Iterable[Unserved]) -> Iterator[tuple[Name, str]]:
    for (day, interval), of_day in groupby(sessions, key=lambda session: (session.trading_date, session.interval)):
        first, *others = of_day
        whose = first.symbol + (f", and hardly more of {len(others)} others" if others else "")
        bars = f"{first.stored} of {first.expected} bars of {day} {interval} are stored of {whose}"
        reason = Counter(session.reason for session in (first, *others)).most_common(1)[0][0]
        yield Name("unserved", f"{day} {interval}"), f"{bars}: {_WHY[reason]}"


def _jumps(jumps: Iterable[Jump]) -> Iterator[tuple[Name, str]]:
    for (symbol, interval, request), told in groupby(
        jumps, key=lambda jump: (jump.symbol, jump.interval, jump.request_id)
    ):
        first, *others = told
        more = f" and {len(others)} more after it were" if others else " was"
        most = max(jump.percent for jump in (first, *others))
        which = f"{bar(symbol, interval, first.bar_time)}{more} final"
        closes = f"close {first.before} before and {first.after} now"
        text = f"{which}, and request {request} changes a price by {most} %: {closes}"
        yield Name("revised", f"{symbol} {interval} {request}"), text


def _pulses(facts: Facts) -> Iterator[tuple[Name, str]]:
    silent = [pulse for pulse in facts.pulses if _is_silent(pulse, facts, bars=1)]
    if silent and len(silent) == len(facts.pulses):
        last = max((pulse.asked_at for pulse in silent if pulse.asked_at), default=None)
        since = f"since {last:%Y-%m-%d %H:%M}" if last else "at all"
        yield Name("silent", "all"), f"no answer of the vendor has come {since}, for none of {len(silent)} series"
        return
    stuck = [pulse for pulse in facts.pulses if _is_stuck(pulse, facts, _patience(pulse))]
    # What stops for all is no pause of one of them.
    if len(stuck) < 2 or len(stuck) < len(facts.pulses):  # noqa: PLR2004 - all, and more than one
        stuck = [pulse for pulse in stuck if _is_stuck(pulse, facts, _PAUSE_OF_ONE_SERIES + pulse.ready_after)]
    for pulse in facts.pulses:
        series = f"{pulse.symbol} {pulse.interval}"
        if _is_silent(pulse, facts, bars=_FEWEST_SILENT_BARS):
            since = f"since {pulse.asked_at:%Y-%m-%d %H:%M}" if pulse.asked_at else "at all"
            yield Name("silent", series), f"no answer about {series} has come {since}"
        elif pulse in stuck:
            newest = (
                f"the newest bar is of {pulse.newest_bar:%Y-%m-%d %H:%M}" if pulse.newest_bar else "there is no bar"
            )
            why = f"the vendor refuses ({pulse.refusal})" if pulse.refusal else "answers keep coming"
            yield Name("stale", series), f"{series}: {newest} although the market trades; {why}"


def _is_silent(pulse: Pulse, facts: Facts, *, bars: int) -> bool:
    heard = max(pulse.asked_at or pulse.since, pulse.since)
    return facts.now - heard > bars * pulse.step + pulse.ready_after + facts.grace


def _is_stuck(pulse: Pulse, facts: Facts, patience: timedelta) -> bool:
    return not pulse.is_halted and facts.now - _told_until(pulse) > patience + facts.grace


def _told_until(pulse: Pulse) -> datetime:
    return max(pulse.newest_bar + pulse.step if pulse.newest_bar else pulse.since, pulse.since)


def _patience(pulse: Pulse) -> timedelta:
    """Return for how long after its last bar a series that trades as it usually does may have none."""
    if pulse.traded is None:
        bars = _SILENT_BARS_OF_A_NEW_SERIES
    elif pulse.traded >= 1:
        bars = _FEWEST_SILENT_BARS
    else:
        often = math.log(_RARITY) / math.log(1 - _QUIET_SHARE * pulse.traded) if pulse.traded > 0 else math.inf
        bars = math.ceil(min(max(often, _FEWEST_SILENT_BARS), _MOST_SILENT_BARS))
    return bars * pulse.step + pulse.ready_after


def _calendar(facts: Facts) -> Iterator[tuple[Name, str]]:
    name = Name("calendar", facts.exchange)
    if facts.calendar_ends is None:
        yield name, f"the calendar of {facts.exchange} is empty: systemctl start market-pulse-upkeep fills it"
    elif (left := (facts.calendar_ends - facts.now).days) < _CALENDAR_DAYS:
        ends = f"ends on {facts.calendar_ends:%Y-%m-%d}, {max(left, 0)} days from now"
        yield name, f"the calendar of {facts.exchange} {ends}: a newer release knows more"
