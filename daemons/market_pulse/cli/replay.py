"""`market-pulse replay`: reads the topic again into a scratch schema, and compares it with what is stored."""

import contextlib
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import uuid4

import psycopg2
import typer
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name

from market_pulse.cli.comparison import compare
from market_pulse.cli.database import Account, connect
from market_pulse.cli.instants import instant
from market_pulse.cli.settings import CliSettings
from market_pulse.errors import MarketPulseError
from market_pulse.kafka_login import explained
from market_pulse.topic import Topic, look_up
from market_pulse_stream import scratch
from market_pulse_stream.replay import Span, reader, refill, spans
from market_pulse_stream.scratch import Read

# Of a statement that stores; the comparison may take what it takes.
_SECONDS = 60


def replay(
    *,
    since: Annotated[
        datetime, typer.Option("--from", parser=instant, metavar="INSTANT", help="Records appended then or later.")
    ],
    until: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="INSTANT", help="Only records appended before.")
    ] = None,
    into: Annotated[str | None, typer.Option(metavar="SCHEMA", help="Name the schema: replay_ and more.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the schema there.")] = False,
) -> None:
    """Read the topic again, store it into a schema of its own by the consumer's code, and compare the bars.

    Exit code 0: equal; 1: bars differ, and the first of them are named; 2: it cannot be done.
    """
    schema = into or f"replay_{uuid4().hex[:12]}"
    try:
        settings = CliSettings.load_host()
        topic = look_up(settings.kafka, settings.topic)
        with (
            contextlib.closing(connect(settings, Account.KEEPER, seconds=_SECONDS)) as connection,
            contextlib.closing(reader(settings.kafka)) as consumer,
            explained(settings.kafka),
        ):
            read = spans(connection, consumer, topic, since, until)
            scratch.create(connection, schema)
            try:
                _refill(connection, consumer, topic, read, schema)
                equal = compare(connection, schema, "replayed", Read.LOG)
            finally:
                # A session that broke cannot clean up; the schema's name was said.
                if not keep and not connection.closed:
                    scratch.drop(connection, schema)
    except (MarketPulseError, psycopg2.Error, KafkaError) as error:
        typer.echo(f"market-pulse replay: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(0 if equal else 1)


def _refill(connection: Connection, consumer: KafkaConsumer, topic: Topic, read: Sequence[Span], schema: str) -> None:
    offsets = sum(span.until - span.first for span in read)
    typer.echo(f"reading {offsets} records of {topic.name} into {schema}")
    with typer.progressbar(length=offsets, file=sys.stderr) as bar:
        for account in refill(connection, consumer, topic, read, schema):
            bar.update(account.until_offset - account.from_offset)
