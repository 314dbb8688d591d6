"""Prints a status report, as tables for a person or as one JSON object for a program."""

from collections.abc import Mapping
from typing import TextIO

import msgspec
from rich.console import Console
from rich.table import Table

from market_pulse.cli import backups, replication
from market_pulse.cli.facts import Completeness, Facts
from market_pulse.cli.finding import Level
from market_pulse.cli.host import Host
from market_pulse.cli.report import Report

_COLOURS = {Level.WELL: "green", Level.ATTENTION: "yellow", Level.DOWN: "red"}
# Of an output that is no terminal, such as a pipe, where the library would fold the tables at 80.
_COLUMNS = 160
_VERDICTS = {Level.WELL: "well", Level.ATTENTION: "needs attention", Level.DOWN: "down"}


def as_json(report: Report, out: TextIO) -> None:
    """Print the report as one JSON object: `level`, `findings`, `facts`."""
    document = {"level": int(report.level), "findings": report.findings, "facts": report.facts}
    out.write(msgspec.json.encode(document).decode() + "\n")


def as_tables(report: Report, out: TextIO) -> None:
    """Print the report as one screen."""
    console = console_of(out)
    colour = _COLOURS[report.level]
    market_time = f"(market time {report.facts.market_time:%Y-%m-%d %H:%M} UTC)"
    console.print(f"market-pulse: [bold {colour}]{_VERDICTS[report.level]}[/] {market_time}")
    for finding in report.findings:
        console.print(f"  [{_COLOURS[finding.level]}]{finding.sentence}[/]", soft_wrap=True)
    console.print(_units(report.facts))
    console.print(_series(report.facts))
    for line in _figures(report.facts):
        console.print(line, soft_wrap=True)


def _units(facts: Facts) -> Table:
    made = table("unit", "state", "restarts", "what it says")
    for unit in facts.units or ():
        state = "waits for its timer" if unit.is_job and unit.active == "inactive" else f"{unit.active} ({unit.sub})"
        made.add_row(unit.name, state, str(unit.restarts), unit.sentence)
    return made


def _series(facts: Facts) -> Table:
    made = table("symbol", "interval", "newest bar (UTC)", "age in market time", "session", "bars of it")
    sessions = {(session.symbol, session.interval): session for session in facts.completeness}
    newest = {(series.symbol, series.interval): series for series in facts.series}
    for key in sorted(sessions.keys() | newest.keys()):
        series, session = newest.get(key), sessions.get(key)
        made.add_row(
            *key,
            f"{series.bar_time:%Y-%m-%d %H:%M}" if series else "none",
            str(series.age).split(".")[0] if series else "",
            f"{session.trading_date}" if session else "",
            _account(session) if session else "not expected",
        )
    return made


def _account(session: Completeness) -> str:
    """Return how many of the bars that are due are here, and why the others are not."""
    parts = [
        f"{session.no_trade} not traded" if session.no_trade else "",
        f"{session.otherwise_explained} otherwise explained" if session.otherwise_explained else "",
        f"{session.missing} missing" if session.missing else "",
        f"{session.pending} to come" if session.pending else "",
    ]
    return ", ".join([f"{session.stored} of {session.due} due", *filter(None, parts)])


def _figures(facts: Facts) -> list[str]:
    lines = []
    if facts.bars is not None:
        lines.append(f"bars stored: {'about ' if facts.bars_are_estimated else ''}{facts.bars}")
    if facts.ledger:
        ledger = facts.ledger
        lines.append(
            f"ledger of 24 hours: {ledger.received} received = {ledger.stored} stored + {ledger.unchanged} unchanged "
            f"+ {ledger.superseded} superseded + {ledger.quarantined} quarantined"
        )
    if facts.partitions:
        in_time = f", at most {str(max(facts.lags.values())).split('.')[0]} of market time" if facts.lags else ""
        lines.append(f"lag: {sum(partition.lag for partition in facts.partitions)} records{in_time}")
    if facts.consumer is not None and facts.consumer.batch_ms is not None:
        lines.append(f"newest batch: {facts.consumer.batch_rows} records in {facts.consumer.batch_ms} ms")
    for job, run in sorted(facts.runs.items()):
        lines.append(f"{job}, {run.finished_at:%Y-%m-%d %H:%M:%S} UTC: {run.sentence}")
    if facts.backups is not None:
        lines.append(backups.line(facts.backups, facts.at))
    if facts.replication is not None:
        lines.append(replication.line(facts.replication))
    if facts.producer is not None:
        lines.append(_budget(facts.producer))
    if facts.host is not None:
        lines.append(_host(facts.host))
    return lines


def _budget(producer: Mapping[str, object]) -> str:
    left = producer.get("calls_left")
    calls = "no daily limit" if left is None else f"{left} calls left today"
    return f"budget: {calls}; outbox: {producer.get('outbox', '?')} bars not yet acknowledged"


def _host(host: Host) -> str:
    parts = [f"{system.bytes_share:.0%} of {system.path} used" for system in host.file_systems]
    parts.append(f"{host.memory_available_bytes / 1024**3:.1f} GiB of memory available")
    ends = min((certificate.ends_at for certificate in host.certificates), default=None)
    if ends is not None:
        parts.append(f"certificates until {ends:%Y-%m-%d}")
    return f"host: {', '.join(parts)}"


def console_of(out: TextIO, *, markup: bool = True) -> Console:
    """Return a console as wide as its terminal; without `markup`, brackets in what is printed mean nothing."""
    return Console(file=out, highlight=False, markup=markup, emoji=markup, width=None if out.isatty() else _COLUMNS)


def table(*columns: str) -> Table:
    """Return an empty table in the style of all others."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made
