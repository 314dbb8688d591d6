"""One round of one contestant: what happens between the starting signal and the last bar in the table."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from bench.fill import Feeder
from bench.way import Route, Way
from bench.workload import Kind, Load, is_ended
from integration.services.database import Database

_PAUSE_SECONDS = 0.02
# Some read a log for it.
_ASK_SECONDS = 1
_MOST_SECONDS = 1_800
# What triggers would note of a TRUNCATE is no part of any way.
_EMPTY = """
SET session_replication_role = replica;
TRUNCATE market.bar, market.bar_revision, market.latest_bar, market.quarantine, market.batch{more}
"""
_REWRITTEN = (
    "SELECT count(*) FROM {table} WHERE interval = '1min' AND symbol NOT LIKE 'END%%' AND xmin::text::bigint >= %s"
)
_NOW = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"


class WrongTableError(Exception):
    """What is in the table is not what was sent, or never gets there."""


@dataclass(frozen=True)
class Round:
    """How long a round took, and how many rows it rewrote that were in the table before."""

    seconds: float
    rewritten: int


class Contestant(Protocol):
    """What takes part in a comparison."""

    way: Way

    def round(self, load: Load) -> Round:
        """Carry a load into the table, which is emptied before unless the load tells its bars again."""
        ...


@dataclass
class FedContestant:
    """A way that reads a topic."""

    way: Way
    route: Route
    feeder: Feeder
    known: int = 0

    def round(self, load: Load) -> Round:
        """See `Contestant.round`."""
        self.feeder.fill(self.route.topic, load)
        return _measured(self, load, self.feeder.commit)


@dataclass
class RawContestant:
    """A limit: `prepare` makes a load ready in memory, and returns what carries it into the table."""

    way: Way
    route: Route
    prepare: Callable[[Load], Callable[[], None]]
    known: int = 0

    def round(self, load: Load) -> Round:
        """See `Contestant.round`."""
        return _measured(self, load, self.prepare(load))


def _measured(contestant: FedContestant | RawContestant, load: Load, go: Callable[[], None]) -> Round:
    database, table = contestant.route.database, contestant.way.table
    if load.kind is not Kind.AGAIN:
        database.query(_EMPTY.format(more="" if table.startswith("market.") else f", {table}"))
        contestant.known = 0
    # Each round begins with an empty log, so that none pays for the one before.
    database.query("CHECKPOINT")
    ((since,),) = database.query(_NOW)
    with _ended(database, table, load) as ended:
        began = asked = time.perf_counter()
        go()
        while not ended():
            if (now := time.perf_counter()) - asked > _ASK_SECONDS:
                asked = now
                late = f"has not stored {load} within {_MOST_SECONDS} seconds"
                if wrong := contestant.way.failure() or (now - began > _MOST_SECONDS and late):
                    raise WrongTableError(f"{contestant.way.name} {wrong}")
            time.sleep(_PAUSE_SECONDS)
        seconds = time.perf_counter() - began
    contestant.known += load.partitions if load.kind is Kind.AGAIN else load.new_rows
    _check(database, contestant.way, load, contestant.known)
    ((rewritten,),) = database.query(_REWRITTEN.format(table=table), since)
    return Round(seconds, rewritten if load.kind is Kind.AGAIN else 0)


@contextlib.contextmanager
def _ended(database: Database, table: str, load: Load) -> Iterator[Callable[[], bool]]:
    with contextlib.closing(database.connect()) as session, session.cursor() as cursor:
        session.autocommit = True

        def ended() -> bool:
            cursor.execute(is_ended(table, load.partitions), (load.ends_at,))
            return cursor.fetchone() == (load.partitions,)

        yield ended


def _check(database: Database, way: Way, load: Load, expected: int) -> None:
    told_again = f"SELECT count(*), count(*) FILTER (WHERE fetched_at - bar_time > '100 seconds') FROM {way.table}"
    ((rows, revised),) = database.query(told_again)
    if (rows, revised) != (expected, load.revised_rows):
        raise WrongTableError(
            f"{way.name} stored {rows} bars, {revised} of them revised, of {expected} and {load.revised_rows}: {load}"
        )
