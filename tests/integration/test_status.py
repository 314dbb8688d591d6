"""What `market-pulse status` asks the database: as the monitor, and no question that grows with the years."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from integration.services.command import credentials_in, settings_of, stored_day
from integration.services.database import Database
from integration.upkept import fill
from market_pulse.cli import collect
from market_pulse.cli.facts import Facts, Ledger
from market_pulse.errors import TopicError


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
