"""Whether what readers see is what the market does: the sentence at the head of the page. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from market_pulse.web.bars import Completeness, Lag

# More than a few batches of the consumer's.
_MOST_LAG = 2000
_PATIENCE = timedelta(minutes=15)


class State(StrEnum):
    """At one glance."""

    WELL = "well"
    ATTENTION = "attention"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The market's clock: `opens_at` is the beginning of the next trading, or of this one while `is_open`."""

    now: datetime
    is_open: bool
    opens_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The feed as a whole.

    Units: `lag` in records by partition; `age_seconds` is market time from the start of the newest bar until now.
    `findings` are the auditor's that nobody has acknowledged.
    """

    state: State
    sentence: str
    market: Market
    newest_bar: datetime | None
    age_seconds: float | None
    series: int
    stored_at: datetime | None
    lag: list[Lag]
    completeness: list[Completeness]
    findings: list[str]
    readers: int
    received: int


@dataclass(frozen=True)
class Facts:
    """What the verdict goes by.

    Args:
        market: its clock.
        newest: when the newest bar began that is stored.
        step: the length of a bar of the series that is collected.
        lag: by partition.
        completeness: of the newest day.
        findings: the auditor's.
        troubles: why parts do not answer, in words; empty while all do.
    """

    market: Market
    newest: datetime | None
    step: timedelta
    lag: list[Lag]
    completeness: list[Completeness]
    findings: list[str]
    troubles: list[str]


def verdict(facts: Facts) -> tuple[State, str]:
    """Return the state and the sentence about it."""
    if facts.troubles:
        return State.DOWN, "; ".join(facts.troubles)
    if sentence := next(_concerns(facts), None):
        return State.ATTENTION, sentence
    if not facts.market.is_open:
        return State.WELL, "The market is closed; what was told is stored."
    return State.WELL, "Bars come as they should."


def _concerns(facts: Facts) -> Iterator[str]:
    if facts.newest is None:
        yield "No bar is stored yet."
        return
    if (behind := sum(item.records or 0 for item in facts.lag)) > _MOST_LAG:
        yield f"{behind} records of the topic are not stored yet."
    if missing := sum(item.missing for item in facts.completeness):
        yield f"{missing} bars are missing, and nothing explains it."
    yield from facts.findings[:1]
    # A bar is told after its end, and the one before it may have had no trade.
    late = facts.market.now - facts.newest
    if facts.market.is_open and facts.step < timedelta(days=1) and late > max(5 * facts.step, _PATIENCE):
        yield f"The market is open, and the newest bar began {late // timedelta(minutes=1)} minutes ago."
