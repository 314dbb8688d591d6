"""What the auditor makes of bars that were here, or were told, and are not: pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from market_pulse.auditor.facts import Absent, Deleted, Facts, Name, Shortfall
from market_pulse.auditor.words import bar, bar_time

# More findings than these about one series are told as one.
_MOST_RUNS = 20


def losses(facts: Facts) -> Iterator[tuple[Name, str]]:
    """Yield a finding for each run of bars that was deleted or is gone, and for each answer that is not whole."""
    for _, same in groupby(facts.deleted, key=_by_whom):
        yield from _deleted(list(same))
    for _, same_series in groupby(facts.missing, key=lambda run: (run.symbol, run.interval)):
        yield from _gone(list(same_series))
    yield from _short(facts.shortfalls)


def _by_whom(run: Deleted) -> tuple[bool, str, str, str]:
    return run.is_revision, run.symbol, run.interval, run.deleted_by


def _deleted(runs: list[Deleted]) -> Iterator[tuple[Name, str]]:
    is_revision, symbol, interval, by = _by_whom(runs[0])
    kind, of_what = ("history", "what was told of ") if is_revision else ("missing", "")
    if len(runs) > _MOST_RUNS:
        last = max(runs, key=lambda run: run.deleted_at)
        text = _scattered(f"{symbol} {interval}", [run.rows for run in runs], runs[0].first, runs[-1].last)
        yield (
            Name(kind, f"{symbol} {interval} {by}"),
            f"{of_what}{text} were deleted by {by}, the last to go {_bars(last)}: see market.deletion",
        )
        return
    for run in runs:
        verb = "were" if run.rows > 1 else "was"
        yield (
            Name(kind, f"{symbol} {interval} {by} {run.number}"),
            f"{of_what}{_bars(run)} {verb} deleted by {by}",
        )


def _gone(runs: list[Absent]) -> Iterator[tuple[Name, str]]:
    symbol, interval = runs[0].symbol, runs[0].interval
    if len(runs) > _MOST_RUNS:
        text = _scattered(f"{symbol} {interval}", [run.bars for run in runs], runs[0].since, runs[-1].since)
        yield Name("missing", f"{symbol} {interval}"), f"{text} were stored and are gone: see market.absence"
        return
    for run in runs:
        bars = "" if run.bars == 1 else f" and {run.bars - 1} more after it"
        subject = f"{symbol} {interval} {run.since:%Y-%m-%dT%H:%MZ}"
        yield Name("missing", subject), f"{bar(symbol, interval, run.since)}{bars} was stored and is gone"


def _short(shortfalls: Iterable[Shortfall]) -> Iterator[tuple[Name, str]]:
    for short in shortfalls:
        asked = bar(short.symbol, "", short.asked_at)
        text = f"request {short.request_id} of {asked} told {short.told} bars, and {short.kept} are kept"
        yield Name("shortfall", f"{short.symbol} {short.interval} {short.request_id}"), text


def _scattered(series: str, rows: Sequence[int], first: datetime, last: datetime) -> str:
    return f"{sum(rows)} bars of {series}, in {len(rows)} places from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M},"


def _bars(gone: Deleted) -> str:
    first = bar(gone.symbol, gone.interval, gone.first)
    if gone.rows == 1:
        return first
    if gone.first == gone.last:
        return f"{gone.rows} tellings of {first}"
    return f"{gone.rows} bars of {first} to {bar_time(gone.interval, gone.last)}"
