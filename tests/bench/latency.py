"""How long a bar takes from its sending until a report would see it, against other ways.

Run by ``make bench``; one comparison alone: ``python tests/bench/latency.py --against flink --feeds "100 a second"``.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.comparing import Compared, parser, run
from bench.fill import Sender, sender
from bench.method import Delay, delay, in_turn
from bench.registry import WAYS
from bench.rounds import WrongTableError
from bench.stack import route
from bench.way import Route, Stack, Way
from bench.ways.ours import ours
from bench.workload import FIRST, Feed

# Without news, it is asked whether it still runs, and given up.
_ASK_SECONDS, _SILENT_SECONDS = 5, 60
# Between two looks at least this, and at least as long as one takes: who looks all the time slows down what it sees.
_PAUSE_SECONDS = 0.005
_OURS = """
SELECT symbol, ts_utc AT TIME ZONE 'UTC' FROM bi.latest_bar WHERE ts_utc >= %(since)s AT TIME ZONE 'UTC'
"""
_OTHERS = """
SELECT told.symbol, newest.bar_time
FROM unnest(%(symbols)s) AS told (symbol)
CROSS JOIN LATERAL (
    SELECT bar.bar_time FROM {table} AS bar
    WHERE bar.symbol = told.symbol AND bar.interval = '1min' ORDER BY bar.bar_time DESC LIMIT 1
) AS newest
"""


class Pace(NamedTuple):
    """How bars come: so many symbols are told in turn, so many bars a second, or all of a minute at once where 0."""

    symbols: int
    rate: int


FEEDS = {
    "100 a second": Pace(100, 100),
    "1,000 a second": Pace(100, 1_000),
    "11,000 at once": Pace(11_000, 0),
}
# Of those that come at once, one minute each.
_AT_ONCE = 3


@dataclass
class Fed:
    """A way, and the next minute that its topic is told."""

    way: Way
    route: Route
    minute: int = 0

    def delays(self, send: Sender, pace: Pace, seconds: float) -> list[float]:
        """Send bars for so long, and return how many milliseconds each took to be visible."""
        parts = [round(seconds * pace.rate / pace.symbols)] if pace.rate else [1] * _AT_ONCE
        return [late for minutes in parts for late in self._part(send, pace, minutes)]

    def _part(self, send: Sender, pace: Pace, minutes: int) -> list[float]:
        feed = Feed(self.route.topic, pace.symbols, pace.rate, self.minute, minutes)
        self.minute += minutes
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(visible_at, self.way, self.route, feed)
            sent = send.send(feed)
            seen = looking.result()
        return [1000 * (saw - went) for saw, went in zip(seen, sent, strict=True)]


def visible_at(way: Way, place: Route, feed: Feed) -> list[float]:
    """Return when each of the feed's bars became visible, by the clock of `Sender.send`.

    Raises:
        WrongTableError: nothing new becomes visible any more, and bars are missing.
    """
    since = FIRST + timedelta(minutes=feed.first)
    newest = dict.fromkeys(feed.names, since - timedelta(minutes=1))
    seen: list[float] = [0.0] * (feed.symbols * feed.count)
    left = len(seen)
    statement = _OURS if way.table.startswith("market.") else _OTHERS.format(table=way.table)
    with contextlib.closing(place.database.connect()) as session, session.cursor() as cursor:
        session.autocommit = True
        news = time.monotonic()
        while left:
            began = time.monotonic()
            cursor.execute(statement, {"since": since, "symbols": feed.names})
            rows = cursor.fetchall()
            now = time.monotonic()
            for symbol, at in rows:
                for number in feed.numbers(symbol, newest[symbol], at):
                    seen[number], news, left = now, now, left - 1
                newest[symbol] = max(newest[symbol], at)
            late = now - news > _SILENT_SECONDS and f"has not stored {left} bars of {feed}"
            if now - news > _ASK_SECONDS and (wrong := way.failure() or late):
                raise WrongTableError(f"{way.name} {wrong}")
            time.sleep(max(_PAUSE_SECONDS, now - began))
    return seen


def against(
    name: str, services: Stack, send: Sender, directory: Path, wish: argparse.Namespace
) -> Iterator[Compared[Delay]]:
    """Compare with one other, feed by feed."""
    with (
        route(services, directory, "ours") as mine,
        route(services, directory, name) as theirs,
        ours(services, mine) as our_way,
        WAYS[name](services, theirs) as their_way,
    ):
        us, other = Fed(our_way, mine), Fed(their_way, theirs)
        for feed in wish.feeds:
            us.delays(send, FEEDS[feed], wish.warm_up)
            other.delays(send, FEEDS[feed], wish.warm_up)
            mine_of = partial(us.delays, send, FEEDS[feed], wish.seconds)
            theirs_of = partial(other.delays, send, FEEDS[feed], wish.seconds)
            pairs = [in_turn(number, mine_of, theirs_of) for number in range(wish.pairs)]
            yield [delay((feed, their_way.name), pairs, datetime.now(UTC).date().isoformat())], [our_way, their_way]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command is told."""
    made = parser(__doc__, WAYS, ["hand-written", "flink"])
    made.add_argument("--feeds", nargs="+", choices=FEEDS, default=list(FEEDS), help="how the bars come")
    made.add_argument("--seconds", type=float, default=10, help="for how long each of a pair is fed")
    made.add_argument("--warm-up", type=float, default=30, help="for how many seconds each is fed before")
    return made.parse_args(words)


def main(wish: argparse.Namespace) -> int:
    """Compare with each that is wished for."""

    def compare(services: Stack, directory: Path) -> Iterator[Compared[Delay]]:
        with sender(services.broker) as send:
            for name in wish.against:
                yield from against(name, services, send, directory, wish)

    return run(Delay, "latency", compare, is_written=wish.write)


if __name__ == "__main__":
    sys.exit(main(arguments()))
