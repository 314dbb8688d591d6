"""How fast bars get from Kafka into the database, against the limits of that database and against other ways.

Run by ``make bench``; one comparison alone: ``python tests/bench/sink.py --against raw-upsert-2 --loads fresh``.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import page
from bench.comparing import Compared, parser, run
from bench.drawing import draw
from bench.fill import Feeder, feeder
from bench.method import WARM_UP_PAIRS, Pair, Rate, in_turn, rewrites, summary
from bench.pictures import ratios
from bench.registry import NAMES, contestant, fed, usual_loads
from bench.rounds import Contestant, Round
from bench.stack import route
from bench.way import Stack
from bench.ways.ours import ours
from bench.workload import Kind, Load


class Blocks:
    """The comparisons of two contestants that run already; rounds are counted over all of them."""

    def __init__(self, us: Contestant, other: Contestant, records: int) -> None:
        self._us, self._other, self._records = us, other, records
        self._rounds = 0

    def compare(self, kind: Kind, pairs: int) -> Rate:
        """Return what came out of so many pairs after a warm-up."""
        if kind is Kind.AGAIN:
            self._pair(Kind.FRESH, 0)
        for number in range(max(1, WARM_UP_PAIRS - self._rounds)):
            self._pair(kind, number)
        measured = [self._pair(kind, number) for number in range(pairs)]
        return summary(
            (kind, self._other.way.name),
            self._records,
            [Pair(mine.seconds, other.seconds) for mine, other in measured],
            rewritten=max(mine.rewritten for mine, _ in measured),
            day=datetime.now(UTC).date().isoformat(),
        )

    def _pair(self, kind: Kind, number: int) -> tuple[Round, Round]:
        load = Load(kind, self._records, self._rounds)
        self._rounds += 1
        return in_turn(number, partial(self._us.round, load), partial(self._other.round, load))


def against(
    name: str, services: Stack, filler: Feeder, directory: Path, wish: argparse.Namespace
) -> Iterator[Compared[Rate]]:
    """Compare with one other, load by load."""
    with (
        route(services, directory, "ours") as mine,
        route(services, directory, name) as theirs,
        fed(ours, services, mine, filler) as us,
        contestant(name, services, theirs, filler) as other,
    ):
        blocks = Blocks(us, other, wish.bars)
        for kind in wish.loads or usual_loads(name):
            if kind in other.way.loads:
                yield [blocks.compare(kind, wish.pairs)], [us.way, other.way]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command is told."""
    made = parser(__doc__, NAMES, NAMES)
    made.add_argument("--bars", type=int, default=100_000, help="how many records each round carries")
    made.add_argument("--loads", nargs="+", type=Kind, choices=[*Kind], help="default: those of a usual run")
    return made.parse_args(words)


def main(wish: argparse.Namespace) -> int:
    """Compare with each that is wished for."""

    def compare(services: Stack, directory: Path) -> Iterator[Compared[Rate]]:
        with feeder(services.broker) as filler:
            for name in wish.against:
                yield from against(name, services, filler, directory, wish)

    code = run(Rate, "sink", compare, is_written=wish.write, wrong=rewrites)
    if wish.write:
        draw("sink", ratios(page.rows(Rate, "sink")))
    return code


if __name__ == "__main__":
    sys.exit(main(arguments()))
