"""The contract of every source, asked of each: the simulator over HTTP on loopback, and a folder of recordings."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn

from market_pulse.clock import MarketClock
from market_pulse.contract import Bar, Interval, first_violation
from market_pulse.errors import SettingsError
from market_pulse.producer.bars import BarMaker
from market_pulse.sessions import Sessions
from market_pulse.settings import Plan
from market_pulse.simulator import FIRST_DAY
from market_pulse.simulator.api import Terms, VendorApi
from market_pulse.simulator.app import Simulator
from market_pulse.simulator.market import SimulatedMarket
from market_pulse.sources.alphavantage import Account, AlphaVantage
from market_pulse.sources.base import (
    Cadence,
    DataType,
    Function,
    Limits,
    Refusal,
    RefusedError,
    Request,
    Source,
)
from market_pulse.sources.replay import Replay
from support.ports import free_port
from support.waiting import eventually

KEY = "s3cret-key"
SYMBOLS = ("IBM", "MSFT")
SESSIONS = Sessions.load("XNYS", FIRST_DAY)
# In the middle of Monday's session; the clock stands still, as far as a test can tell.
NOW = datetime(2026, 1, 5, 17, 0, 30, tzinfo=UTC)


class _StandingClock(MarketClock):
    """Market time that stands still."""

    def now(self) -> datetime:
        return NOW


MARKET = SimulatedMarket(1, SESSIONS)
CLOCK = _StandingClock(1, NOW, NOW)


class _Simulators(dict[Plan, str]):
    """The address of a fresh simulator for each plan that is asked for, so that no test uses up another's quota."""

    def __init__(self) -> None:
        self._servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def __missing__(self, plan: Plan) -> str:
        api = VendorApi(MARKET, Terms(KEY, frozenset(SYMBOLS), plan, 1_000))
        port = free_port()
        config = uvicorn.Config(Simulator(api, CLOCK).application, port=port, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        self._servers.append((server, thread))
        eventually(lambda: server.started, within=10, what="the simulator serves", every=0.01)
        self[plan] = f"http://127.0.0.1:{port}"
        return self[plan]

    def stop(self) -> None:
        for server, thread in self._servers:
            server.should_exit = True
            thread.join()


@pytest.fixture
def addresses() -> Iterator[dict[Plan, str]]:
    simulators = _Simulators()
    yield simulators
    simulators.stop()


def _vendor(address: str, plan: Plan, key: str = KEY, *, extended: bool = True) -> AlphaVantage:
    return AlphaVantage("simulator", address, Account(key, plan, 75, extended), CLOCK)


def _folder(directory: Path) -> Path:
    body = "timestamp,open,high,low,close,volume\r\n2026-05-15 19:55:00,219.0300,219.0300,219.0000,219.0000,158\r\n"
    for name, symbol in (("b.csv", "IBM"), ("a.csv", "MSFT"), ("c.csv", "IBM")):
        (directory / name).write_text(body, newline="")
        sidecar = {"function": "TIME_SERIES_INTRADAY", "symbol": symbol, "interval": "5min", "datatype": "csv"}
        (directory / f"{name}.request.json").write_text(json.dumps({**sidecar, "fetched_at": "2026-05-17T12:00:00Z"}))
    return directory


@pytest.fixture(params=["free", "delayed", "premium", "replay"])
def source(request: pytest.FixtureRequest, addresses: dict[Plan, str], tmp_path: Path) -> Source:
    if request.param == "replay":
        return Replay(_folder(tmp_path))
    return _vendor(addresses[Plan(request.param)], Plan(request.param))


def test_a_source_answers_everything_that_it_offers(source: Source) -> None:
    offer = source.offer(SYMBOLS, Interval.FIVE_MINUTES)
    assert {request.symbol for request in offer.requests} == set(SYMBOLS)
    assert len(set(offer.requests)) == len(offer.requests)
    # The clock stands still, and a free key has one call a second.
    for request in offer.requests[:1] if source.limits().gap else offer.requests:
        answer = source.fetch(request)
        assert answer.request == request
        assert answer.asked_at <= answer.fetched_at
        assert answer.series.rows
        assert answer.series.unusable == ()
        maker = BarMaker(source.name, SESSIONS, timedelta(seconds=5), offer.lag)
        for bar in maker.bars(answer, answer.series.rows):
            assert isinstance(bar, Bar)
            assert first_violation(bar) is None
            assert bar.source == source.name


def test_a_source_knows_its_limits(source: Source) -> None:
    assert isinstance(source.limits(), Limits)


def test_each_plan_offers_what_it_is_entitled_to(addresses: dict[Plan, str]) -> None:
    free = _vendor(addresses[Plan.FREE], Plan.FREE)
    assert free.limits() == Limits(per_day=25, gap=timedelta(seconds=1.1))
    daily = (Request(Function.DAILY, "IBM", Interval.DAILY), Request(Function.DAILY, "MSFT", Interval.DAILY))
    assert (free.offer(SYMBOLS, Interval.ONE_MINUTE).requests, free.offer(SYMBOLS, Interval.ONE_MINUTE).cadence) == (
        daily,
        Cadence.AFTER_CLOSE,
    )
    assert not free.offer(SYMBOLS, Interval.ONE_MINUTE).long_answers
    delayed = _vendor(addresses[Plan.DELAYED], Plan.DELAYED)
    assert delayed.offer(SYMBOLS, Interval.DAILY).long_answers
    assert delayed.limits() == Limits(per_minute=75)
    assert delayed.offer(SYMBOLS, Interval.ONE_MINUTE).lag == timedelta(minutes=15)
    newest = delayed.fetch(delayed.offer(SYMBOLS, Interval.ONE_MINUTE).requests[0]).series.rows[0].bar_time
    assert newest == datetime(2026, 1, 5, 16, 45, tzinfo=UTC)


def test_the_clock_on_the_vendors_wall_is_read_as_utc(addresses: dict[Plan, str]) -> None:
    vendor = _vendor(addresses[Plan.PREMIUM], Plan.PREMIUM)
    intraday, daily = (
        vendor.fetch(vendor.offer(SYMBOLS, interval).requests[0]).series.rows[0]
        for interval in (Interval.ONE_MINUTE, Interval.DAILY)
    )
    assert intraday.bar_time == datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
    assert daily.bar_time == datetime(2026, 1, 5, 5, 0, tzinfo=UTC)


def test_csv_and_json_tell_the_same(addresses: dict[Plan, str]) -> None:
    vendor = _vendor(addresses[Plan.PREMIUM], Plan.PREMIUM)
    for function, interval in (
        (Function.INTRADAY, Interval.SIXTY_MINUTES),
        (Function.DAILY, Interval.DAILY),
        (Function.QUOTE, Interval.DAILY),
    ):
        told = [vendor.fetch(Request(function, "IBM", interval, datatype)).series for datatype in DataType]
        assert told[0] == told[1]


@pytest.mark.parametrize(
    ("plan", "key", "request_", "refusal"),
    [
        (Plan.PREMIUM, "wrong", Request(Function.DAILY, "IBM", Interval.DAILY), Refusal.BAD_KEY),
        (Plan.PREMIUM, KEY, Request(Function.DAILY, "XXX", Interval.DAILY), Refusal.BAD_CALL),
        (Plan.PREMIUM, KEY, Request(Function.QUOTE, "XXX", Interval.DAILY), Refusal.BAD_CALL),
        (Plan.FREE, KEY, Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE), Refusal.NOT_ENTITLED),
        (Plan.FREE, KEY, Request(Function.DAILY, "IBM", Interval.DAILY, full=True), Refusal.NOT_ENTITLED),
    ],
)
def test_refusals_come_as_their_class(
    addresses: dict[Plan, str], plan: Plan, key: str, request_: Request, refusal: Refusal
) -> None:
    vendor = _vendor(addresses[plan], plan, key)
    with pytest.raises(RefusedError) as refused:
        vendor.fetch(request_)
    assert refused.value.refusal is refusal


