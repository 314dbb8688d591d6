"""The producer against a real broker and a real simulator: nothing lost, whoever is killed."""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from integration.daemon_processes import (
    KEY,
    SYMBOLS,
    Daemon,
    Market,
    bars,
    missing_minutes,
    producer_of,
    producer_of_folder,
    record,
    records,
    running_market,
    waiting_of,
)
from integration.services.broker import Broker, kafka_broker
from market_pulse.producer import store
from market_pulse.producer.archive import FOLDER, Archive
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.store import Store
from support.ports import free_port
from support.samples import sample
from support.waiting import eventually

FETCHED_AT = datetime(2026, 5, 17, 12, tzinfo=UTC)
IBM = {"function": "TIME_SERIES_INTRADAY", "symbol": "IBM", "interval": "5min", "datatype": "csv"}


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    with running_market(tmp_path / "simulator", speed=60) as running:
        yield running


@pytest.fixture
def producer(market: Market, tmp_path: Path, broker: Broker, topic: str) -> Iterator[Daemon]:
    with producer_of(market, tmp_path / "producer", broker, topic).running() as running:
        yield running


def _has_polled(daemon: Daemon, times: int) -> None:
    eventually(lambda: daemon.log.count("bars: polled=") >= times, within=60, what=f"{times} polls", every=0.1)


def test_without_files_it_ends_in_one_sentence_and_goes_on_when_it_has_some(producer: Daemon) -> None:
    _has_polled(producer, 1)
    assert producer.process is not None
    before = len(producer.log)
    resource.prlimit(producer.process.pid, resource.RLIMIT_NOFILE, (14, 14))
    assert producer.process.wait(30) == 1
    said = producer.log[before:]
    assert "stopped: Too many open files" in said
    assert "Traceback" not in said
    with producer.running():
        _has_polled(producer, 2)


