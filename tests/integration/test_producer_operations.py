"""What an operator does with a running producer: history ordered, symbols changed, a broker long away."""

import json
import signal
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from integration.daemon_processes import (
    SYMBOLS,
    Daemon,
    Market,
    bars,
    missing_minutes,
    producer_of,
    running_market,
)
from integration.services.broker import Broker, kafka_broker
from market_pulse.cli import app
from market_pulse.cli import backfill as backfill_module
from market_pulse.cli import budget as budget_module
from market_pulse.cli.producer_host import ProducerHost
from market_pulse.contract import Bar
from market_pulse.sessions import Sessions
from support.ports import free_port
from support.waiting import eventually

SESSIONS = Sessions.load("XNYS", date(2024, 1, 2))
CLOSED = {"MP_CLOCK_MARKET_START": "2026-01-03T17:00:00+00:00", "MP_VENDOR_CALLS_PER_MINUTE": "600"}
FIVE_MINUTES = {**CLOSED, "MP_INTERVAL": "5min", "MP_EXTENDED_HOURS": "false"}


def _calls(market: Market) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{market.port}/health", timeout=5) as answer:
        return int(json.load(answer)["calls"])


@pytest.fixture
def closed_market(tmp_path: Path) -> Iterator[Market]:
    """A Saturday: nobody polls, but for once at the start."""
    with running_market(tmp_path / "simulator", speed=1, **CLOSED) as running:
        yield running


