"""Makes the bars of the contract from a source's answer."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from market_pulse import contract
from market_pulse.contract import Bar, Interval
from market_pulse.producer.schedule import AFTER_CLOSE
from market_pulse.sessions import Sessions
from market_pulse.sources.base import Answer


@dataclass(frozen=True)
class BarMaker:
    """Adds to each row where it comes from, and whether it was complete when it was asked for.

    `settle` is the market time that a bar is given after its end, `lag` by how much the source's data are late.
    """

    source: str
    sessions: Sessions
    settle: timedelta
    lag: timedelta

    def bars(self, answer: Answer, since: datetime) -> list[Bar]:
        """Return the bars of an answer that begin at `since` or later."""
        request = answer.request
        return [
            Bar(
                v=contract.VERSION,
                source=self.source,
                request_id=answer.request_id,
                symbol=request.symbol,
                interval=request.interval.value,
                bar_time=row.bar_time,
                open=row.open,
                high=row.high,
                low=row.low,
                close=row.close,
                volume=row.volume,
                # Asked for, not arrived: what was on its way for a while may have been completed meanwhile.
                is_final=self._complete_at(request.interval, row.bar_time) <= answer.asked_at,
                fetched_at=answer.fetched_at,
            )
            for row in answer.series.rows
            if row.bar_time >= since
        ]

    def _complete_at(self, interval: Interval, bar_time: datetime) -> datetime:
        if interval is Interval.DAILY:
            session = self.sessions.on(bar_time.astimezone(self.sessions.zone).date())
            if session is not None:
                return session.close + AFTER_CLOSE
        return bar_time + interval.length + self.settle + self.lag
