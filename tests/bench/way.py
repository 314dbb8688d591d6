"""What is measured: a way, which carries records from a topic into a table for as long as it runs.

A module of `bench.ways` has a function such as ::

    @contextlib.contextmanager
    def debezium(stack: Stack, route: Route) -> Iterator[Way]:
        ...                       # start the programs, and wait until they read the topic, which is empty
        yield Way("Debezium JDBC sink 3.4", {"batch.size": "5000"}, table="plain.bar")
        ...                       # end them

and a line in `bench.registry`. Everything else is the bench's: it fills the topic in one transaction of Kafka's, and
its commit is the starting signal; it looks until the last bar of each partition is visible in the table, counts the
rows, empties the tables, and begins the next round with the same programs, so that they stay warm. Therefore

* a way reads committed records alone (``isolation.level=read_committed``), from the beginning of the topic on, whose
  offsets go on from round to round and have gaps where transactions end;
* it stores the records of a partition in order, or at least none of them later than the partition's last one;
* the same bar may come again, and later with other values: the row by the key then has to be the newest one;
* nothing of it remembers what is in the table, for that is emptied between rounds, by TRUNCATE;
* what it does not say about its table is that of `market.bar`: the columns, their types, and the key. `plain_table`
  makes one without partitions, checks and everything else around it, for those who cannot write into ours;
* it logs in to Kafka as the principal `CONSUMER` by SCRAM over TLS, and may there do anything with any topic and group,
  and to PostgreSQL as the account ``writer`` over TLS.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from bench.workload import Kind
from integration.services.broker import Broker
from integration.services.database import Database, Server
from integration.services.processes import tail


@dataclass(frozen=True)
class Stack:
    """The services that all ways share: a broker, and a server with the durability and memory of a deployment."""

    broker: Broker
    server: Server


@dataclass(frozen=True)
class Route:
    """What one way has for itself: a topic, empty at first, and a migrated database.

    `directory` is for its logs, configurations, credentials.
    """

    topic: str
    database: Database
    directory: Path


@dataclass(frozen=True)
class Way:
    """One that runs: its name in the tables, and what was set for speed, which the documentation shows.

    `table` is where its bars become visible. `loads` are those that it can carry: one that only appends does not take
    the bars again, and one that ends by a record that is no bar does not take the mixed ones. `failure` returns what
    to say of one that has ended though it should run, and nothing while it does.
    """

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    table: str = "market.bar"
    loads: Collection[Kind] = tuple(Kind)
    failure: Callable[[], str] = str


def failure_of(process: Popen[bytes], log: Path) -> Callable[[], str]:
    """Return the `failure` of a way that is one process."""
    return lambda: "" if process.poll() is None else f"ended with {process.returncode}:\n{tail(log)}"


OpenWay = Callable[[Stack, Route], AbstractContextManager[Way]]

_PLAIN = """
CREATE SCHEMA IF NOT EXISTS plain;
CREATE TABLE plain.bar (LIKE market.bar, PRIMARY KEY (symbol, interval, bar_time));
GRANT USAGE ON SCHEMA plain TO market_pulse_writer;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON plain.bar TO market_pulse_writer
"""


def plain_table(database: Database) -> str:
    """Make a table with the columns and the key of `market.bar` and nothing else, and return its name."""
    database.query(_PLAIN)
    return "plain.bar"
