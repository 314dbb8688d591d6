"""Whom the bench compares with, by the names that its command takes."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial

from bench.fill import Feeder
from bench.rounds import Contestant, FedContestant, RawContestant
from bench.way import OpenWay, Route, Stack
from bench.ways.debezium import debezium
from bench.ways.flink import flink
from bench.ways.hand_written import hand_written
from bench.ways.quix import quix
from bench.ways.raw import COPY, HISTORY, TABLES, UPSERT, Limit, raw
from bench.ways.spark_jdbc import spark_jdbc
from bench.workload import Kind

WAYS: Mapping[str, OpenWay] = {
    "debezium": debezium,
    "flink": flink,
    "hand-written": hand_written,
    "quix": quix,
    "spark-jdbc": partial(spark_jdbc, rewrite=False),
    "spark-jdbc-rewrite": partial(spark_jdbc, rewrite=True),
}
LIMITS: Mapping[str, tuple[Limit, int]] = {
    f"raw-{name}-{connections}": (limit, connections)
    for name, limit in {"copy": COPY, "upsert": UPSERT, "history": HISTORY, "tables": TABLES}.items()
    for connections in (1, 2)
}
NAMES = (*LIMITS, *WAYS)
# With whom every load is compared though none is asked for; with the others it is the one of fresh bars.
_THOROUGH = ("raw-tables-2", "hand-written")


def usual_loads(name: str) -> list[Kind]:
    """Return which loads are compared with another if none is asked for, so that a run takes half an hour."""
    return [*Kind] if name in _THOROUGH else [Kind.FRESH]


@contextlib.contextmanager
def contestant(name: str, services: Stack, route: Route, feeder: Feeder) -> Iterator[Contestant]:
    """Start what is compared with, and end it with the block."""
    if name in LIMITS:
        with raw(services, route, *LIMITS[name]) as (way, prepare):
            yield RawContestant(way, route, prepare)
    else:
        with fed(WAYS[name], services, route, feeder) as started:
            yield started


@contextlib.contextmanager
def fed(opened: OpenWay, services: Stack, route: Route, feeder: Feeder) -> Iterator[Contestant]:
    """Start a way that reads a topic, and end it with the block."""
    with opened(services, route) as way:
        yield FedContestant(way, route, feeder)