def _run(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    host = ProducerHost(daemon.directory, daemon.directory, daemon.directory)
    for module in (backfill_module, budget_module):
        monkeypatch.setattr(module, "ProducerHost", lambda: host)
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


def _regular(found: list[Bar], symbol: str, first: date, last: date) -> set[datetime]:
    return {b.bar_time for b in found if b.symbol == symbol and first <= b.bar_time.date() <= last}


def test_a_backfill_survives_kills_and_pays_for_nothing_twice(
    closed_market: Market, tmp_path: Path, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = producer_of(closed_market, tmp_path / "producer", broker, topic, **FIVE_MINUTES)
    days = ("backfill", "IBM", "--from", "2025-02-03", "--to", "2025-11-28")
    months = 10
    with daemon.running():
        eventually(lambda: _calls(closed_market) == len(SYMBOLS), within=20, what="the polls of the start")
        code, printed = _run(daemon, monkeypatch, *days, "--no-wait")
        assert (code, printed) == (0, "IBM: 0 of 10 requests answered, the producer goes on\n")
        # Into the call, into taking its answer in, and into the next one.
        pauses = (0.0, 0.1, 0.3)
        for pause in pauses:
            seen = _calls(closed_market)
            eventually(lambda: _calls(closed_market) > seen, within=30, what="the next call", every=0.01)  # noqa: B023
            threading.Event().wait(pause)
            daemon.end(signal.SIGKILL)
            daemon.start()
            daemon.wait_until_ready()
        code, printed = _run(daemon, monkeypatch, *days)
        assert code == 0, printed
        spent = _calls(closed_market)
        assert months <= spent - len(SYMBOLS) <= months + len(pauses)
        # The same order again, and a part of it: nothing to do.
        assert _run(daemon, monkeypatch, *days)[0] == 0
        assert _run(daemon, monkeypatch, "backfill", "IBM", "--from", "2025-03-03", "--to", "2025-03-07")[0] == 0
        assert _calls(closed_market) == spent
        eventually(lambda: daemon.progress["outbox"] == 0, within=30, what="the outbox drains")
        assert daemon.end(signal.SIGTERM) == 0
    first, last = date(2025, 2, 3), date(2025, 11, 28)
    sessions = [session for session in SESSIONS.days if first <= session.date <= last]
    step = timedelta(minutes=5)
    expected = {s.open + n * step for s in sessions for n in range((s.close - s.open) // step)}
    assert _regular(bars(broker, topic), "IBM", first, last) == expected


def test_orders_that_cannot_be_carried_out_are_refused_or_end_with_a_reason(
    closed_market: Market, tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {"MP_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    daemon = producer_of(closed_market, tmp_path / "producer", broker, "none", **FIVE_MINUTES, **away)
    assert _run(daemon, monkeypatch, "backfill", "IBM", "--from", "2025-03-03", "--to", "2025-03-04") == (
        2,
        "market-pulse backfill: there is no producer on this host; the command belongs on the host that has one\n",
    )
    assert "no producer runs on this host" in _run(daemon, monkeypatch, "budget")[1]
    with daemon.running(ready=False):
        eventually(lambda: daemon.progress.get("budget"), within=20, what="the first progress")
        code, printed = _run(daemon, monkeypatch, "backfill", "IBM", "--from", "2026-01-02", "--to", "2026-01-05")
        assert (code, printed.count("lies in the future")) == (2, 1)
        code, printed = _run(daemon, monkeypatch, "backfill", "NOBODY", "--from", "2025-03-03", "--to", "2025-03-04")
        assert code == 1
        assert "NOBODY is not watched" in printed
        assert "NOBODY 5min 2025-03: the vendor does not serve it: Invalid API call." in printed
        code, printed = _run(daemon, monkeypatch, "budget")
        assert code == 0
        assert "600 calls a minute" in printed
        eventually(
            lambda: json.loads(_run(daemon, monkeypatch, "budget", "--json")[1])["used_today"] == len(SYMBOLS) + 1,
            within=20,
            what="every call is in the budget",
        )


def test_a_reload_changes_the_symbols_and_no_other_misses_a_poll(tmp_path: Path, broker: Broker, topic: str) -> None:
    everyone = ",".join((*SYMBOLS, "ORCL"))
    with running_market(tmp_path / "simulator", speed=60, MP_SYMBOLS=everyone) as market:
        daemon = producer_of(market, tmp_path / "producer", broker, topic)
        with daemon.running():
            eventually(lambda: daemon.log.count("bars: polled=") >= 3, within=30, what="polls", every=0.05)
            daemon.write_files(MP_SYMBOLS=",".join((*SYMBOLS[1:], "ORCL")), MP_SETTLE_SECONDS="6")
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGHUP)
            eventually(lambda: "ORCL" in daemon.progress["last_bars"], within=10, what="the new symbol", every=0.05)
            assert "symbols changed: added=ORCL removed=AAPL" in daemon.log
            assert "needs a restart: changed=MP_SETTLE_SECONDS" in daemon.log
            told = daemon.told()
            assert told.index("RELOADING=1") < len(told) - 1 - told[::-1].index("READY=1")
            polls = daemon.log.count("bars: polled=")
            daemon.write_files(MP_SYMBOLS="ibm")
            daemon.process.send_signal(signal.SIGHUP)
            eventually(lambda: "settings refused, the symbols stay" in daemon.log, within=10, what="a refusal")
            eventually(lambda: daemon.log.count("bars: polled=") >= polls + 4, within=30, what="more polls")
            assert sorted(daemon.progress["last_bars"]) == sorted((*SYMBOLS[1:], "ORCL"))
            assert daemon.end(signal.SIGTERM) == 0
    found = bars(broker, topic)
    assert [missing_minutes(found, symbol) for symbol in (*SYMBOLS[1:], "ORCL")] == [[]] * len(SYMBOLS)
    newest = {symbol: max(bar.bar_time for bar in found if bar.symbol == symbol) for symbol in (*SYMBOLS, "ORCL")}
    assert newest["AAPL"] < newest["ORCL"]


@pytest.mark.slow
def test_half_an_hour_of_the_market_without_a_broker_costs_nothing(tmp_path: Path) -> None:
    """Longer than the client's delivery timeout and our own patience with it, 10 and 30 seconds."""
    port, directory = free_port(), tmp_path / "kafka"
    directory.mkdir()
    with running_market(tmp_path / "simulator", speed=60) as market:
        with kafka_broker(directory, port) as broker:
            topic = broker.create_topic()
            daemon = producer_of(market, tmp_path / "producer", broker, topic)
            daemon.start()
            try:
                eventually(lambda: daemon.log.count("bars: polled=") >= 3, within=60, what="polls", every=0.1)
            except BaseException:
                daemon.end(signal.SIGKILL)
                raise
        try:
            eventually(lambda: "broker does not answer" in daemon.log, within=60, what="the loss is noticed")
            before = _market_time(daemon)
            eventually(
                lambda: _market_time(daemon) - before >= timedelta(minutes=40), within=90, what="40 market minutes"
            )
            waiting = daemon.progress["outbox"]
            assert isinstance(waiting, int)
            assert waiting > 35 * len(SYMBOLS)
            with kafka_broker(directory, port) as broker:
                eventually(lambda: daemon.progress["outbox"] == 0, within=90, what="the outbox drains")
                assert daemon.end(signal.SIGTERM) == 0
                found = bars(broker, topic)
        finally:
            if daemon.process and daemon.process.poll() is None:
                daemon.end(signal.SIGKILL)
    assert [missing_minutes(found, symbol) for symbol in SYMBOLS] == [[]] * len(SYMBOLS)
    final = [(bar.symbol, bar.bar_time, bar.close, bar.volume) for bar in found if bar.is_final]
    assert len(final) == len(set(final))
    assert "outbox full" not in daemon.log


def test_a_full_outbox_stops_the_polls_loudly_and_room_starts_them_again(tmp_path: Path) -> None:
    port, directory = free_port(), tmp_path / "kafka"
    directory.mkdir()
    with kafka_broker(directory, port) as broker:
        topic = broker.create_topic()
    with running_market(tmp_path / "simulator", speed=60) as market:
        daemon = producer_of(market, tmp_path / "producer", broker, topic, MP_OUTBOX_MAX_BARS="600")
        with daemon.running():
            eventually(lambda: "outbox full, polling stops" in daemon.log, within=30, what="the outbox fills")
            eventually(
                lambda: "STATUS=degraded: no answer from the broker" in "".join(daemon.told()), within=20, what="STATUS"
            )
            asked = _calls(market)
            polled = daemon.log.count("bars: polled=5")
            eventually(lambda: daemon.told().count("WATCHDOG=1") > 8, within=30, what="the watchdog is fed meanwhile")
            assert (_calls(market), daemon.log.count("bars: polled=5")) == (asked, polled)
            with kafka_broker(directory, port) as broker:
                eventually(lambda: "outbox has room again" in daemon.log, within=60, what="room")
                eventually(lambda: _calls(market) > asked, within=20, what="the next poll")
                assert daemon.end(signal.SIGTERM) == 0
                found = bars(broker, topic)
    assert [missing_minutes(found, symbol) for symbol in SYMBOLS] == [[]] * len(SYMBOLS)


def _market_time(daemon: Daemon) -> datetime:
    return datetime.fromisoformat(str(daemon.progress["market_time"])).astimezone(UTC)
