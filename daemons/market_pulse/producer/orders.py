"""What an operator orders from history: checked against what the plan can get, and placed in the backlog once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from market_pulse import contract
from market_pulse.contract import Cause
from market_pulse.errors import OrderError
from market_pulse.producer import span
from market_pulse.producer.backlog import Backlog, Piece, State, Wanted
from market_pulse.producer.span import Part
from market_pulse.sessions import Sessions
from market_pulse.sources.base import Cadence, Offer


def parts(symbol: str, days: tuple[date, date], offer: Offer, sessions: Sessions, now: datetime) -> list[Part]:
    """Return the requests that the days of an exchange take, both included.

    Raises:
        OrderError: it cannot be had.
    """
    first, last = days
    if not contract.SYMBOL.fullmatch(symbol):
        raise OrderError(f"{symbol!r} is not a symbol; symbols look like {contract.SYMBOL.pattern}")
    if offer.cadence is Cadence.ONCE:
        raise OrderError("the source plays recorded answers and has no history to ask for")
    if first > last:
        raise OrderError(f"--from {first} is later than --to {last}")
    today = now.astimezone(sessions.zone).date()
    if last > today:
        raise OrderError(f"--to {last} lies in the future; on {sessions.name} it is {today}")
    if first < sessions.days[0].date:
        raise OrderError(
            f"--from {first} is too early; the calendar of {sessions.name} begins on {sessions.days[0].date}"
        )
    start = span.midnight(first, sessions.zone)
    reach = span.unreachable(start, offer, sessions, now)
    if reach:
        day = reach.astimezone(sessions.zone).date()
        raise OrderError(f"--from {first} cannot be reached; the longest answer of the key's plan begins on {day}")
    end = min(span.midnight(last + timedelta(days=1), sessions.zone), span.settled(offer, sessions, now))
    found = list(span.parts(symbol, offer.requests[0].interval, (start, end), sessions)) if start < end else []
    if not found:
        raise OrderError(f"{sessions.name} has not finished a session from {first} to {last}")
    return found


def place(backlog: Backlog, wanted: Sequence[Part], now: datetime, *, again: bool = False) -> None:
    """Put what was not fetched before into the backlog; an order that has ended tries again what was given up.

    With `again` everything is put there, and told whatever was told before.
    """
    held = standing(backlog, wanted)
    is_over = not any(piece and piece.state is State.OPEN for piece in held)
    for part, piece in zip(wanted, held, strict=True):
        if again and not (piece and piece.again and piece.state is State.OPEN):
            backlog.open(replace(Wanted.at_once(part, Cause.BACKFILL, now), again=True))
        elif piece is None:
            backlog.open(Wanted.at_once(part, Cause.BACKFILL, now))
        elif piece.state is State.GIVEN_UP and is_over:
            backlog.open_again(piece, now)


def standing(backlog: Backlog, wanted: Sequence[Part]) -> list[Piece | None]:
    """Return for each part the order's piece that holds it, None for one that was never ordered."""
    return [backlog.holding(part, Cause.BACKFILL) for part in wanted]
