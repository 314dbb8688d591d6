"""How two ways are compared, and what comes out; pure.

A machine drifts within the hour by more than the ways differ, so that only runs side by side are compared: in pairs,
whose order alternates, after a warm-up that is thrown away. What counts is the median of the pairs' ratios.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.tables import column

LEAST_PAIRS = 5
# Java compiles what it repeats for a minute and longer.
WARM_UP_PAIRS = 3

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Pair:
    """How long each of the two took, one right after the other; both in the same unit."""

    ours: float
    other: float

    @property
    def ratio(self) -> float:
        """Return how many times as fast ours was."""
        return self.other / self.ours


@dataclass(frozen=True)
class Rate:
    """A comparison of rates, in thousand records a second; `rewritten` is the most rows of ours in a round."""

    load: str = column("load")
    other: str = column("against")
    records: int = column("records", ",")
    our_rate: float = column("ours, 1,000/s", ".1f")
    other_rate: float = column("other, 1,000/s", ".1f")
    ratio: float = column("ratio", ".2f")
    low: float = column("from", ".2f")
    high: float = column("to", ".2f")
    rewritten: int = column("rewritten rows")
    day: str = column("as of")


@dataclass(frozen=True)
class Delay:
    """A comparison of how long bars take to be visible, in milliseconds; the ratio is that of the 99th percentiles."""

    feed: str = column("bars")
    other: str = column("against")
    our_median: float = column("ours p50, ms", ".0f")
    our_p95: float = column("ours p95, ms", ".0f")
    our_p99: float = column("ours p99, ms", ".0f")
    other_median: float = column("other p50, ms", ".0f")
    other_p95: float = column("other p95, ms", ".0f")
    other_p99: float = column("other p99, ms", ".0f")
    ratio: float = column("ratio", ".2f")
    low: float = column("from", ".2f")
    high: float = column("to", ".2f")
    day: str = column("as of")


def in_turn(pair: int, ours: Callable[[], Outcome], other: Callable[[], Outcome]) -> tuple[Outcome, Outcome]:
    """Run both of a pair, counted from 0, and return what came out of ours and of the other; who begins alternates."""
    if pair % 2 == 0:
        return ours(), other()
    theirs = other()
    return ours(), theirs


def summary(key: tuple[str, str], records: int, pairs: Sequence[Pair], *, rewritten: int, day: str) -> Rate:
    """Return the row of a comparison of how long so many records take.

    Raises:
        ValueError: there are fewer pairs than say anything.
    """
    return Rate(
        *key,
        records,
        records / statistics.median(pair.ours for pair in pairs) / 1000,
        records / statistics.median(pair.other for pair in pairs) / 1000,
        *_spread(pairs),
        rewritten,
        day,
    )


def delay(key: tuple[str, str], pairs: Sequence[tuple[Sequence[float], Sequence[float]]], day: str) -> Delay:
    """Return the row of a comparison of milliseconds, of which there are many on each side of a pair.

    Raises:
        ValueError: there are fewer pairs than say anything.
    """
    ours, other = ([value for pair in pairs for value in pair[side]] for side in (0, 1))
    last = [Pair(percentile(mine, 99), percentile(theirs, 99)) for mine, theirs in pairs]
    told = (percentile(values, part) for values in (ours, other) for part in (50, 95, 99))
    return Delay(*key, *told, *_spread(last), day)


def percentile(values: Sequence[float], part: int) -> float:
    """Return the value that so many of a hundred do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * part / 100) - 1)]


def rewrites(measured: Iterable[Rate]) -> list[str]:
    """Say where rows were rewritten that had not changed."""
    return [f"{row.load}: {row.rewritten} rows rewritten that had not changed" for row in measured if row.rewritten]


def _spread(pairs: Sequence[Pair]) -> tuple[float, float, float]:
    if len(pairs) < LEAST_PAIRS:
        raise ValueError(f"{len(pairs)} pairs; at least {LEAST_PAIRS} make a comparison")
    ratios = [pair.ratio for pair in pairs]
    return statistics.median(ratios), min(ratios), max(ratios)
