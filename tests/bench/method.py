"""How two ways are compared, and how what comes out is told and kept; pure.

A machine drifts within the hour by more than the ways differ, so that only runs side by side are compared: in pairs,
whose order alternates, after a warm-up that is thrown away. What counts is the median of the pairs' ratios.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEAST_PAIRS = 5
# By how much of the committed ratio a new one may be worse.
TOLERANCE = 0.2
_HEADER = (
    "| load | against | records | ours, 1,000/s | other, 1,000/s | ratio | from | to | rewritten rows | as of |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
)


@dataclass(frozen=True)
class Pair:
    """Seconds that each of the two took, one right after the other."""

    ours: float
    other: float

    @property
    def ratio(self) -> float:
        """Return how many times as fast ours was."""
        return self.other / self.ours


@dataclass(frozen=True)
class Row:
    """A comparison as it is kept; rates in thousand records a second, `rewritten` the most rows of ours in a round."""

    load: str
    other: str
    records: int
    our_rate: float
    other_rate: float
    ratio: float
    low: float
    high: float
    rewritten: int
    day: str

    @property
    def key(self) -> tuple[str, str]:
        """Return what no other row has."""
        return self.load, self.other


def is_ours_first(pair: int) -> bool:
    """Tell whether in a pair, counted from 0, ours runs first."""
    return pair % 2 == 0


def summary(key: tuple[str, str], records: int, pairs: Sequence[Pair], *, rewritten: int, day: str) -> Row:
    """Return the row of a comparison.

    Raises:
        ValueError: there are fewer pairs than say anything.
    """
    if len(pairs) < LEAST_PAIRS:
        raise ValueError(f"{len(pairs)} pairs; at least {LEAST_PAIRS} make a comparison")
    ratios = [pair.ratio for pair in pairs]
    return Row(
        *key,
        records,
        our_rate=records / statistics.median(pair.ours for pair in pairs) / 1000,
        other_rate=records / statistics.median(pair.other for pair in pairs) / 1000,
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        rewritten=rewritten,
        day=day,
    )


def table(rows: Iterable[Row]) -> str:
    """Return rows as Markdown."""
    lines = [
        f"| {row.load} | {row.other} | {row.records:,} | {row.our_rate:.1f} | {row.other_rate:.1f} | {row.ratio:.2f} |"
        f" {row.low:.2f} | {row.high:.2f} | {row.rewritten} | {row.day} |"
        for row in rows
    ]
    return "\n".join([*_HEADER, *lines]) + "\n"


def read_table(text: str) -> list[Row]:
    """Return the rows of such a table, wherever in a text it stands; none if there is none."""
    lines = text.splitlines()
    if _HEADER[0] not in lines:
        return []
    rows = []
    for line in lines[lines.index(_HEADER[0]) + len(_HEADER) :]:
        if not line.startswith("|"):
            break
        load, other, records, *figures, rewritten, day = (cell.strip() for cell in line.strip("|").split("|"))
        rows.append(Row(load, other, int(records.replace(",", "")), *map(float, figures), int(rewritten), day))
    return rows


def merged(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Return the old rows with the new ones in their places, and behind them those that are of another comparison."""
    rows = {row.key: row for row in old}
    return [*(rows | {row.key: row for row in new}).values()]


def regressions(committed: Iterable[Row], measured: Iterable[Row]) -> list[str]:
    """Say which ratios are worse than the committed ones by more than is tolerated, and where a row was rewritten."""
    before = {row.key: row for row in committed}
    slower = [
        f"{row.load} against {row.other}: {row.ratio:.2f}, after {known.ratio:.2f} on {known.day}"
        for row in measured
        if (known := before.get(row.key)) and row.ratio < (1 - TOLERANCE) * known.ratio
    ]
    return slower + [
        f"{row.load}: {row.rewritten} rows rewritten that had not changed" for row in measured if row.rewritten
    ]
