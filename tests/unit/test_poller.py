"""What the poller does with answers and refusals, against a source that answers from a script."""

import errno
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from market_pulse import contract
from market_pulse.contract import Interval
from market_pulse.errors import StateError
from market_pulse.producer import build_poller
from market_pulse.producer.archive import Archive
from market_pulse.producer.poller import Poller
from market_pulse.producer.store import Store
from market_pulse.sources.answers import parse
from market_pulse.sources.base import Answer, Cadence, Function, Limits, Offer, Refusal, RefusedError, Request
from support.producer import producer_settings

NEW_YORK = ZoneInfo("America/New_York")
START = datetime(2026, 1, 5, 16, 0, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


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


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def source(clock: _Clock) -> _ScriptedSource:
    return _ScriptedSource(clock)


@pytest.fixture
def make(source: _ScriptedSource, clock: _Clock, tmp_path: Path) -> Callable[[], Poller]:
    def build() -> Poller:
        memory, archive = Store(tmp_path / "producer.sqlite3"), Archive(tmp_path / "archive", keep_days=400)
        settings = producer_settings(symbols="IBM,MSFT", outbox_max_bars=10_000)
        return build_poller(settings, memory, archive, source, clock)

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
    # The sink refuses what was told from a day ahead; what is told anew stands at its right time.
    assert tellings[1].fetched_at == last[0].fetched_at == START + MINUTE
    assert last[0].fetched_at < last[1].fetched_at


def _told(poller: Poller, symbol: str) -> list[contract.Bar]:
    told = [
        contract.decode(m.symbol.encode(), m.value) for m in poller.outlook.outbox.oldest(100_000) if m.symbol == symbol
    ]
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
    # What nobody told is planned in the same step, so that the next process knows, too.
    poller.round(lambda: len(source.asked) == 2)
    poller = make()
    assert poller.outlook.next_at(clock.at) == clock.at
    for _ in range(2):
        assert _round(poller)[0] == 1
    assert _round(poller) == (0, 0)
    assert [(request.full, request.month) for request in source.asked] == [(False, "")] * 2 + [(True, "2026-01")] * 2
    newest = clock.at.replace(second=0)
    assert _times(poller, "IBM") == {newest - n * MINUTE for n in range(301 + 100)}
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("refusal", "reason", "calls"),
    [
        # The same sentence as a bad symbol's has come for good ones.
        (Refusal.BAD_CALL, "the vendor does not serve it", 3),
        (Refusal.NOT_ENTITLED, "the key's plan does not include it", 1),
    ],
)
def test_what_cannot_be_had_is_said_once(
    make: Callable[[], Poller],
    source: _ScriptedSource,
    clock: _Clock,
    caplog: pytest.LogCaptureFixture,
    *,
    refusal: Refusal,
    reason: str,
    calls: int,
) -> None:
    poller = make()
    _round(poller)
    source.frozen_at = START
    clock.at += 90 * MINUTE
    _round(poller)
    clock.at += 90 * MINUTE
    _round(poller)
    source.frozen_at, source.month_refusal = None, refusal
    clock.at += MINUTE
    for _ in range(25):
        _round(poller)
        clock.at += MINUTE
        poller = make()
    assert sum(bool(request.month) for request in source.asked) == 2 * calls
    gaps = [message for message in caplog.messages if not message.startswith("vendor refused")]
    for symbol, said in zip(("IBM", "MSFT"), gaps, strict=True):
        assert said.startswith(f"gap: symbol={symbol} from=2026-01-05T16:00Z to=2026-01-05T17:22Z reason=")
        assert reason in said


def test_an_unknown_symbol_is_asked_ever_more_rarely_and_delays_no_other(
    poller: Poller, source: _ScriptedSource, clock: _Clock
) -> None:
    source.refusals["IBM"] = Refusal.BAD_CALL
    assert _round(poller) == (1, 100)
    assert poller.trouble == "simulator refused IBM: no bad_call"
    asked: list[int] = []
    for minute in range(1, 121):
        clock.at += MINUTE
        source.asked.clear()
        _round(poller)
        symbols = [request.symbol for request in source.asked]
        assert symbols.count("MSFT") == 1
        asked += [minute] * symbols.count("IBM")
    assert asked == [1, 3, 7, 15, 31, 63]


