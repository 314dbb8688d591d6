"""`market-pulse exported`: reads a month that has left the database back from its files."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from market_pulse.cli.settings import EXPORTED


def exported(
    month: Annotated[str, typer.Argument(help="Such as 2025-11.")],
    *,
    folder: Annotated[Path, typer.Option(help="The upkeep's files, or a copy.")] = EXPORTED,
) -> None:
    """Print the bars of a month that has left the database, as CSV, each as it was told last before its month left.

    Exit code 0: here they are; 2: there is no file of that month.
    """
    # It is a large library, which the other commands have no need of.
    from market_pulse.upkeep import parquet  # noqa: PLC0415

    name = f"bar_{month.replace('-', '_')}"
    parts = [folder / f"{name}.parquet", *folder.glob(f"{name}.*.parquet")]
    found = sorted(part for part in parts if part.exists())
    if not found:
        typer.echo(f"market-pulse exported: {folder} has no file of {month}", err=True)
        raise typer.Exit(2)
    parquet.write_newest(found, sys.stdout.buffer)
