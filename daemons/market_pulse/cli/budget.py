"""`market-pulse budget`: what the producer may ask of the vendor, and what it keeps its calls for."""

import json as json_module
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from market_pulse.cli.producer_host import ProducerHost
from market_pulse.errors import MarketPulseError, OrderError


def budget(*, json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Explain the plan for the vendor's calls: limits, what is used, what is kept for what.

    Exit code 0: here it is; 2: there is no producer that runs on this host.
    """
    try:
        facts = ProducerHost().progress()
        if facts is None or "budget" not in facts:
            raise OrderError("no producer runs on this host, so nobody plans calls")
    except MarketPulseError as error:
        typer.echo(f"market-pulse budget: {error}", err=True)
        raise typer.Exit(2) from None
    plan: Any = facts["budget"]
    if json:
        typer.echo(json_module.dumps({"market_time": facts["market_time"], **plan}))
    else:
        typer.echo("\n".join(lines(plan, datetime.fromisoformat(str(facts["market_time"])))))


def lines(plan: dict[str, Any], now: datetime) -> Iterator[str]:
    """Yield the plan in words; `now` is the market's time of the facts."""
    resets_at = datetime.fromisoformat(plan["resets_at"])
    until = f"{resets_at:%Y-%m-%d %H:%M} UTC, in {_span(resets_at - now)}"
    if plan["per_day"] is not None:
        gap = f", {plan['gap_seconds']:g} s apart" if plan["gap_seconds"] else ""
        yield f"the plan allows {_calls(plan['per_day'])} a day{gap}; the vendor's next day begins at {until}"
    elif plan["per_minute"] is not None:
        yield f"the plan allows {_calls(plan['per_minute'])} a minute and has no daily limit"
    else:
        yield "the source may be asked as often as it is of use"
    yield f"used today: {plan['used_today']}"
    symbols = f"{plan['symbols']} symbol" + ("" if plan["symbols"] == 1 else "s")
    if plan["left"] is None:
        yield f"needed for the live polls of {symbols} until {until}: {plan['need']}"
    else:
        yield f"left today: {plan['left']}, of which"
        yield f"  {plan['need']} for the live polls of {symbols}{_shortage(plan)}"
        yield f"  {plan['reserve']} kept to ask again what fails"
        yield f"  {plan['spare']} to spare, for repairs, then for backfill"
    if not plan["backlog"]:
        yield "backlog: nothing waits"
    for cause, waiting in plan["backlog"].items():
        yield f"backlog: {_calls(waiting['open'])} for {cause}, the oldest since {waiting['oldest']}"
    if plan["refused"]:
        yield f"refused at the moment: {', '.join(plan['refused'])}"
    if plan["held_until"]:
        yield f"the vendor as a whole is left alone until {plan['held_until']}"


def _shortage(plan: dict[str, Any]) -> str:
    missing = plan["need"] - plan["left"]
    return f"; {missing} more than there are, so the longest unanswered come first" if missing > 0 else ""


def _calls(number: int) -> str:
    return f"{number} call" if number == 1 else f"{number} calls"


def _span(span: timedelta) -> str:
    hours, minutes = divmod(max(0, int(span.total_seconds())) // 60, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
