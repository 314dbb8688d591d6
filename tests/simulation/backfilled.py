"""What the simulations of backfills and repairs share: a market of hours, the order, and what became of it."""

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from market_pulse.contract import Interval
from market_pulse.producer import orders
from market_pulse.producer.backlog import State
from market_pulse.settings import Plan
from market_pulse.simulator.wire import Reply
from support.intake import at
from support.virtual_market import Call, VirtualMarket

HOUR = timedelta(hours=1)
ORDERED = (date(2025, 10, 20), date(2025, 12, 31))
MONTHS = ["2025-10", "2025-11", "2025-12"]

Answering = Callable[[dict[str, str], datetime], Reply]


def hourly_market(directory: Path, start: str, plan: Plan = Plan.PREMIUM) -> VirtualMarket:
    """Return a market of IBM and MSFT in bars of an hour, at a time on the exchange's wall."""
    return VirtualMarket(directory, at(start), ("IBM", "MSFT"), plan, Interval.SIXTY_MINUTES, extended=False)


def order(market: VirtualMarket, days: tuple[date, date] = ORDERED, *, again: bool = False) -> list[State | None]:
    """Order a backfill of IBM as the control command does, and return how its pieces stand."""
    poller, now = market.poller, market.clock.at
    wanted = orders.parts("IBM", days, poller.offer, market.sessions, now)
    orders.place(poller.repairs.backlog, wanted, now, again=again)
    return [piece and piece.state for piece in orders.standing(poller.repairs.backlog, wanted)]


def months_of(calls: Sequence[Call]) -> list[str]:
    """Return the months that were asked for, in order."""
    return [call.query["month"] for call in calls if "month" in call.query]


def times(market: VirtualMarket, symbol: str = "IBM") -> set[datetime]:
    """Return when the bars begin that were told of a symbol."""
    return {bar.bar_time for bar in market.bars if bar.symbol == symbol}


def hours(market: VirtualMarket, first: date, last: date) -> set[datetime]:
    """Return the starts of all bars of an hour in the sessions of these days."""
    sessions = [session for session in market.sessions.days if first <= session.date <= last]
    count = {session: -((session.open - session.close) // HOUR) for session in sessions}
    return {session.open + n * HOUR for session in sessions for n in range(count[session])}


def without(market: VirtualMarket, start: datetime, end: datetime) -> Answering:
    """Return a fault that keeps a range of bars back."""
    return lambda query, now: _only(market.wire.api.reply(query, now), lambda begins: not start <= begins < end)


def live_only_since(held: Answering, since: datetime) -> Answering:
    """Return a fault whose live answers have no older bars; those of months stay as they are held."""
    return lambda query, now: (
        held(query, now) if "month" in query else _only(held(query, now), lambda begins: begins >= since)
    )


def _only(reply: Reply, keeps: Callable[[datetime], bool]) -> Reply:
    body = json.loads(reply.body)
    for key in body:
        if key.startswith("Time Series"):
            body[key] = {label: bar for label, bar in body[key].items() if keeps(at(label))}
    return reply._replace(body=json.dumps(body))