def test_a_second_call_within_a_second_is_a_burst(addresses: dict[Plan, str]) -> None:
    vendor, daily = _vendor(addresses[Plan.FREE], Plan.FREE), Request(Function.DAILY, "IBM", Interval.DAILY)
    vendor.fetch(daily)
    with pytest.raises(RefusedError) as burst:
        vendor.fetch(daily)
    assert burst.value.refusal is Refusal.BURST


def test_the_refusal_that_prints_the_key_is_told_without_it(
    addresses: dict[Plan, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor, daily = _vendor(addresses[Plan.FREE], Plan.FREE), Request(Function.DAILY, "IBM", Interval.DAILY)
    for call in range(25):
        monkeypatch.setattr(_StandingClock, "now", lambda _, call=call: NOW + timedelta(seconds=2 * call))
        vendor.fetch(daily)
    with pytest.raises(RefusedError, match=r"your API key as \*\*\* and") as refused:
        vendor.fetch(daily)
    assert refused.value.refusal is Refusal.QUOTA


def test_recordings_are_played_in_the_order_of_their_names(tmp_path: Path) -> None:
    replay = Replay(_folder(tmp_path))
    requests = replay.offer((), Interval.ONE_MINUTE).requests
    assert [request.recording for request in requests] == ["a.csv", "b.csv", "c.csv"]
    first, second = (replay.fetch(requests[1]) for _ in range(2))
    assert first == second
    assert first.fetched_at == datetime(2026, 5, 17, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"interval": "7min"}, "interval"),
        ({"fetched_at": "2026-05-17T12:00:00"}, "fetched_at"),
        ({"symbols": "IBM"}, "symbols"),
    ],
)
def test_a_wrong_sidecar_is_named_with_its_field(tmp_path: Path, change: dict[str, str], sentence: str) -> None:
    sidecar = _folder(tmp_path) / "b.csv.request.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | change))
    with pytest.raises(SettingsError, match=f"b.csv.request.json: {sentence}"):
        Replay(tmp_path)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no recorded answer"):
        Replay(tmp_path)
    (tmp_path / "x.csv.request.json").write_text((_folder(tmp_path) / "a.csv.request.json").read_text())
    with pytest.raises(SettingsError, match=r"without its answer x\.csv"):
        Replay(tmp_path)
