"""The control command `market-pulse`: what this host and its pipeline do, and the proof of what they did."""

import sys
from typing import Annotated

import msgspec
import psycopg2
import typer

from market_pulse.cli import (
    alerts,
    backfill,
    budget,
    collect,
    exported,
    lineage,
    metrics,
    moments,
    plan,
    quarantine,
    rebuild,
    render,
    replay,
    verdicts,
)
from market_pulse.cli.explanation import lineage_of
from market_pulse.cli.record import recorded
from market_pulse.cli.report import assess
from market_pulse.cli.settings import RAW_ANSWERS, CliSettings
from market_pulse.cli.verification import Span, outcomes
from market_pulse.clock import MarketClock
from market_pulse.contract import Interval
from market_pulse.errors import MarketPulseError, SettingsError
from market_pulse.producer.archive import Archive
from market_pulse.sessions import Sessions

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(alerts.app, name="alerts")
# What these do is recorded, and so are `quarantine replay` and `acknowledge`; all others only look.
for changing in (replay.replay, rebuild.rebuild, backfill.backfill):
    app.command()(recorded(changing))
app.command()(budget.budget)
app.command()(exported.exported)
app.command()(plan.plan)


@app.callback()
def market_pulse() -> None:
    """See what market-pulse does on this host."""


@app.command()
def status(
    *, json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False
) -> None:
    """Show units, freshness per symbol, rows, lag, quarantine, budget, and what this host has left.

    Exit code 0: all is well; 1: something needs attention; 2: a part is down, cannot be asked, or has hardly any disk.
    """
    settings = _settings("status")
    report = assess(collect.facts(settings))
    render.as_json(report, sys.stdout) if json else render.as_tables(report, sys.stdout)
    raise typer.Exit(report.level)


@app.command(name="metrics")
def print_metrics() -> None:
    """Print what `status` shows as figures for Prometheus, and exit with 0; docs/metrics.md says what each means."""
    typer.echo(metrics.text(assess(collect.facts(_settings("metrics")))).decode(), nl=False)


@app.command()
def verify(
    day: Annotated[
        str | None, typer.Argument(help="A day of the exchange's, such as 2026-01-05; all without it.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Prove that every bar that the vendor told is stored, superseded, or in quarantine, and that the accounts agree.

    Exit code 0: all of it holds; 1: something does not; 2: something cannot be asked.
    """
    settings = _settings("verify")
    span = Span()
    try:
        if day:
            span = Span.of(moments.day(day), settings.exchange, MarketClock.from_settings(settings).now())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    found = []
    for outcome in outcomes(settings, span, _raw_answers()):
        found.append(outcome)
        if not json:
            typer.echo("\n".join(verdicts.lines(outcome)))
    level = verdicts.level(found)
    if json:
        _print({"day": day, "since": span.since, "until": span.until, "level": level, "checks": found})
    raise typer.Exit(level)


@app.command()
def explain(
    symbol: str,
    instant: Annotated[
        str,
        typer.Argument(
            help="2026-01-05T10:31 in the exchange's time, 2026-01-05T15:31Z in UTC, or 2026-01-05 for a day's bar."
        ),
    ],
    *,
    interval: Annotated[Interval | None, typer.Option(help="The bar's length; without it, what is collected.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Show where a bar comes from: each telling of it, its request, the archived answer, its offset and its batch.

    Exit code 0: the bar, or why there is none, is shown; 2: it cannot be asked for.
    """
    settings = _settings("explain")
    try:
        sessions = Sessions.load(settings.exchange, moments.day(instant[:10]))
        moment = moments.read(instant, sessions.zone, interval, Interval(settings.interval))
        found = lineage_of(settings, sessions, symbol, moment, _raw_answers())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except (MarketPulseError, psycopg2.Error) as error:
        typer.echo(f"market-pulse explain: {error}", err=True)
        raise typer.Exit(2) from None
    _print(found) if json else typer.echo("\n".join(lineage.lines(found)))


def _settings(command: str) -> CliSettings:
    try:
        return CliSettings.load_host()
    except SettingsError as error:
        typer.echo(f"market-pulse {command}: {error}", err=True)
        raise typer.Exit(2) from None


def _raw_answers() -> Archive | None:
    """Return the archive if it is on this host; how long it keeps is the producer's business, not a reader's."""
    return Archive(RAW_ANSWERS, keep_days=0) if RAW_ANSWERS.is_dir() else None


def _print(document: object) -> None:
    typer.echo(msgspec.json.encode(document).decode())
