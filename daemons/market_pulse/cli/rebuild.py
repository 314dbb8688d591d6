"""`market-pulse rebuild`: makes the bars again from the archived answers, and compares them with those stored."""

import contextlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import psycopg2
import typer
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name

from market_pulse.cli.comparison import compare
from market_pulse.cli.database import Account, connect
from market_pulse.cli.settings import RAW_ANSWERS, CliSettings
from market_pulse.errors import MarketPulseError, StateError
from market_pulse.producer import FIRST_DAY
from market_pulse.producer.archive import Archive
from market_pulse.producer.outbox import Message
from market_pulse.producer.rebuild import rebuild as tell
from market_pulse.sessions import Sessions
from market_pulse.topic import Topic
from market_pulse_stream import scratch
from market_pulse_stream.decode import Record
from market_pulse_stream.replay import Span, add_positions
from market_pulse_stream.scratch import Read
from market_pulse_stream.sink import Task, store

# Of a statement that stores; the comparison may take what it takes.
_SECONDS = 60
_BATCH = 20_000


def rebuild(
    *,
    archive: Annotated[Path, typer.Option(metavar="FOLDER", help="The producer's archive, or a copy.")] = RAW_ANSWERS,
    into: Annotated[str | None, typer.Option(metavar="SCHEMA", help="Name the schema: rebuild_ and more.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the schema there.")] = False,
) -> None:
    """Read the archive from its beginning, store what it tells into a schema of its own, and compare the bars.

    Compared are the bars whose answer is in the archive; how many are not, and why, is said.

    Exit code 0: equal; 1: bars differ, and the first of them are named; 2: it cannot be done.
    """
    schema = into or f"rebuild_{uuid4().hex[:12]}"
    try:
        settings = CliSettings.load_host()
        if not archive.is_dir():
            raise StateError(f"{archive} does not exist: it is on the producer's host, or --archive names a copy of it")
        # Nothing is deleted here, however long it is kept.
        entries = Archive(archive, keep_days=0).entries()
        told = tell(entries, Sessions.load(settings.exchange, FIRST_DAY))
        with contextlib.closing(connect(settings, Account.KEEPER, seconds=_SECONDS)) as connection:
            scratch.create(connection, schema)
            try:
                _refill(connection, told, schema)
                equal = compare(connection, schema, "rebuilt", Read.ARCHIVE)
            finally:
                # A session that broke cannot clean up; the schema's name was said.
                if not keep and not connection.closed:
                    scratch.drop(connection, schema)
    except (MarketPulseError, psycopg2.Error) as error:
        typer.echo(f"market-pulse rebuild: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(0 if equal else 1)


def _refill(connection: Connection, told: Iterable[Message], schema: str) -> None:
    """Store messages as the consumer would, as one partition of a topic that never was."""
    typer.echo(f"reading the archive into {schema}")
    topic = Topic("archive", uuid4(), {0: 0}, {0: 0})
    add_positions(connection, topic, [Span(0, 0, 0, 0)], schema)
    messages, run_id, offset = iter(told), uuid4(), 0
    while batch := list(islice(messages, _BATCH)):
        records = [
            Record(number, message.symbol.encode(), message.value) for number, message in enumerate(batch, offset)
        ]
        store(connection, Task(run_id, offset, topic.id, topic.name, 0), records, schema)
        offset += len(batch)
    typer.echo(f"{offset} records told again")
