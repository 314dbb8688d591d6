"""What a batch costs, as it grows, and what follows from it; pure.

The simplest model that holds: each batch costs something, each partition that it is read from, and each bar; the cores
share the bars alone.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# All that are listed in the USA, and one bar of each a minute.
_SYMBOLS = 11_000
# A day's trades, and how many times the mean the busiest seconds may bring; both assumed.
_TRADES, _PEAK = 100_000_000, 20
_SESSION_SECONDS = 6.5 * 3_600


@dataclass(frozen=True)
class Batch:
    """A batch as it was measured: tasks at a time, partitions, bars, and the seconds until the last bar was visible."""

    cores: int
    partitions: int
    bars: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """Seconds: of a batch, of each of its partitions, and of each of its bars, by the tasks that run at a time."""

    batch: float
    partition: float
    bar: Mapping[int, float]

    def seconds(self, cores: int, partitions: int, bars: float) -> float:
        """Return how long a batch takes."""
        return self.batch + self.partition * partitions + self.bar[cores] * bars

    def steady(self, cores: int, partitions: int, rate: float) -> float:
        """Return how long each batch takes if so many bars come a second, and each takes what came during the last.

        It is infinite where more come than are stored.
        """
        load = self.bar[cores] * rate
        return self.seconds(cores, partitions, 0) / (1 - load) if load < 1 else math.inf


def fit(measured: Sequence[Batch]) -> Cost:
    """Return the cost that fits best, each batch's error counted as a share of its time."""
    cores = sorted({batch.cores for batch in measured})
    rows = [[1, each.partitions, *(each.bars * (each.cores == number) for number in cores)] for each in measured]
    seconds = np.array([each.seconds for each in measured])
    (batch, partition, *bar), *_ = np.linalg.lstsq(np.array(rows) / seconds[:, None], np.ones(len(rows)), rcond=None)
    return Cost(float(batch), float(partition), dict(zip(cores, map(float, bar), strict=True)))


def deviations(cost: Cost, measured: Iterable[Batch]) -> list[float]:
    """Return by what share each batch took longer than the cost says."""
    return [each.seconds / cost.seconds(each.cores, each.partitions, each.bars) - 1 for each in measured]


def table(measured: Sequence[Batch]) -> str:
    """Return the thousand bars a second, by tasks at a time and partitions, and by the bars of a batch; in Markdown."""
    sizes = sorted({batch.bars for batch in measured})
    rates = {(each.cores, each.partitions, each.bars): each.bars / each.seconds / 1_000 for each in measured}
    lines = [
        ["tasks at a time", "partitions", *(f"{size:,} bars, 1,000/s" for size in sizes)],
        ["---:"] * (2 + len(sizes)),
        *(
            [str(cores), str(partitions), *(f"{rates[cores, partitions, size]:.1f}" for size in sizes)]
            for cores, partitions in sorted({(batch.cores, batch.partitions) for batch in measured})
        ),
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def meaning(cost: Cost, partitions: int) -> Iterator[str]:
    """Yield what the cost says of the loads that one might bring, in sentences."""
    cores = max(cost.bar)
    fixed, bar = cost.seconds(cores, partitions, 0), cost.bar[cores]
    yield (
        f"A batch of {partitions} partitions takes {fixed * 1_000:.0f} ms however small it is, "
        f"{cost.partition * 1_000:.0f} of them for each partition, and {bar * 1e6:.0f} µs for each bar with {cores} "
        f"tasks at a time, {cost.bar[min(cost.bar)] * 1e6:.0f} with one. From {fixed / bar:,.0f} bars on, half of its "
        f"time is the bars' own."
    )
    even, once = _SYMBOLS / 60, cost.seconds(cores, partitions, _SYMBOLS)
    yield (
        f"All {_SYMBOLS:,} symbols of the USA, a bar of each a minute: told at once they take {once:.1f} s of the "
        f"minute; told one after the other, {even:,.0f} a second, a batch takes "
        f"{cost.steady(cores, partitions, even):.2f} s."
    )
    mean = _TRADES / _SESSION_SECONDS
    yield (
        f"Every trade of the USA, taken as {_TRADES / 1e6:.0f} million a day: at their mean of {mean:,.0f} a second a "
        f"batch takes {cost.steady(cores, partitions, mean):.2f} s; a second with {_PEAK} times the mean brings what "
        f"is stored in {_PEAK * mean * bar:.1f}, and waits in Kafka. To keep them all as rows is another matter."
    )
