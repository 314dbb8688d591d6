"""Which series there should be: pure, from the settings that the producer has, too."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from market_pulse.auditor.settings import AuditorSettings
from market_pulse.contract import Interval
from market_pulse.producer.schedule import AFTER_CLOSE
from market_pulse.producer.settings import SourceName
from market_pulse.settings import Plan
from market_pulse.sources.alphavantage import offered


class Key(NamedTuple):
    """What tells one series from another."""

    symbol: str
    interval: str


@dataclass(frozen=True)
class Terms:
    """What decides which bars of a series are expected, and when; `ready_after` counts from the end of a bar."""

    exchange: str
    extended_hours: bool
    ready_after: timedelta


class Changes(NamedTuple):
    """What to do to the stored series: end some, begin some, and correct when others are ready."""

    ended: tuple[Key, ...]
    begun: Mapping[Key, Terms]
    corrected: Mapping[Key, Terms]


def wanted(settings: AuditorSettings) -> dict[Key, Terms]:
    """Return the series that the producer collects under these settings; of recorded answers nothing is expected."""
    if settings.source is SourceName.REPLAY:
        return {}
    offer = offered(settings.vendor_plan, settings.symbols, settings.interval)
    # A paid plan's calls of a minute go round the symbols one by one; a free one's have a second each.
    per_minute = 60 if settings.vendor_plan is Plan.FREE else settings.vendor_calls_per_minute
    round_trip = timedelta(minutes=len(settings.symbols) / per_minute)
    ready = timedelta(seconds=settings.settle_seconds) + offer.lag + round_trip
    return {
        Key(request.symbol, request.interval.value): Terms(
            settings.exchange,
            settings.extended_hours,
            ready + AFTER_CLOSE if request.interval is Interval.DAILY else ready,
        )
        for request in offer.requests
    }


def changes(stored: Mapping[Key, Terms], target: Mapping[Key, Terms]) -> Changes:
    """Return what makes the series that are collected by the database's account those of the settings.

    Other hours or another exchange count the bars differently from then on, so that series ends and begins anew.
    """
    kept = {key for key in stored.keys() & target.keys() if _grid(stored[key]) == _grid(target[key])}
    return Changes(
        ended=tuple(sorted(stored.keys() - kept)),
        begun={key: target[key] for key in _ordered(target.keys() - kept)},
        corrected={key: target[key] for key in _ordered(kept) if stored[key] != target[key]},
    )


def _grid(terms: Terms) -> tuple[str, bool]:
    return terms.exchange, terms.extended_hours


def _ordered(keys: Iterable[Key]) -> list[Key]:
    return sorted(keys)
