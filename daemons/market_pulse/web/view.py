"""What the pages ask: the same answers for REST and GraphQL, put together from the database, the feed and the clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from market_pulse.contract import Interval
from market_pulse.errors import CalendarError
from market_pulse.sessions import Sessions
from market_pulse.web import database, health
from market_pulse.web.bars import Quote, Series, ShownBar, lags
from market_pulse.web.feed import Feed
from market_pulse.web.health import Facts, Health, Market, State
from market_pulse.web.hub import Hub
from market_pulse.web.index import Line, compared
from market_pulse.web.sessions import AwayError, Database

MOST_QUOTES = 1000
MOST_COMPARED = 6


@dataclass(frozen=True)
class View:
    """One exchange's market."""

    questions: Database
    hub: Hub
    feed: Feed
    sessions: Sessions
    interval: Interval
    now: Callable[[], datetime]

    def market(self) -> Market:
        """Return what the exchange's clock and calendar say; beyond its end a calendar says that it is closed."""
        now = self.now()
        try:
            session = next(self.sessions.ahead(now))
        except CalendarError:
            return Market(now=now, is_open=False, opens_at=None)
        return Market(now=now, is_open=session.open <= now < session.close, opens_at=session.open)

    async def bars(self, series: Series, before: datetime | None, limit: int) -> list[ShownBar]:
        """Return the newest stored bars of a series that begin before an instant, oldest first.

        Raises:
            AwayError: the database does not answer.
        """
        return await self.questions.ask(database.history, self.sessions.zone, series, before, limit)

    async def quotes(self, after: Series, wanted: Sequence[str] | None, limit: int) -> list[Quote]:
        """Return the newest stored bar of each series, or of the wanted symbols', after one.

        Raises:
            AwayError: the database does not answer.
        """
        exchange = database.Exchange(self.sessions.exchange, self.sessions.zone)
        return await self.questions.ask(database.quotes, exchange, after, wanted, limit)

    async def comparison(self, symbols: Sequence[str], interval: str, bars: int) -> list[Line]:
        """Return symbols beside each other, each as an index.

        Raises:
            AwayError: the database does not answer.
        """
        return compared(
            {symbol: await self.bars(Series(symbol, interval), None, bars) for symbol in dict.fromkeys(symbols)}
        )

    async def health(self) -> Health:
        """Return how the feed is; a part that does not answer is told, and never raised."""
        market = self.market()
        topic_id = self.feed.topic.id if self.feed.topic else None
        troubles = [f"Nothing live: {self.feed.trouble}"] if self.feed.trouble else []
        try:
            account = await self.questions.ask(database.account, topic_id)
        except AwayError as error:
            troubles.append(str(error))
            account = database.Account({}, None, None, 0, [], [])
        lag = lags(self.feed.ends, account.positions) if account.positions else []
        facts = Facts(
            market, account.newest, self.interval.length, lag, account.completeness, account.findings, troubles
        )
        state, sentence = health.verdict(facts)
        return Health(
            state=State(state),
            sentence=sentence,
            market=market,
            newest_bar=account.newest,
            age_seconds=None if account.newest is None else (market.now - account.newest).total_seconds(),
            series=account.series,
            stored_at=account.stored_at,
            lag=lag,
            completeness=account.completeness,
            findings=account.findings,
            readers=self.hub.readers,
            received=self.hub.received,
        )
