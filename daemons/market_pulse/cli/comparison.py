"""What a command says of bars that were stored a second time, into a schema of their own."""

import typer
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name

from market_pulse_stream import scratch
from market_pulse_stream.scratch import Read


def compare(connection: Connection, schema: str, how: str, read: Read) -> bool:
    """Print what is found, and return whether every bar that can be compared is the same.

    `how` says how the schema was filled, `read` from what.
    """
    found, left_out = scratch.compare(connection, schema, read)
    stored, again = scratch.row_hash(connection), scratch.row_hash(connection, schema)
    typer.echo(f"market.bar {stored}\n{schema}.bar {again}")
    for why, count in left_out.items():
        typer.echo(f"not compared: {count} bars {why.value}")
    if not found:
        typer.echo(f"equal, byte for byte: every {'other ' if left_out else ''}bar")
    for difference in found:
        typer.echo(f"different: {difference.symbol} {difference.interval} {difference.bar_time:%Y-%m-%dT%H:%M:%SZ}")
        typer.echo(f"  {'market.bar':10} {difference.stored or 'has no such bar'}")
        typer.echo(f"  {how:10} {difference.again or 'has no such bar'}")
    return not found
