"""The auditor as its unit runs it: a process that speaks to systemd, and a database that comes and goes."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integration.audited import COLUMNS, MINUTE, audited, minutes
from integration.daemon_processes import Daemon
from integration.services.database import PASSWORD, Database
from support.waiting import eventually

# A quarter of an hour of real time is a minute of this market: it stands still for the length of a test.
START = datetime(2026, 1, 5, 15, 30, 30, tzinfo=UTC)
OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


@dataclass
class Running:
    """An auditor of IBM whose first hour of a session is stored."""

    daemon: Daemon
    database: Database

    def said(self) -> str:
        """Return its latest sentence."""
        sentences = [line for message in self.daemon.told() for line in message.splitlines() if "STATUS=" in line]
        return sentences[-1] if sentences else ""


@pytest.fixture
def auditor(database: Database, tmp_path: Path) -> Running:
    with audited(database) as market:
        market.calendar(START)
        market.series("IBM", OPEN)
        market.store("IBM", minutes(OPEN, 60))
        market.answer("IBM", START, (OPEN, OPEN + 60 * MINUTE), told=60, request="r0")
    environment = {
        "MP_CLOCK_SPEED": "0.001",
        "MP_CLOCK_REAL_START": datetime.now(UTC).isoformat(),
        "MP_CLOCK_MARKET_START": START.isoformat(),
        **database.environment("auditor"),
        "MP_EXCHANGE": "XNYS",
        "MP_EXTENDED_HOURS": "false",
        "MP_INTERVAL": "1min",
        "MP_SETTLE_SECONDS": "5",
        "MP_SOURCE": "simulator",
        "MP_SYMBOLS": "IBM",
        "MP_VENDOR_CALLS_PER_MINUTE": "75",
        "MP_VENDOR_PLAN": "premium",
    }
    credentials = tmp_path / "auditor" / "unit"
    credentials.mkdir(parents=True)
    (credentials / "mp_postgresql_auditor_password").write_text(PASSWORD)
    return Running(Daemon("auditor", tmp_path / "auditor", environment), database)


@pytest.fixture
def running(auditor: Running) -> Iterator[Running]:
    with auditor.daemon.running():
        yield auditor


def test_a_deleted_bar_is_named_within_a_minute_and_resolved_when_it_is_back(running: Running) -> None:
    assert "complete: 1 symbols, 60 of 60 bars expected so far, 0 not traded" in running.said()
    running.database.query("DELETE FROM market.bar WHERE bar_time = %s", OPEN + 31 * MINUTE)
    said = "missing: IBM 2026-01-05 15:01 was deleted by postgres"
    eventually(lambda: said in running.said(), within=60, what="the bar is named", every=0.2)
    running.database.query("DELETE FROM market.bar WHERE bar_time = %s", OPEN + 32 * MINUTE)
    both = "found: kind=missing what='2 bars of IBM 2026-01-05 15:01 to 2026-01-05 15:02 were deleted by postgres'"
    eventually(lambda: both in running.daemon.log, within=60, what="the next one is named, too", every=0.2)
    running.database.query(f"INSERT INTO market.bar SELECT {COLUMNS} FROM market.bar_revision ON CONFLICT DO NOTHING")
    eventually(lambda: "complete: " in running.said(), within=60, what="the finding is over", every=0.2)
    log = running.daemon.log
    assert log.count("found: kind=missing what='IBM 2026-01-05 15:01 was deleted by postgres'") == 1
    assert log.count("resolved: kind=missing") == 1
    kept = running.database.query("SELECT kind, resolved_at IS NOT NULL FROM market.finding")
    assert kept == [("missing", True)]


def test_the_database_may_go_and_come_back(running: Running) -> None:
    database, server = running.database, running.database.server
    server.execute(
        f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}'",
    )
    eventually(lambda: "no answer from the database" in running.said(), within=60, what="it says so", every=0.2)
    server.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true")
    eventually(lambda: "complete: " in running.said(), within=60, what="it goes on", every=0.2)


@pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout"])
def test_an_audit_that_takes_too_long_is_given_up_said_and_repeated(auditor: Running, limit: str) -> None:
    database = auditor.database
    for setting in ("lock_timeout", "statement_timeout"):
        seconds = 2 if setting == limit else 0
        database.query(
            f"ALTER ROLE market_pulse_auditor IN DATABASE {database.name} SET {setting} = '{seconds}s'",
        )
    with auditor.daemon.running():
        with contextlib.closing(database.connect()) as other, other, other.cursor() as cursor:
            cursor.execute("LOCK TABLE market.completeness")
            eventually(lambda: "did not come to its end" in auditor.said(), within=60, what="it says so", every=0.2)
        eventually(lambda: "complete: " in auditor.said(), within=60, what="it goes on", every=0.2)
        assert "audit given up" in auditor.daemon.log


def test_a_round_over_all_sessions_that_is_given_up_is_not_hidden_by_the_looks_after_it(auditor: Running) -> None:
    database = auditor.database
    database.query(f"ALTER ROLE market_pulse_auditor IN DATABASE {database.name} SET lock_timeout = '2s'")
    with contextlib.closing(database.connect()) as other, other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE market.completeness")
        with auditor.daemon.running(ready=False):
            # The first one after the start is such a round.
            eventually(lambda: "did not come to its end" in auditor.said(), within=60, what="it says so", every=0.2)
            other.rollback()
            eventually(lambda: "complete: " in auditor.said(), within=60, what="it goes on", every=0.2)
    assert database.query("SELECT job FROM market.last_run") == [("audit",)]


def test_another_start_declares_what_is_collected_now(auditor: Running) -> None:
    with auditor.daemon.running():
        pass
    with auditor.daemon.with_environment(MP_SYMBOLS="AAPL").running():
        pass
    assert auditor.database.query("SELECT job FROM market.last_run ORDER BY job") == [("audit",), ("deep audit",)]
    query = "SELECT symbol, until IS NULL FROM market.series ORDER BY symbol, since"
    assert auditor.database.query(query) == [("AAPL", True), ("IBM", False)]


def test_a_missing_right_ends_it_loudly(auditor: Running) -> None:
    auditor.database.query("REVOKE EXECUTE ON FUNCTION market.audit FROM market_pulse_auditor")
    auditor.daemon.start()
    assert auditor.daemon.process is not None
    assert auditor.daemon.process.wait(timeout=30) != 0
    assert "permission denied for function audit" in auditor.daemon.log
