"""The REST API, described at /api/openapi.json: every answer is read from what is stored, and nothing is written."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import AfterValidator, AwareDatetime

from market_pulse import contract
from market_pulse.contract import Interval
from market_pulse.web.bars import Quote, Series, ShownBar, WallTime
from market_pulse.web.health import Health, Market
from market_pulse.web.sessions import AwayError
from market_pulse.web.view import MOST_COMPARED, MOST_QUOTES, View

MOST_BARS = 5000

Answer = TypeVar("Answer")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("an instant of the years 2 to 9998") from None


# The contract matches the whole of a text, and JSON schema any part of it.
_SYMBOL = f"^{contract.SYMBOL.pattern}$"
Symbol = Annotated[str, Path(pattern=_SYMBOL, examples=["IBM"])]
SymbolName = Annotated[str, Query(pattern=_SYMBOL)]
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Limit = Annotated[int, Query(ge=1, le=MOST_BARS)]
_AWAY: dict[int | str, dict[str, Any]] = {503: {"description": "The database does not answer; try again."}}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What this page shows: an exchange by its ISO 10383 code, its time zone, and the interval that is collected."""

    exchange: str
    exchange_name: str
    zone: str
    interval: Interval
    intervals: list[Interval]
    market: Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Bars of one series, oldest first."""

    symbol: str
    interval: Interval
    bars: list[ShownBar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An index at a bar's time: 100 is the close of the first bar that all symbols have."""

    bar_time: datetime
    local_time: WallTime
    index: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonLine:
    """One symbol of a comparison; `base` is the close that counts as 100."""

    symbol: str
    base: str
    points: list[Point]


def router(view: View) -> APIRouter:
    """Return the routes over a view."""
    routes = APIRouter(prefix="/api", responses=_AWAY)

    @routes.get("/about")
    async def about() -> About:
        """Return what is shown here, and what the market's clock says."""
        sessions = view.sessions
        return About(
            exchange=sessions.exchange,
            exchange_name=sessions.name,
            zone=sessions.zone.key,
            interval=view.interval,
            intervals=list(Interval),
            market=view.market(),
        )

    @routes.get("/quotes")
    async def quotes(
        symbol: Annotated[list[SymbolName] | None, Query(max_length=MOST_QUOTES)] = None,
        after_symbol: SymbolName | None = None,
        after_interval: Interval | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_QUOTES)] = 200,
    ) -> list[Quote]:
        """Return the newest bar of each series, by symbol and interval; page on by the last one that was returned."""
        after = Series(after_symbol or "", after_interval or "")
        return await _or_away(view.quotes(after, symbol, limit))

    @routes.get("/bars/{symbol}")
    async def bars(
        symbol: Symbol, interval: Interval | None = None, before: Instant | None = None, limit: Limit = 500
    ) -> Bars:
        """Return the newest bars of a series that begin before an instant, oldest first."""
        chosen = interval or view.interval
        found = await _or_away(view.bars(Series(symbol, chosen), before, limit))
        return Bars(symbol=symbol, interval=chosen, bars=found)

    @routes.get("/comparison")
    async def comparison(
        symbol: Annotated[list[SymbolName], Query(min_length=1, max_length=MOST_COMPARED)],
        interval: Interval | None = None,
        limit: Limit = 500,
    ) -> list[ComparisonLine]:
        """Return symbols beside each other, each as an index that is 100 at the first bar that all have."""
        lines = await _or_away(view.comparison(symbol, interval or view.interval, limit))
        return [
            ComparisonLine(
                symbol=line.symbol,
                base=line.base,
                points=[Point(bar_time=bar.bar_time, local_time=bar.local_time, index=at) for bar, at in line.points],
            )
            for line in lines
        ]

    @routes.get("/feed", responses={})
    async def feed() -> Health:
        """Return how the feed is, in a state, a sentence and the figures behind it."""
        return await view.health()

    return routes


async def _or_away(answer: Awaitable[Answer]) -> Answer:
    try:
        return await answer
    except AwayError as error:
        raise HTTPException(503, str(error)) from error
