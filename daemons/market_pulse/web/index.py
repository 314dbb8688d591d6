"""Symbols beside each other, whatever they cost: each as a percentage of its close when all of them had one. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from market_pulse.web.bars import ShownBar

_START = Decimal(100)
_PLACES = Decimal("0.0001")


@dataclass(frozen=True)
class Line:
    """One symbol: the close that counts as 100, and its points.

    `points` are pairs of bar time in UTC and index, oldest first.
    """

    symbol: str
    base: str
    points: tuple[tuple[ShownBar, str], ...]


def compared(series: Mapping[str, Sequence[ShownBar]]) -> list[Line]:
    """Return each series, oldest bar first, as an index that is 100 at the first bar time that all of them have.

    A symbol without bars has no line, and where no bar time is common, there are no lines.
    """
    having = {symbol: bars for symbol, bars in series.items() if bars}
    start = _first_common(having)
    if start is None:
        return []
    lines = []
    for symbol, bars in having.items():
        kept = [bar for bar in bars if bar.bar_time >= start]
        base = Decimal(kept[0].close)
        points = ((bar, str((_START * Decimal(bar.close) / base).quantize(_PLACES))) for bar in kept)
        lines.append(Line(symbol, kept[0].close, tuple(points)))
    return lines


def _first_common(series: Mapping[str, Sequence[ShownBar]]) -> datetime | None:
    times = [{bar.bar_time for bar in bars} for bars in series.values()]
    common = set.intersection(*times) if times else set()
    return min(common, default=None)
