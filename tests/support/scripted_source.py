"""A source that answers from a script, and what a poller makes of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from market_pulse import contract
from market_pulse.contract import Interval
from market_pulse.producer.poller import Poller
from market_pulse.sources.answers import parse
from market_pulse.sources.base import Answer, Cadence, Function, Limits, Offer, Refusal, RefusedError, Request
from support.intake import MINUTE, NEW_YORK
from support.virtual_market import VirtualClock


@dataclass
class ScriptedSource:
    """Answers with the minutes before its clock, or before `frozen_at`, unless a refusal is set."""

    clock: VirtualClock
    refusals: dict[str, Refusal] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    unusable: Sequence[str] = ()
    frozen_at: datetime | None = None
    full_rows: int = 3000
    close: str = "2"
    name: str = "simulator"
    count: int = 0
    month_refusal: Refusal | None = None
    takes: timedelta = timedelta(0)

    def limits(self) -> Limits:
        return Limits(per_minute=75)

    def offer(self, symbols: Sequence[str], interval: Interval) -> Offer:
        requests = tuple(Request(Function.INTRADAY, symbol, interval) for symbol in symbols)
        return Offer(requests, Cadence.EVERY_BAR)

    def fetch(self, request: Request) -> Answer:
        self.asked.append(request)
        self.clock.at += self.takes
        refusal = self.month_refusal if request.month else self.refusals.get(request.symbol)
        if refusal:
            raise RefusedError(refusal, f"no {refusal}")
        newest = (self.frozen_at or self.clock.at).replace(second=0)
        count = self.full_rows if request.full else 100
        values = {"open": "1", "high": "2", "low": "1", "close": self.close, "volume": "7"}
        labels = [f"{(newest - n * MINUTE).astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}" for n in range(count)]
        series = dict.fromkeys((*self.unusable, *labels), values)
        meta = {"Symbol": request.symbol, "Time Zone": NEW_YORK.key}
        body = json.dumps({"Meta Data": meta, "Time Series (1min)": series}).encode()
        self.count += 1
        return Answer(
            request, f"id{self.count}", self.clock.at, self.clock.at, parse(body, request, self.clock.at), body
        )


def one_round(poller: Poller) -> tuple[int, int]:
    """Let it ask for what is due, and return how many answers came and how many bars they told."""
    result = poller.round(lambda: False)
    return result.answers, result.fresh


def told_of(poller: Poller, symbol: str) -> list[contract.Bar]:
    """Return the bars of a symbol that wait in the outbox."""
    told = [
        contract.decode(m.symbol.encode(), m.value) for m in poller.outlook.outbox.oldest(100_000) if m.symbol == symbol
    ]
    return [bar for bar in told if isinstance(bar, contract.Bar)]
