"""`market-pulse plan`: what a market costs and what hosts it needs; needs no deployment."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import msgspec
import typer

from market_pulse import capacity, sizing
from market_pulse.capacity import Calls, Market
from market_pulse.contract import Interval
from market_pulse.errors import OrderError
from market_pulse.settings import Plan

_WHOLE_GB = 100


def plan(  # noqa: PLR0913 - what a market is
    *,
    symbols: Annotated[int, typer.Option(help="How many are collected.")],
    interval: Annotated[Interval, typer.Option(help="The bars' length.")],
    vendor_plan: Annotated[Plan, typer.Option("--plan", help="The vendor's plan.")] = Plan.PREMIUM,
    calls_per_minute: Annotated[int, typer.Option(help="What a paid plan grants.")] = Market.calls_per_minute,
    regular_hours: Annotated[bool, typer.Option("--regular-hours", help="Without those around the session.")] = False,
    traded_outside: Annotated[
        float, typer.Option(help="The share of the minutes outside the regular session in which a symbol trades.")
    ] = capacity.TRADED_OUTSIDE,
    seconds_per_call: Annotated[
        float, typer.Option(help="How long the vendor takes to answer.")
    ] = capacity.SECONDS_PER_CALL,
    partitions: Annotated[int, typer.Option(help="The topic's, at least.")] = Market.partitions,
    database_disk: Annotated[
        int | None, typer.Option(metavar="GB", help="The database's disk; from it follows how long bars are kept.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show calls and GB of a full trading day, memory, cores and disks of each tier, and the inventory that says so.

    Exit code 0: it can be done; 1: the vendor's plan does not reach so many symbols; 2: the question makes no sense.
    """
    try:
        market = Market(
            symbols=symbols,
            interval=interval,
            plan=vendor_plan,
            calls_per_minute=calls_per_minute,
            extended_hours=not regular_hours,
            traded_outside=traded_outside,
            seconds_per_call=seconds_per_call,
            partitions=partitions,
        )
        planned = sizing.plan(market, database_disk=None if database_disk is None else database_disk * sizing.GB)
    except OrderError as error:
        typer.echo(f"market-pulse plan: {error}", err=True)
        raise typer.Exit(2) from None
    calls = capacity.calls_of(market)
    if json:
        host = {"memory": planned.memory, "cores": planned.cores, "one_host": planned.one_host}
        document = {"market": asdict(market), "calls": asdict(calls), **asdict(planned), "host": host}
        typer.echo(msgspec.json.encode(document).decode())
    else:
        typer.echo("\n".join(lines(market, calls, planned)))
    raise typer.Exit(0 if calls.reached else 1)


def lines(market: Market, calls: Calls, planned: sizing.Plan) -> Iterator[str]:
    """Yield the plan in words."""
    day, added, disks = planned.day, planned.added, planned.disks
    yield from _about_calls(market, calls)
    yield ""
    yield f"a full trading day: {day.bars:,} bars, told in {day.records:,} records"
    yield f"  Kafka          {_size(added.kafka)}"
    yield f"  database       {_size(added.database)}, with indexes, every telling, the answers and the ledger"
    yield f"  archived WAL   {_size(added.wal)}"
    yield f"  raw answers    {_size(added.archive)}"
    keep = planned.inventory["market_pulse_keep_months"]
    kept = f"{keep} months" if keep else "a year, and nothing leaves"
    yield "disks"
    yield f"  Kafka          {_size(disks.kafka)} for {sizing.RETENTION_DAYS} days"
    yield f"  database       {_size(disks.database)} after {kept}"
    yield f"  backups        {_size(disks.backups)}, about, for {sizing.BACKUP_KEEP_DAYS} days"
    yield f"  raw answers    {_size(disks.archive)} for {sizing.ARCHIVE_DAYS} days"
    yield ""
    yield "tier            memory    cores"
    for name, tier in planned.tiers.items():
        yield f"  {name:<12}{tier.memory / sizing.GIB:>6.1f} GiB{tier.cores:>7}"
    yield f"  {'one host':<12}{planned.memory / sizing.GIB:>6.1f} GiB{planned.cores:>7}"
    if not planned.one_host:
        yield "  rather hosts of their own: postgresql with producer, kafka, and Spark's tiers; docs/capacity.md"
    yield ""
    yield "# for the inventory, beside market_pulse_symbols and the hosts"
    yield "all:"
    yield "  vars:"
    for variable, value in planned.inventory.items():
        yield f"    {variable}: {_yaml(value)}"


def _about_calls(market: Market, calls: Calls) -> Iterator[str]:
    yield f"{calls.wanted:,} calls a day for {market.symbols:,} symbols at {market.interval}"
    if calls.made == calls.wanted:
        return
    yield f"{calls.most:,} calls a day is all that the plan and one producer, which asks one at a time, can make:"
    if calls.minutes_apart is not None:
        yield f"  each symbol is asked every {calls.minutes_apart:.1f} minutes; no bar is lost, each is later"
        return
    yield "  THAT DOES NOT REACH: figures are of a source that does; take a larger plan, longer bars or fewer symbols,"
    yield "  or divide the symbols among several deployments with a key each"


def _size(number: int) -> str:
    size = number / sizing.GB
    return f"{size:>9,.0f} GB" if size >= _WHOLE_GB else f"{size:>9.3g} GB"


def _yaml(value: object) -> str:
    # A JSON value is a YAML value.
    return msgspec.json.encode(value).decode()
