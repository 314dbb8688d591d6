"""What the programs of the bench that compare have in common: what they are told, their services, and where it ends."""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from bench import page
from bench.method import LEAST_PAIRS
from bench.stack import stack
from bench.tables import K, regressions, table
from bench.way import Stack, Way

Compared = tuple[list[K], list[Way]]


def parser(
    description: str | None, names: Collection[str] = (), usual: Collection[str] = ()
) -> argparse.ArgumentParser:
    """Return a parser of what each of them is told; `names` are those that can be compared with."""
    made = argparse.ArgumentParser(description=description)
    if names:
        made.add_argument("--against", nargs="+", choices=names, default=usual, help="with whom to compare")
    made.add_argument("--pairs", type=int, default=LEAST_PAIRS)
    made.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    return made


@contextlib.contextmanager
def services() -> Iterator[tuple[Stack, Path]]:
    """Give the services and a folder for files, until the block or the program ends."""
    # So that they go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    with tempfile.TemporaryDirectory(prefix="mp-bench-") as place, stack(Path(place)) as made:
        yield made, Path(place)


def run(
    kind: type[K],
    section: str,
    compare: Callable[[Stack, Path], Iterator[Compared[K]]],
    *,
    is_written: bool,
    wrong: Callable[[list[K]], list[str]] = lambda _: [],
) -> int:
    """Measure, print row by row, and return as an exit code whether anything is worse than it may be.

    `compare` yields the rows and the ways of one comparison after the other; `wrong` says what is so in any case.
    """
    committed = page.rows(kind, section)
    measured: list[K] = []
    ways: list[Way] = []
    print(table(kind, []), end="", flush=True)
    with services() as (made, directory):
        for rows, taken in compare(made, directory):
            print("".join(table(kind, rows).splitlines(keepends=True)[-len(rows) :]), end="", flush=True)
            measured += rows
            ways += taken
    if is_written:
        page.write(section, measured, ways)
    worse = regressions(committed, measured) + wrong(measured)
    print("".join(f"worse: {sentence}\n" for sentence in worse), end="", file=sys.stderr)
    return bool(worse)
