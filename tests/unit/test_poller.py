"""What the poller does with answers and refusals, against a source that answers from a script."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from market_pulse import contract
from market_pulse.contract import Interval
from market_pulse.producer.bars import BarMaker
from market_pulse.producer.budget import Budget
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.poller import Poller
from market_pulse.producer.schedule import Agenda, Slots
from market_pulse.producer.store import Store
from market_pulse.sessions import Sessions
from market_pulse.sources.base import (
    Answer,
    Cadence,
    Function,
    Limits,
    Offer,
    Refusal,
    RefusedError,
    Request,
    Row,
    Series,
)

SESSIONS = Sessions.load("XNYS", date(2024, 1, 2))
START = datetime(2026, 1, 5, 16, 0, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
IBM, MSFT = (Request(Function.INTRADAY, symbol, Interval.ONE_MINUTE) for symbol in ("IBM", "MSFT"))


@dataclass
class _Clock:
    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def real_seconds(self, start: datetime, end: datetime) -> float:
        return (end - start).total_seconds() / 60

    def after(self, now: datetime, real_seconds: float) -> datetime:
        return now + timedelta(seconds=60 * real_seconds)


@dataclass
class _ScriptedSource:
    clock: _Clock
    refusals: dict[str, Refusal] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    unusable: Sequence[str] = ()
    frozen_at: datetime | None = None
    full_rows: int = 3000
    close: str = "2"
    name: str = "simulator"

    def limits(self) -> Limits:
        return Limits(per_minute=75)

    def offer(self, symbols: Sequence[str], interval: Interval) -> Offer:
        raise NotImplementedError

    def fetch(self, request: Request) -> Answer:
        self.asked.append(request)
        refusal = self.refusals.get(request.symbol)
        if refusal:
            raise RefusedError(refusal, f"no {refusal}")
        newest = (self.frozen_at or self.clock.at).replace(second=0)
        count = self.full_rows if request.full else 100
        rows = tuple(Row(newest - n * MINUTE, "1", "2", "1", self.close, "7") for n in range(count))
        return Answer(request, "id", self.clock.at, self.clock.at, Series(rows, self.unusable))


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def source(clock: _Clock) -> _ScriptedSource:
    return _ScriptedSource(clock)


@pytest.fixture
def make(source: _ScriptedSource, clock: _Clock, tmp_path: Path) -> Callable[[], Poller]:
    def build() -> Poller:
        store, settle = Store(tmp_path / "producer.sqlite3"), timedelta(seconds=5)
        slots = Slots(SESSIONS, Offer((IBM, MSFT), Cadence.EVERY_BAR), settle, extended=True)
        poller = Poller(
            source,
            Agenda(slots, (IBM, MSFT)),
            Budget(store, source.limits(), ZoneInfo("America/New_York")),
            Outbox(store, 10_000),
            BarMaker("simulator", SESSIONS, settle, timedelta(0)),
            clock,
            long_answers=True,
        )
        poller.remember()
        return poller

    return build


@pytest.fixture
def poller(make: Callable[[], Poller]) -> Poller:
    return make()


def _round(poller: Poller) -> tuple[int, int]:
    result = poller.round(lambda: False)
    return result.answers, result.fresh


def test_overlapping_answers_bring_only_what_is_new(poller: Poller, clock: _Clock) -> None:
    assert _round(poller) == (2, 200)
    assert _round(poller) == (0, 0)
    clock.at += MINUTE
    # The bar that was forming is final now, and another one forms.
    assert _round(poller) == (2, 4)
    assert poller.last_bars == {"IBM": clock.at.replace(second=0), "MSFT": clock.at.replace(second=0)}


def test_a_restart_goes_on_where_the_process_before_stopped(make: Callable[[], Poller], clock: _Clock) -> None:
    _round(make())
    again = make()
    assert _round(again) == (0, 0)
    clock.at += MINUTE
    assert _round(again) == (2, 4)


@pytest.mark.parametrize(("minutes", "full", "fresh"), [(80, False, 81), (81, True, 82), (600, True, 601)])
def test_after_a_gap_the_answer_reaches_back_to_the_last_one(
    poller: Poller, source: _ScriptedSource, clock: _Clock, minutes: int, *, full: bool, fresh: int
) -> None:
    _round(poller)
    clock.at += minutes * MINUTE
    source.asked.clear()
    # The hours before the gap were told: of a long answer only the reach of a short one is looked at again.
    assert _round(poller) == (2, 2 * fresh)
    assert [request.full for request in source.asked] == [full, full]


def test_what_a_clock_ahead_of_time_made_of_a_bar_is_put_right_by_a_later_telling(
    make: Callable[[], Poller], source: _ScriptedSource, clock: _Clock
) -> None:
    clock.at, source.frozen_at = START + timedelta(days=1), START
    _round(make())
    clock.at, source.frozen_at, source.close = START + MINUTE, None, "1.5"
    poller = make()
    assert _round(poller) == (2, 200)
    clock.at += MINUTE
    assert _round(poller) == (2, 4)
    tellings = [bar for bar in _told(poller, "IBM") if bar.bar_time == START.replace(second=0)]
    # The bar was forming under the wrong clock, too, which could not know that.
    assert [(bar.close, bar.is_final) for bar in tellings] == [("2", True), ("1.5", True)]
    last = [bar for bar in _told(poller, "IBM") if bar.bar_time == START.replace(second=0) + MINUTE]
    assert [bar.is_final for bar in last] == [False, True]
    assert tellings[0].fetched_at < tellings[1].fetched_at
    assert last[0].fetched_at < last[1].fetched_at


def _told(poller: Poller, symbol: str) -> list[contract.Bar]:
    told = [contract.decode(m.symbol.encode(), m.value) for m in poller.outbox.oldest(100_000) if m.symbol == symbol]
    return [bar for bar in told if isinstance(bar, contract.Bar)]


def _times(poller: Poller, symbol: str) -> set[datetime]:
    return {bar.bar_time for bar in _told(poller, symbol)}


def test_a_vendor_that_froze_is_asked_again_for_what_it_kept_back(
    make: Callable[[], Poller], source: _ScriptedSource, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    poller = make()
    _round(poller)
    source.frozen_at = START
    for _ in range(6):
        clock.at += 50 * MINUTE
        assert _round(poller)[0] == 2
    source.frozen_at, source.asked = None, []
    clock.at += MINUTE
    assert _round(poller) == (2, 0)
    # What the process before has not kept, the next one misses, too.
    poller = make()
    assert _round(poller) == (2, 0)
    assert poller.next_at(clock.at) == clock.at
    assert _round(poller) == (2, 2 * 301)
    assert _round(poller) == (0, 0)
    assert [request.full for request in source.asked] == [False] * 4 + [True] * 2
    newest = clock.at.replace(second=0)
    assert _times(poller, "IBM") == {newest - n * MINUTE for n in range(301 + 100)}
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("long_answers", "full_rows", "to"),
    # An empty long answer is found out by the short one of the minute after.
    [(True, 3000, None), (True, 200, "16:51"), (True, 0, "18:32"), (False, 0, "18:31")],
)
def test_what_no_answer_reaches_any_more_is_said_once(
    poller: Poller,
    source: _ScriptedSource,
    clock: _Clock,
    caplog: pytest.LogCaptureFixture,
    *,
    long_answers: bool,
    full_rows: int,
    to: str | None,
) -> None:
    poller.long_answers, source.full_rows = long_answers, full_rows
    _round(poller)
    clock.at += 250 * MINUTE
    for _ in range(3):
        _round(poller)
        clock.at += MINUTE
    assert {request.full for request in source.asked} == {False, long_answers}
    # From what comes after the last bar before, to the oldest one of the answer.
    said = [f"gap: symbol={symbol} from=2026-01-05T16:01Z to=2026-01-05T{to}Z" for symbol in ("IBM", "MSFT")]
    assert caplog.messages == (said if to else [])


def test_an_unknown_symbol_is_left_alone_for_a_day_and_delays_no_other(
    poller: Poller, source: _ScriptedSource, clock: _Clock
) -> None:
    source.refusals["IBM"] = Refusal.BAD_CALL
    assert _round(poller) == (1, 100)
    assert poller.trouble == "simulator refused IBM: no bad_call"
    clock.at += 30 * MINUTE
    source.asked.clear()
    _round(poller)
    assert [request.symbol for request in source.asked] == ["MSFT"]


def test_a_vendor_in_trouble_is_asked_ever_more_rarely(
    poller: Poller, source: _ScriptedSource, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source.refusals = {"IBM": Refusal.VENDOR_ERROR, "MSFT": Refusal.VENDOR_ERROR}
    for _ in range(600):
        _round(poller)
        clock.at += timedelta(seconds=30)
    assert 10 < len(source.asked) < 30
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    source.refusals = {}
    clock.at += timedelta(hours=1) * 6
    assert _round(poller)[0] == 2
    assert caplog.records[-1].getMessage() == "vendor answers again: symbol=MSFT"
    assert poller.trouble is None


def test_a_spent_day_ends_the_calls_until_the_next(poller: Poller, source: _ScriptedSource, clock: _Clock) -> None:
    source.refusals = {"IBM": Refusal.QUOTA}
    assert _round(poller) == (0, 0)
    clock.at += 10 * MINUTE
    _round(poller)
    assert len(source.asked) == 1
    assert poller.next_at(clock.at) == datetime(2026, 1, 6, tzinfo=ZoneInfo("America/New_York"))


@pytest.mark.parametrize("refusal", [Refusal.BAD_KEY, Refusal.NOT_ENTITLED])
def test_what_only_the_operator_can_mend_is_an_error(
    poller: Poller, source: _ScriptedSource, refusal: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    source.refusals = {"IBM": refusal}
    _round(poller)
    assert caplog.records[0].levelname == "ERROR"


def test_a_full_outbox_stops_the_polls(poller: Poller, source: _ScriptedSource) -> None:
    poller.outbox._max_bars = 100  # noqa: SLF001 - so full that one answer suffices
    assert _round(poller) == (1, 100)
    assert _round(poller) == (0, 0)
    assert len(source.asked) == 1


def test_stopping_ends_a_round_between_two_calls(poller: Poller, source: _ScriptedSource) -> None:
    poller.round(lambda: bool(source.asked))
    assert len(source.asked) == 1


def test_unusable_bars_are_said_once(
    poller: Poller, source: _ScriptedSource, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    source.unusable = ("bar '…': its time",)
    for _ in range(3):
        _round(poller)
        clock.at += MINUTE
    assert sum("bars unusable" in record.getMessage() for record in caplog.records) == 2
