"""GraphQL: the same answers as REST, and the bars of a series as a subscription that can be resumed."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError

from market_pulse import contract
from market_pulse.contract import Interval
from market_pulse.web.api import MOST_BARS
from market_pulse.web.bars import Series
from market_pulse.web.feed import home
from market_pulse.web.hub import CutOffError, Hub, Reader
from market_pulse.web.sessions import AwayError
from market_pulse.web.view import MOST_QUOTES, View

Resolver = Callable[..., Any]

# GraphQL's own Int ends at 2^31, which a day of a broad fund's volume and an offset of a busy topic exceed.
Count = NewType("Count", int)
COUNT = strawberry.scalar(name="Count", description="A whole number, as JSON has it.", parse_value=int)
_INTERVALS = frozenset(Interval)


@strawberry.type
class Bar:
    """One bar: its start in UTC and on the exchange's clock, prices as plain decimal text, volume in shares."""

    bar_time: datetime
    local_time: datetime
    open: str
    high: str
    low: str
    close: str
    volume: Count
    is_final: bool
    fetched_at: datetime


@strawberry.type
class Quote:
    """The newest bar of a series, and the last close of the trading day before."""

    symbol: str
    interval: str
    bar: Bar
    previous_close: str | None


@strawberry.type
class Completeness:
    """What became of the bars that the sessions of one day should have."""

    interval: str
    trading_date: date
    expected: int
    stored: int
    pending: int
    missing: int


@strawberry.type
class Health:
    """How the feed is."""

    state: str
    sentence: str
    newest_bar: datetime | None
    stored_at: datetime | None
    series: int
    completeness: list[Completeness]
    findings: list[str]


@strawberry.type
class LiveBar:
    """A bar that has come; whoever gives `stream` and `sequence` of his last one is told what he missed."""

    stream: str
    sequence: Count
    bar: Bar


def _checked(symbol: str, interval: str) -> None:
    if not contract.SYMBOL.fullmatch(symbol):
        raise GraphQLError(f"a symbol looks like {contract.SYMBOL.pattern}")
    if interval not in _INTERVALS:
        raise GraphQLError(f"an interval is one of {', '.join(Interval)}")


def _limited(number: int, most: int, what: str) -> None:
    if not 0 < number <= most:
        raise GraphQLError(f"{what} must be from 1 to {most}")


def _before(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise GraphQLError("before must be an instant with an offset, such as 2026-01-05T14:30:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise GraphQLError("before must be an instant of the years 2 to 9998") from None


def query(view: View) -> type:
    """Return the type of what can be asked of a view."""

    @strawberry.type
    class Query:
        @_field(description="The newest bar of each series, or of these symbols' series.")
        async def quotes(self, symbols: list[str] | None = None, limit: int = 200) -> list[Quote]:
            _limited(limit, MOST_QUOTES, "limit")
            for symbol in symbols or ():
                _checked(symbol, Interval.DAILY)
            found: list[Quote] = await _answered(view.quotes(Series("", ""), symbols, limit))
            return found

        @_field(description="The newest bars of a series that begin before an instant, oldest first.")
        async def bars(
            self, symbol: str, interval: str | None = None, before: datetime | None = None, limit: int = 500
        ) -> list[Bar]:
            chosen = interval or view.interval
            _checked(symbol, chosen)
            _limited(limit, MOST_BARS, "limit")
            found: list[Bar] = await _answered(view.bars(Series(symbol, chosen), _before(before), limit))
            return found

        @_field(description="How the feed is.")
        async def health(self) -> Health:
            found: Health = _as(await view.health())
            return found

    return Query


def subscription(view: View, hub: Hub) -> type:
    """Return the type of what a hub tells, and a view answers, as it comes."""

    @strawberry.type
    class Subscription:
        @_stream(description="The bars of a series as they come, after those that were missed.")
        async def bars(
            self, symbol: str, interval: str | None = None, stream: str | None = None, after: Count | None = None
        ) -> AsyncIterator[LiveBar]:
            chosen = interval or view.interval
            _checked(symbol, chosen)
            ring, series = hub.ring, Series(symbol, chosen)
            if ring is None:
                raise GraphQLError("nothing is live yet: Kafka or the database does not answer")
            missed = (
                ring.after(series, home(symbol, ring.partitions), after)
                if after is not None and stream == ring.stream
                else []
            )
            if missed is None or (after is not None and stream != ring.stream):
                raise GraphQLError("what came since is in the database alone: query bars, and subscribe anew")
            reader = Reader()
            try:
                hub.enter(reader)
                hub.subscribe(reader, series)
                for entry in missed:
                    yield LiveBar(stream=ring.stream, sequence=Count(entry.sequence), bar=_as(entry.bar))
                while True:
                    entry = await reader.next()
                    yield LiveBar(stream=ring.stream, sequence=Count(entry.sequence), bar=_as(entry.bar))
            except CutOffError as error:
                raise GraphQLError(str(error)) from error
            finally:
                hub.leave(reader)

    return Subscription


async def _answered(answer: Any) -> Any:
    try:
        return await answer
    except AwayError as error:
        raise GraphQLError(str(error)) from error


def _as(found: Any) -> Any:
    """Pass on what has the fields of a type here, without being one."""
    return found


def _field(description: str) -> Callable[[Resolver], Any]:
    """Return strawberry's decorator of a field, which is untyped."""
    return lambda resolver: strawberry.field(resolver, description=description)


def _stream(description: str) -> Callable[[Resolver], Any]:
    """Return strawberry's decorator of a subscription, which is untyped."""
    return lambda resolver: strawberry.subscription(resolver, description=description)