def test_one_refusal_does_not_silence_a_symbol_that_was_answered(
    poller: Poller, source: _ScriptedSource, clock: _Clock
) -> None:
    _round(poller)
    clock.at += MINUTE
    source.refusals["IBM"] = Refusal.BAD_CALL
    _round(poller)
    source.refusals.clear()
    clock.at += MINUTE
    assert _round(poller) == (2, 5)


def test_a_vendor_in_trouble_is_asked_ever_more_rarely(
    poller: Poller, source: _ScriptedSource, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source.refusals = {"IBM": Refusal.VENDOR_ERROR, "MSFT": Refusal.VENDOR_ERROR}
    for _ in range(600):
        _round(poller)
        clock.at += timedelta(seconds=30)
    assert 5 < len(source.asked) < 30
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
    assert poller.outlook.next_at(clock.at) == datetime(2026, 1, 6, tzinfo=ZoneInfo("America/New_York"))


def test_a_spent_day_is_the_day_of_the_question(poller: Poller, source: _ScriptedSource, clock: _Clock) -> None:
    midnight = datetime(2026, 1, 6, tzinfo=NEW_YORK).astimezone(UTC)
    clock.at = midnight - timedelta(seconds=2)
    source.refusals, source.takes = {"IBM": Refusal.QUOTA}, timedelta(seconds=3)
    _round(poller)
    assert clock.at > midnight
    assert poller.budget.left(clock.at) is None
    assert poller.budget.left(midnight - timedelta(seconds=2)) == 0


def test_a_pause_that_a_clock_ahead_began_ends_when_the_clock_is_mended(
    poller: Poller, source: _ScriptedSource, clock: _Clock
) -> None:
    _round(poller)
    source.refusals = dict.fromkeys(("IBM", "MSFT"), Refusal.VENDOR_ERROR)
    for _ in range(5):
        clock.at += timedelta(days=1)
        _round(poller)
    source.refusals, clock.at = {}, START + MINUTE
    assert _round(poller) == (2, 4)


@pytest.mark.parametrize("refusal", [Refusal.BAD_KEY, Refusal.NOT_ENTITLED, Refusal.INVENTED])
def test_what_only_the_operator_can_mend_is_an_error(
    poller: Poller, source: _ScriptedSource, refusal: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    source.refusals = {"IBM": refusal}
    _round(poller)
    assert caplog.records[0].levelname == "ERROR"


def test_a_full_outbox_stops_the_polls(poller: Poller, source: _ScriptedSource) -> None:
    poller.outlook.outbox._max_bars = 100  # noqa: SLF001 - so full that one answer suffices
    assert _round(poller) == (1, 100)
    assert _round(poller) == (0, 0)
    assert len(source.asked) == 1


def test_no_call_is_spent_on_what_cannot_be_kept(
    make: Callable[[], Poller], source: _ScriptedSource, clock: _Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    _round(make())
    clock.at += MINUTE
    source.asked.clear()
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        patched.setattr(Archive, "_insert", full)
        for _ in range(5):
            poller = make()
            with pytest.raises(StateError, match="make room"):
                _round(poller)
    assert source.asked == []
    assert poller.budget.used(clock.at) == 2
    assert _round(make()) == (2, 4)


def test_stopping_ends_a_round_between_two_calls(poller: Poller, source: _ScriptedSource) -> None:
    poller.round(lambda: bool(source.asked))
    assert len(source.asked) == 1


def test_unusable_bars_are_said_once(
    poller: Poller, source: _ScriptedSource, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    source.unusable = ("yesterday",)
    for _ in range(3):
        _round(poller)
        clock.at += MINUTE
    assert sum("bars unusable" in record.getMessage() for record in caplog.records) == 2
