"""How fast bars get from Kafka into the database, against the limits of that database and against other ways.

Run by ``make bench``; one comparison alone: ``python tests/bench/sink.py --against raw-upsert-2 --loads fresh``.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import page
from bench.fill import Feeder, feeder
from bench.method import LEAST_PAIRS, Pair, Row, is_ours_first, regressions, summary, table
from bench.registry import NAMES, contestant, fed, usual_loads
from bench.rounds import Contestant, Round
from bench.stack import route, stack
from bench.way import Stack, Way
from bench.ways.ours import ours
from bench.workload import Kind, Load


class Blocks:
    """The comparisons of two contestants that run already; rounds are counted over all of them."""

    def __init__(self, us: Contestant, other: Contestant, records: int) -> None:
        self._us, self._other, self._records = us, other, records
        self._rounds = 0

    def compare(self, kind: Kind, pairs: int) -> Row:
        """Return what came out of so many pairs after a warm-up."""
        if kind is Kind.AGAIN:
            self._pair(Kind.FRESH, 0)
        self._pair(kind, 0)
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
        if is_ours_first(number):
            return self._us.round(load), self._other.round(load)
        other = self._other.round(load)
        return self._us.round(load), other


def against(
    name: str, services: Stack, filler: Feeder, directory: Path, wish: argparse.Namespace
) -> tuple[list[Row], list[Way]]:
    """Compare with one other, and return the rows and the two ways."""
    with (
        route(services, directory, "ours") as mine,
        route(services, directory, name) as theirs,
        fed(ours, services, mine, filler) as us,
        contestant(name, services, theirs, filler) as other,
    ):
        blocks = Blocks(us, other, wish.bars)
        rows = []
        for kind in wish.loads or usual_loads(name):
            if kind in other.way.loads:
                rows.append(blocks.compare(kind, wish.pairs))
                print(table(rows[-1:]).splitlines()[-1], flush=True)
        return rows, [us.way, other.way]


def main(wish: argparse.Namespace) -> int:
    """Measure, print, and return as an exit code whether anything is worse than it may be."""
    committed = page.rows()
    measured: list[Row] = []
    ways: list[Way] = []
    with tempfile.TemporaryDirectory(prefix="mp-bench-") as place:
        directory = Path(place)
        with stack(directory) as services, feeder(services.broker) as filler:
            print(table([]), end="", flush=True)
            for name in wish.against:
                rows, taken = against(name, services, filler, directory, wish)
                measured += rows
                ways += taken
    if wish.write:
        page.write(measured, ways)
    worse = regressions(committed, measured)
    print("".join(f"worse: {sentence}\n" for sentence in worse), end="", file=sys.stderr)
    return bool(worse)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command is told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", nargs="+", choices=NAMES, default=NAMES, help="with whom to compare")
    parser.add_argument("--bars", type=int, default=100_000, help="how many records each round carries")
    parser.add_argument("--loads", nargs="+", type=Kind, choices=[*Kind], help="default: those of a usual run")
    parser.add_argument("--pairs", type=int, default=LEAST_PAIRS)
    parser.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    return parser.parse_args(words)


if __name__ == "__main__":
    # So that its services and their files go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    sys.exit(main(arguments()))
