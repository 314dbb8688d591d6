"""How long a batch takes: of a thousand bars to half a million, of 1 to 12 partitions, by one task at a time or two.

Each load is one batch: all of it is there at once, and as much as there is makes a batch.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import count, product, starmap
from pathlib import Path
from typing import NamedTuple

from bench import page
from bench.comparing import services
from bench.cost import Batch, Cost, deviations, fit, meaning, table
from bench.drawing import draw
from bench.fill import Feeder, feeder
from bench.method import WARM_UP_PAIRS
from bench.pictures import curves
from bench.registry import fed
from bench.stack import route
from bench.way import Stack
from bench.ways.ours import ours
from bench.workload import PARTITIONS, Kind, Load
from support.repository import group_vars

_CORES = (1, 2)
_OF_TOPIC = (1, 3, PARTITIONS, 12)
_SIZES = (1_000, 5_000, 20_000, 100_000, 500_000)
# Java compiles what it repeats.
_WARM_UP_BARS = 100_000
# Takes so long that what disturbs it for a moment does not count.
_LARGE = 100_000


class Shape(NamedTuple):
    """A consumer with so many tasks at a time, and a topic of so many partitions."""

    cores: int
    partitions: int


def batches(shape: Shape, made: Stack, filler: Feeder, directory: Path, wish: argparse.Namespace) -> Iterator[Batch]:
    """Measure size by size."""
    cores, partitions = shape
    opened = partial(ours, cores=cores, trigger_milliseconds=1, max_offsets_per_trigger=2 * max(wish.sizes))
    with route(made, directory, "ours", partitions) as mine, fed(opened, made, mine, filler) as us:
        numbers = count()
        for _ in range(WARM_UP_PAIRS):
            us.round(Load(Kind.FRESH, _WARM_UP_BARS, next(numbers), partitions))
        for size in wish.sizes:
            rounds = wish.rounds if size < _LARGE else 1
            loads = [Load(Kind.FRESH, size, next(numbers), partitions) for _ in range(rounds)]
            yield Batch(cores, partitions, size, statistics.median(us.round(load).seconds for load in loads))


def told(measured: list[Batch], cost: Cost) -> str:
    """Return the table, how well the cost fits, and what it means, in Markdown."""
    off = max(map(abs, deviations(cost, measured)))
    deployed = group_vars("pipeline")["market_pulse_topic_partitions"]
    sentences = [*meaning(cost, deployed), f"No batch is further from this than {off:.0%}."]
    day = datetime.now(UTC).date().isoformat()
    return f"As of {day}:\n\n{table(measured)}\n" + "".join(f"- {sentence}\n" for sentence in sentences)


def main(wish: argparse.Namespace) -> None:
    """Measure all combinations, and print or write what came out."""
    measured = []
    with services() as (made, directory), feeder(made.broker) as filler:
        for shape in starmap(Shape, product(_CORES, _OF_TOPIC)):
            for batch in batches(shape, made, filler, directory, wish):
                print(batch, file=sys.stderr, flush=True)
                measured.append(batch)
    cost = fit(measured)
    print(text := told(measured, cost))
    if wish.write:
        page.put("scaling", text)
        draw("scaling", curves(measured, cost))


if __name__ == "__main__":
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--sizes", nargs="+", type=int, default=_SIZES, help="bars of a batch")
    made.add_argument("--rounds", type=int, default=3, help="of a small batch, of which the median counts")
    made.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    main(made.parse_args())
