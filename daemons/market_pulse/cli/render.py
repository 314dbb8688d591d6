"""Prints a status report, as tables for a person or as one JSON object for a program."""

from collections.abc import Mapping
from typing import TextIO

import msgspec
from rich.console import Console
from rich.table import Table

from market_pulse.cli.report import Facts, Level, Report

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
    console = Console(file=out, highlight=False, width=None if out.isatty() else _COLUMNS)
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
    table = _table("unit", "state", "restarts", "what it says")
    for unit in facts.units:
        table.add_row(unit.name, f"{unit.active} ({unit.sub})", str(unit.restarts), unit.sentence)
    return table


def _series(facts: Facts) -> Table:
    table = _table("symbol", "interval", "newest bar (UTC)", "age in market time")
    for series in facts.series:
        table.add_row(
            series.symbol, series.interval, f"{series.bar_time:%Y-%m-%d %H:%M}", str(series.age).split(".")[0]
        )
    return table


def _figures(facts: Facts) -> list[str]:
    lines = []
    if facts.bars is not None:
        lines.append(f"bars stored: {facts.bars}")
    if facts.ledger:
        ledger = facts.ledger
        lines.append(
            f"ledger: {ledger.received} received = {ledger.stored} stored + {ledger.unchanged} unchanged "
            f"+ {ledger.superseded} superseded + {ledger.quarantined} quarantined"
        )
    if facts.partitions:
        lines.append(f"lag: {sum(partition.lag for partition in facts.partitions)} records")
    if facts.producer is not None:
        lines.append(_budget(facts.producer))
    return lines


def _budget(producer: Mapping[str, object]) -> str:
    left = producer.get("calls_left")
    calls = "no daily limit" if left is None else f"{left} calls left today"
    return f"budget: {calls}; outbox: {producer.get('outbox', '?')} bars not yet acknowledged"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
