"""The control command `market-pulse`: one screen about this host and its pipeline."""

import sys
from typing import Annotated

import typer

from market_pulse.cli import collect, render
from market_pulse.cli.report import assess
from market_pulse.cli.settings import CliSettings
from market_pulse.errors import SettingsError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


@app.callback()
def market_pulse() -> None:
    """See what market-pulse does on this host."""


@app.command()
def status(
    *, json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False
) -> None:
    """Show units, freshness per symbol, rows, lag, quarantine and budget.

    Exit code 0: all is well; 1: something needs attention; 2: a part is down or cannot be asked.
    """
    try:
        settings = CliSettings.load_host()
    except SettingsError as error:
        typer.echo(f"market-pulse status: {error}", err=True)
        raise typer.Exit(2) from None
    report = assess(collect.facts(settings))
    render.as_json(report, sys.stdout) if json else render.as_tables(report, sys.stdout)
    raise typer.Exit(report.level)
