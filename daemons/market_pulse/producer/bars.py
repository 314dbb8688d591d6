"""Makes the bars of the contract from a source's answer, and says for which bars the answer speaks."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from market_pulse import contract
from market_pulse.contract import Bar, Interval
from market_pulse.producer.schedule import AFTER_CLOSE
from market_pulse.sessions import Sessions
from market_pulse.sources.base import Answer, Row

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class BarMaker:
    """Adds to each row where it comes from, and whether it was complete when it was asked for.

    `settle` is the market time that a bar is given after its end, `lag` by how much the source's data are late.
    """

    source: str
    sessions: Sessions
    settle: timedelta
    lag: timedelta

    def bars(self, answer: Answer, rows: Iterable[Row]) -> list[Bar]:
        """Return the bars of some rows of an answer."""
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
                is_final=self.complete(request.interval, row.bar_time, answer.asked_at),
                fetched_at=answer.fetched_at,
            )
            for row in rows
        ]

    def complete(self, interval: Interval, bar_time: datetime, asked_at: datetime) -> bool:
        """Tell whether the vendor had everything of a bar when it was asked."""
        if interval is Interval.DAILY:
            session = self.sessions.on(bar_time.astimezone(self.sessions.zone).date())
            if session is not None:
                return session.close + AFTER_CLOSE + self.lag <= asked_at
        return bar_time <= asked_at - interval.length - self.settle - self.lag

    def is_session_over(self, bar: Bar, asked_at: datetime) -> bool:
        """Tell whether the vendor had everything of a bar's trading hours, regular or late, when it was asked."""
        session = self.sessions.on(bar.bar_time.astimezone(self.sessions.zone).date())
        if session is None:
            return True
        end = session.close if bar.bar_time < session.close else session.late_close
        return end + AFTER_CLOSE + self.lag <= asked_at

    def complete_until(self, interval: Interval, asked_at: datetime) -> datetime | None:
        """Return the end of complete bars: those that begin before it were complete when the vendor was asked.

        None where the calendar knows no day that had begun.
        """
        if interval is not Interval.DAILY:
            # Bars begin at whole minutes.
            last = asked_at - interval.length - self.settle - self.lag
            return last.replace(second=0, microsecond=0) + _MINUTE
        session = next(self.sessions.started(asked_at), None)
        if session is None:
            return None
        midnight = datetime.combine(session.date, time.min, self.sessions.zone).astimezone(asked_at.tzinfo)
        return self.following(interval, midnight) if self.complete(interval, midnight, asked_at) else midnight

    def following(self, interval: Interval, bar_time: datetime) -> datetime:
        """Return when a bar that directly follows another one would begin."""
        if interval is not Interval.DAILY:
            return bar_time + interval.length
        # A day's bar begins at midnight, and not every day has 24 hours.
        next_day = bar_time.astimezone(self.sessions.zone).date() + timedelta(days=1)
        return datetime.combine(next_day, time.min, self.sessions.zone).astimezone(bar_time.tzinfo)
