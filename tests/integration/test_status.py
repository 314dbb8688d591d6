"""What `market-pulse status` asks the database: as the monitor, and no question that grows with the years."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest

from integration.services.command import credentials_in, settings_of, stored_day
from integration.services.database import Database
from integration.upkept import fill
from market_pulse.cli import collect
from market_pulse.cli.facts import Facts, Ledger, Partition
from market_pulse.cli.finding import Level
from market_pulse.cli.report import assess
from market_pulse.errors import TopicError
from market_pulse.topic import Topic


@pytest.fixture
def facts(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Facts]:
    """Ask the database; there is no broker, and no unit."""

    def no_topic(*_: object) -> None:
        raise TopicError("there is no broker here")

    monkeypatch.setattr(collect, "look_up", no_topic)
    _have_systemctl(tmp_path, monkeypatch, do="true")
    monkeypatch.setattr(collect.host_facts, "look", lambda: None)
    return lambda: collect.facts(settings_of(database), credentials_in(tmp_path, "monitor"))


def test_few_bars_are_counted_and_many_are_estimated(
    database: Database, facts: Callable[[], Facts], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (facts().bars, set(facts().unreachable)) == (0, {"Kafka"})
    database.query("SELECT market.ensure_partitions('2025-11-01Z', '2025-12-01Z')")
    for month in ("2025-11", "2025-12"):
        fill(database, "bar", month)
    database.query("ANALYZE market.bar")
    counted = facts()
    assert (counted.bars, counted.bars_are_estimated) == (5000, False)
    monkeypatch.setattr(collect, "_MOST_COUNTED", 4999)
    estimated = facts()
    assert (estimated.bars, estimated.bars_are_estimated) == (5000, True)


def test_the_ledger_is_that_of_a_day(database: Database, facts: Callable[[], Facts]) -> None:
    stored_day(database)
    assert facts().ledger == Ledger(received=8, stored=6, unchanged=0, superseded=0, quarantined=2)
    database.query("UPDATE market.batch SET recorded_at = recorded_at - interval '25 hours'")
    assert facts().ledger == Ledger(0, 0, 0, 0, 0)


def test_bars_that_no_month_was_made_for_are_named(database: Database, facts: Callable[[], Facts]) -> None:
    fill(database, "bar", "2001-03")
    fill(database, "bar_revision", "2019-04")
    assert facts().months_in_default == (date(2001, 3, 1), date(2019, 4, 1))
    database.query("SELECT market.ensure_partitions(now(), now())")
    assert facts().months_in_default == ()


def test_without_the_database_nothing_is_said_of_how_far_partitions_are_stored(
    database: Database, facts: Callable[[], Facts], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(collect, "look_up", lambda *_: Topic("bars", uuid4(), {0: 0}, {0: 500_000}))
    assert facts().partitions == (Partition(0, 500_000, 0),)
    database.server.execute("ALTER ROLE market_pulse_monitor NOLOGIN")
    try:
        away = collect.facts(settings_of(database), credentials_in(tmp_path, "monitor"))
    finally:
        database.server.execute("ALTER ROLE market_pulse_monitor LOGIN")
    assert (set(away.unreachable), away.partitions) == ({"PostgreSQL"}, ())
    assert [finding.key for finding in assess(away).findings if finding.level is Level.DOWN][:1] == ["PostgreSQL"]
    assert "lag" not in [finding.key for finding in assess(away).findings]


def test_of_each_series_that_is_collected_the_newest_session_is_told(
    database: Database, facts: Callable[[], Facts]
) -> None:
    database.query(
        "INSERT INTO market.series (symbol, interval, since, until, exchange, extended_hours, ready_after)"
        " VALUES ('IBM', '1min', '2026-01-01Z', NULL, 'XNYS', false, '0'),"
        " ('IBM', '1min', '2025-01-01Z', '2025-06-01Z', 'XNYS', false, '0'),"
        " ('OLD', '1min', '2025-01-01Z', '2025-06-01Z', 'XNYS', false, '0'),"
        " ('NEW', '1min', '2026-01-01Z', NULL, 'XNYS', false, '0')"
    )
    database.query(
        "INSERT INTO market.completeness SELECT symbol, '1min', '2026-05-01'::date + day, 390, day, 0, 0, 0, 0, 0, 0,"
        " 390 - day, 0, 0 FROM unnest(ARRAY['IBM', 'OLD']) AS symbol, generate_series(0, 20) AS day"
    )
    assert [(one.symbol, one.trading_date, one.stored) for one in facts().completeness] == [
        ("IBM", date(2026, 5, 21), 20)
    ]


def test_a_service_manager_that_does_not_answer_in_time_is_named(
    facts: Callable[[], Facts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _have_systemctl(tmp_path, monkeypatch, do="exec sleep 60")
    monkeypatch.setattr(collect, "_DEADLINE_SECONDS", 0.2)
    assert facts().units is None
    assert "timed out after 0.2 seconds" in facts().unreachable["systemd"]


def _have_systemctl(directory: Path, monkeypatch: pytest.MonkeyPatch, *, do: str) -> None:
    program = directory / "systemctl"
    program.write_text(f"#!/bin/sh\n{do}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")
