"""`market-pulse backfill`: orders history from the producer, which alone spends the budget, and watches it come."""

import time
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from market_pulse.cli.producer_host import ProducerHost
from market_pulse.clock import MarketClock
from market_pulse.errors import MarketPulseError
from market_pulse.producer import FIRST_DAY, open_source, orders
from market_pulse.producer.backlog import Backlog, Piece, State
from market_pulse.producer.span import Part
from market_pulse.sessions import Sessions

_LOOK_SECONDS = 0.5
_GIVEN_UP = 1
_REFUSED = 2


def backfill(
    symbol: Annotated[str, typer.Argument(help="The symbol, watched or not.", show_default=False)],
    from_: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, the exchange's.")],
    to: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")],
    *,
    again: Annotated[
        bool,
        typer.Option("--again", help="Tell what was fetched before once more, as after a loss of Kafka's records."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until everything has come.")] = True,
) -> None:
    """Fetch the bars of past days, in the interval that the producer polls.

    The producer does it with the calls that its live polls do not need. Ctrl-C leaves it at work; the same command
    again goes on watching, and nothing is paid for twice. What --again asks for comes from the archive where that has
    the answer.

    Exit code 0: all is there, or on its way with --no-wait; 1: something cannot be had; 2: the order is refused.
    """
    try:
        _run(ProducerHost(), symbol.upper(), (from_.date(), to.date()), again=again, wait=wait)
    except MarketPulseError as error:
        typer.echo(f"market-pulse backfill: {error}", err=True)
        raise typer.Exit(_REFUSED) from None


def _run(host: ProducerHost, symbol: str, days: tuple[date, date], *, again: bool, wait: bool) -> None:
    settings = host.settings()
    clock = MarketClock.from_settings(settings)
    sessions = Sessions.load(settings.exchange, FIRST_DAY)
    offer = open_source(settings, clock).offer(settings.symbols, settings.interval)
    wanted = orders.parts(symbol, days, offer, sessions, clock.now())
    if symbol not in settings.symbols:
        typer.echo(f"{symbol} is not watched: its history is fetched, and it is not polled", err=True)
    with host.memory() as memory:
        backlog = Backlog(memory)
        if not again and _settled(orders.standing(backlog, wanted)) == len(wanted):
            typer.echo(f"{symbol}: these days were ordered before; --again tells their bars once more", err=True)
        orders.place(backlog, wanted, clock.now(), again=again)
        pieces = _watch(host, backlog, wanted) if wait else orders.standing(backlog, wanted)
    given_up = [piece for piece in pieces if piece and piece.state is State.GIVEN_UP]
    for piece in given_up:
        typer.echo(f"{piece.part}: {piece.reason}", err=True)
    if not wait:
        typer.echo(f"{symbol}: {_settled(pieces)} of {len(pieces)} requests answered, the producer goes on")
    elif given_up:
        raise typer.Exit(_GIVEN_UP)


def _watch(host: ProducerHost, backlog: Backlog, wanted: Sequence[Part]) -> list[Piece | None]:
    """Show how the order goes until it is over."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}"))
    console = Console()
    with Progress(*columns, console=console) as shown:
        what = "month" if wanted[0].month else "answer"
        task = shown.add_task(f"{wanted[0].symbol}, by {what}", total=len(wanted), words="")
        while True:
            pieces = orders.standing(backlog, wanted)
            shown.update(task, completed=_settled(pieces), words=_words(host, pieces))
            if _settled(pieces) == len(wanted):
                break
            time.sleep(_LOOK_SECONDS)
    if not console.is_terminal:
        console.print(_words(host, pieces))
    return pieces


def _settled(pieces: Sequence[Piece | None]) -> int:
    return sum(piece is not None and piece.state is not State.OPEN for piece in pieces)


def _words(host: ProducerHost, pieces: Sequence[Piece | None]) -> str:
    told = sum({piece.id: piece.told for piece in pieces if piece}.values())
    facts = host.progress()
    if facts is None:
        return f"{told:,} bars; goes on when the producer runs"
    budget = facts.get("budget")
    if not isinstance(budget, dict) or budget.get("left") is None:
        return f"{told:,} bars"
    goes_on = "" if budget.get("spare") else f", none to spare, goes on after {budget['resets_at']}"
    return f"{told:,} bars; {budget['left']} calls left today{goes_on}"