def test_every_bar_of_the_recorded_file_arrives_once_and_keyed(tmp_path: Path, broker: Broker, topic: str) -> None:
    recorded = sample("pt_intraday_5min_IBM_2026-05-15.csv")
    record(tmp_path / "recordings", recorded, fetched_at=FETCHED_AT, **IBM)
    daemon = producer_of_folder(tmp_path / "recordings", tmp_path / "producer", broker, topic)
    with daemon.running():
        eventually(lambda: len(bars(broker, topic)) >= 100, within=30, what="100 bars on the topic")
        assert daemon.end(signal.SIGTERM) == 0
    found = sorted(bars(broker, topic), key=lambda bar: bar.bar_time, reverse=True)
    told = [line.split(",") for line in recorded.read_text().splitlines()[1:]]
    zone = ZoneInfo("America/New_York")
    assert [(bar.bar_time, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in found] == [
        (datetime.fromisoformat(label).replace(tzinfo=zone).astimezone(UTC), *values) for label, *values in told
    ]
    assert {(bar.source, bar.symbol, bar.interval, bar.is_final, bar.fetched_at) for bar in found} == {
        ("replay", "IBM", "5min", True, FETCHED_AT)
    }


def test_a_recording_is_played_at_every_start(tmp_path: Path, broker: Broker, topic: str) -> None:
    record(tmp_path / "recordings", sample("pt_intraday_5min_IBM_2026-05-15.csv"), fetched_at=FETCHED_AT, **IBM)
    daemon = producer_of_folder(tmp_path / "recordings", tmp_path / "producer", broker, topic)
    for times in (1, 2):
        with daemon.running():
            eventually(lambda: len(bars(broker, topic)) >= times * 100, within=30, what="the bars")  # noqa: B023
            assert daemon.end(signal.SIGTERM) == 0
    assert len(bars(broker, topic)) == 200
    # A hundred bars and the answer that told them, each as it was the first time.
    assert len({record.value for record in records(broker, topic)}) == 101


def test_bars_of_every_symbol_follow_the_markets_clock(producer: Daemon, broker: Broker, topic: str) -> None:
    _has_polled(producer, 6)
    told = producer.told()
    assert told.index("READY=1") < told.index("WATCHDOG=1")
    assert [line for line in told if line.startswith("STATUS=polling 5 symbols")]
    progress = producer.progress
    assert progress["state"] == "polling"
    assert sorted(progress["last_bars"]) == list(SYMBOLS)
    assert producer.end(signal.SIGTERM) == 0
    found = bars(broker, topic)
    for symbol in SYMBOLS:
        assert missing_minutes(found, symbol) == []
        mine = [bar for bar in found if bar.symbol == symbol]
        # A bar is told again only when it has changed.
        assert len(
            {(bar.bar_time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.is_final) for bar in mine}
        ) == len(mine)
        assert [bar.fetched_at for bar in mine] == sorted(bar.fetched_at for bar in mine)
    assert KEY not in producer.log


def test_sigterm_ends_within_seconds_and_loses_nothing(producer: Daemon, broker: Broker, topic: str) -> None:
    _has_polled(producer, 2)
    started = time.monotonic()
    assert producer.end(signal.SIGTERM) == 0
    assert time.monotonic() - started < 10
    first = len(records(broker, topic))
    with producer.running():
        _has_polled(producer, 5)
        assert producer.end(signal.SIGTERM) == 0
    found = bars(broker, topic)
    assert len(found) > first
    assert [missing_minutes(found, symbol) for symbol in SYMBOLS] == [[]] * len(SYMBOLS)
    # The last ones, too: they are on the topic, or wait where the next process finds them.
    assert waiting_of(producer) or {
        symbol: max(bar.bar_time for bar in found if bar.symbol == symbol) for symbol in SYMBOLS
    } == _newest_told(producer)


def _newest_told(producer: Daemon) -> dict[str, datetime]:
    """Return the newest bars that a producer which does not run has taken in."""
    memory = Store(producer.directory / store.NAME)
    polls = {symbol: Outbox(memory, 1).last_poll(symbol, "1min") for symbol in SYMBOLS}
    memory.close()
    return {symbol: poll.last_bar for symbol, poll in polls.items() if poll}


def test_a_killed_producer_goes_on_where_it_stopped(producer: Daemon, broker: Broker, topic: str) -> None:
    for kills in range(1, 4):
        _has_polled(producer, 2 * kills)
        producer.end(signal.SIGKILL)
        producer.start()
        producer.wait_until_ready()
    _has_polled(producer, 8)
    assert producer.end(signal.SIGTERM) == 0
    found = bars(broker, topic)
    assert [missing_minutes(found, symbol) for symbol in SYMBOLS] == [[]] * len(SYMBOLS)


def test_a_broker_killed_in_mid_stream_misses_nothing_once_it_is_back(market: Market, tmp_path: Path) -> None:
    port, directory = free_port(), tmp_path / "kafka"
    directory.mkdir()
    with kafka_broker(directory, port) as broker:
        topic = broker.create_topic()
        daemon = producer_of(market, tmp_path / "producer", broker, topic)
        daemon.start()
        try:
            _has_polled(daemon, 3)
        except BaseException:
            daemon.end(signal.SIGKILL)
            raise
        _kill(directory)
    try:
        eventually(lambda: "broker does not answer" in daemon.log, within=60, what="the loss is noticed")
        eventually(lambda: daemon.progress["outbox"], within=60, what="the outbox fills")
        eventually(
            lambda: any("STATUS=degraded: no answer from the broker" in line for line in daemon.told()),
            within=60,
            what="STATUS says so",
        )
        with kafka_broker(directory, port) as broker:
            eventually(lambda: "broker answers again" in daemon.log, within=60, what="the return is noticed")
            eventually(lambda: daemon.progress["outbox"] == 0, within=60, what="the outbox drains")
            _has_polled(daemon, daemon.log.count("bars: polled=") + 2)
            assert daemon.end(signal.SIGTERM) == 0
            found = bars(broker, topic)
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.end(signal.SIGKILL)
    assert [missing_minutes(found, symbol) for symbol in SYMBOLS] == [[]] * len(SYMBOLS)


def _kill(directory: Path) -> None:
    """Kill the broker of a directory, as a power cut would."""
    configuration = str(directory / "server.properties").encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if configuration in (process / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
                return
    raise AssertionError(f"no broker runs in {directory}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_bars_that_wait_are_sent_by_the_next_process(
    market: Market, tmp_path: Path, broker: Broker, topic: str, number: signal.Signals
) -> None:
    daemon = producer_of(
        market, tmp_path / "producer", broker, topic, MP_KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}"
    )
    with daemon.running():
        eventually(lambda: daemon.progress.get("outbox", 0) >= 500, within=30, what="bars wait in the outbox")
        # Nobody can tell them again.
        market.daemon.end(signal.SIGKILL)
        started = time.monotonic()
        assert daemon.end(number) == (0 if number is signal.SIGTERM else -number)
        assert time.monotonic() - started < 10
    waiting = waiting_of(daemon)
    assert len(waiting) >= 500
    daemon = daemon.with_environment(MP_KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers)
    with daemon.running():
        eventually(lambda: len(records(broker, topic)) >= len(waiting), within=30, what="the bars are on the topic")
        assert daemon.end(signal.SIGTERM) == 0
    # Each once, and each symbol's in the order in which they were told; new are the answers that nobody gives, and
    # what the killed process had archived and not told.
    found = [record.value for record in records(broker, topic)]
    assert sorted(value for value in found if value in set(waiting)) == sorted(waiting)
    kept = [
        entry.request_id for entry in Archive(daemon.directory / FOLDER, keep_days=0).entries() if not entry.refusal
    ]
    untold = [request_id for request_id in kept if not any(request_id.encode() in value for value in waiting)]
    new = [value for value in found if value not in set(waiting)]
    assert all(b'"kind":"answer"' in value or any(name.encode() in value for name in untold) for value in new)
    assert waiting_of(daemon) == []
    for symbol in SYMBOLS:
        mine = [value for value in waiting if f'"symbol":"{symbol}"'.encode() in value]
        assert [value for value in found if value in set(mine)] == mine


def test_a_closed_market_is_idle_healthy_and_woken_by_sigterm(tmp_path: Path, broker: Broker, topic: str) -> None:
    saturday = {"MP_CLOCK_MARKET_START": "2026-01-03T17:00:00+00:00"}
    with running_market(tmp_path / "simulator", speed=1, **saturday) as market:
        daemon = producer_of(market, tmp_path / "producer", broker, topic, **saturday)
        with daemon.running():
            eventually(
                lambda: "STATUS=idle: NYSE closed until Mon 04:00 ET" in daemon.told(),
                within=30,
                what="STATUS says idle",
            )
            # Friday's last bars are there all the same, and the watchdog is fed while nothing happens.
            assert len(bars(broker, topic)) == 500
            beats = daemon.told().count("WATCHDOG=1")
            eventually(lambda: daemon.told().count("WATCHDOG=1") > beats + 1, within=20, what="the watchdog is fed")
            started = time.monotonic()
            assert daemon.end(signal.SIGTERM) == 0
            assert time.monotonic() - started < 2


def test_a_simulator_that_is_away_is_told_and_made_up_for(
    market: Market, producer: Daemon, broker: Broker, topic: str
) -> None:
    _has_polled(producer, 2)
    market.daemon.end(signal.SIGKILL)
    eventually(
        lambda: "STATUS=degraded: simulator refused" in "".join(producer.told()), within=20, what="STATUS says so"
    )
    market.daemon.start()
    market.daemon.wait_until_ready()
    eventually(lambda: "vendor answers again" in producer.log, within=40, what="the simulator is back")
    _has_polled(producer, producer.log.count("bars: polled=") + 2)
    assert producer.end(signal.SIGTERM) == 0
    found = bars(broker, topic)
    assert [missing_minutes(found, symbol) for symbol in SYMBOLS] == [[]] * len(SYMBOLS)
