"""How fast the schema bi answers what reports ask, on a real PostgreSQL with a deployment's settings.

Run by ``make bench``. Bars of 1,000 symbols in the order in which they come, and newest bars of 11,000 symbols; each
statement as bi_reader: the fastest and the median of some runs, with everything in memory that fits there, and for how
long the server's process computed in the median one, which on a busy machine tells more.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg2.extensions

from bench import page
from bench.stack import database_settings
from integration.services.database import Database, cluster
from support.market_table import fill

_SYMBOLS, _LATEST = 1_000, 11_000
_BARS_OF_A_DAY = 390
_RUNS = 7
# A session of 2026 inside of what is filled.
_DAY = "2026-03-06"
_LISTED = f"""
INSERT INTO market.series
SELECT 'L' || number, '1min', '2026-01-01Z', NULL, 'XNYS', false, '10 seconds'
FROM generate_series(1, {_LATEST - _SYMBOLS}) AS number;
INSERT INTO market.latest_bar
SELECT 'L' || number, '1min', '2026-03-09 19:59Z', 10, 12, 9, 11, 5, true, 'simulator', 'r', '2026-03-09 20:00:10Z'
FROM generate_series(1, {_LATEST - _SYMBOLS}) AS number;
INSERT INTO market.completeness
SELECT symbol, '1min', '2026-03-09', 390, 390, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM market.series WHERE symbol LIKE 'L%';
ANALYZE market.series, market.latest_bar, market.completeness
"""
# Milliseconds that are allowed at 50 million bars.
_QUESTIONS = {
    "a day of a symbol": (10, f"SELECT * FROM bi.bar WHERE symbol = 'S00500' AND trading_date = '{_DAY}'"),
    f"newest bar of {_LATEST:,} symbols": (50, "SELECT * FROM bi.latest_bar"),
    f"a day of {_SYMBOLS:,} symbols, summed": (
        500,
        f"SELECT symbol, high, low, volume, bars FROM bi.day_bar WHERE trading_date = '{_DAY}'",
    ),
    "the same with first and last prices": (None, f"SELECT * FROM bi.day_bar WHERE trading_date = '{_DAY}'"),
    "all days of a symbol": (None, "SELECT * FROM bi.day_bar WHERE symbol = 'S00500'"),
    "change marker": (5, "SELECT * FROM bi.change_marker"),
    "freshness": (None, "SELECT * FROM bi.freshness"),
}


def measure(session: psycopg2.extensions.connection, statement: str) -> tuple[list[float], list[float]]:
    """Return the milliseconds until the client had all rows of each run, and those in which the server computed.

    The first run, which fills the memory, is left out. What parallel workers compute is not counted; nor what the
    client makes of the rows, which for Python's objects takes as long as the answer.
    """
    taken, computed = [], []
    with session.cursor() as cursor:
        for _ in range(_RUNS + 1):
            began, busy = time.perf_counter(), _busy(session)
            cursor.execute(statement)
            taken.append(1000 * (time.perf_counter() - began))
            computed.append(_busy(session) - busy)
    return taken[1:], computed[1:]


def _busy(session: psycopg2.extensions.connection) -> float:
    """Return for how many milliseconds the session's server process has had a processor."""
    return int(Path(f"/proc/{session.info.backend_pid}/schedstat").read_text().split()[0]) / 1e6


def answered(bars: int) -> Iterator[str]:
    """Fill a database, and yield what was asked of it and how long it took, line by line, in Markdown."""
    days = max(3, round(bars / _SYMBOLS / _BARS_OF_A_DAY))
    with cluster() as made, made.served(**database_settings()) as server, server.migrated_database() as database:
        fill(database, symbols=_SYMBOLS, days=days)
        database.query(_LISTED)
        yield f"{_count(database):,} bars of {_SYMBOLS:,} symbols on {days} days, {datetime.now(UTC).date()}:\n\n"
        yield "| question | allowed, of 50 million bars | fastest | median | computed |\n"
        yield "| --- | ---: | ---: | ---: | ---: |\n"
        with contextlib.closing(database.connect("bi_reader")) as session:
            for question, (budget, statement) in _QUESTIONS.items():
                taken, computed = measure(session, statement)
                allowed = f"{budget} ms" if budget else ""
                times = [min(taken), statistics.median(taken), statistics.median(computed)]
                yield f"| {question} | {allowed} | {' | '.join(f'{each:.1f} ms' for each in times)} |\n"


def main(wish: argparse.Namespace) -> None:
    """Print a table, and write it down if that is wished."""
    lines = []
    for line in answered(wish.bars):
        print(line, end="", flush=True)
        lines.append(line)
    if wish.write:
        page.put("queries", "".join(lines))


def _count(database: Database) -> int:
    ((count,),) = database.query("SELECT count(*) FROM market.bar")
    return int(count)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bars", type=int, default=2_000_000, help="about how many bars to store")
    arguments.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    main(arguments.parse_args())
