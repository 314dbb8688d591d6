"""What is said of the database's standbys."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from market_pulse.alerts.settings import AlertSettings
from market_pulse.cli import render
from market_pulse.cli.facts import Facts
from market_pulse.cli.finding import Level
from market_pulse.cli.replication import Replication, Slot, Standby, findings, line
from market_pulse.cli.report import assess

NOW = datetime(2026, 1, 6, 5, 0, tzinfo=UTC)
STANDBY = Standby("10.0.0.2", behind_bytes=0, behind_seconds=0.0)
SLOT = Slot("standby_db2", is_active=True, is_lost=False)
WELL = Replication("10.0.0.1", (STANDBY,), (SLOT,))


def test_a_standby_that_follows_is_no_finding() -> None:
    late = replace(STANDBY, behind_bytes=50_000_000, behind_seconds=119.0)
    assert list(findings(WELL)) == []
    assert list(findings(replace(WELL, standbys=(late,)))) == []


@pytest.mark.parametrize(
    ("replication", "level", "key", "sentence"),
    [
        (
            replace(WELL, slots=(replace(SLOT, is_active=False),)),
            Level.ATTENTION,
            "standby streaming",
            "no standby streams from the database, of 1: ",
        ),
        # As after a promotion, when the old primary is not copied anew yet.
        (replace(WELL, slots=()), Level.ATTENTION, "standby streaming", "no standby streams from the database, of 1: "),
        (
            replace(WELL, standbys=(STANDBY, replace(STANDBY, host="10.0.0.3"))),
            Level.ATTENTION,
            "standby streaming",
            "1 standby streams from the database, of 2: ",
        ),
        (
            replace(WELL, slots=(Slot("standby_db2", is_active=False, is_lost=True),)),
            Level.ATTENTION,
            "standby slot standby_db2",
            "the slot standby_db2 is lost: its standby was away for longer than WAL is kept for it",
        ),
        (
            replace(WELL, standbys=(Standby("10.0.0.2", problem="connection refused"),)),
            Level.ATTENTION,
            "standby 10.0.0.2",
            "the standby 10.0.0.2 cannot be asked: connection refused",
        ),
        (
            replace(WELL, standbys=(replace(STANDBY, behind_bytes=4096, behind_seconds=120.5),)),
            Level.ATTENTION,
            "standby 10.0.0.2 behind",
            "the standby 10.0.0.2 is 120 s behind, 4096 bytes: ",
        ),
        (
            replace(WELL, standbys=(Standby("10.0.0.2", is_primary=True),)),
            Level.DOWN,
            "two primaries",
            "there are two primaries, 10.0.0.1 and 10.0.0.2: ",
        ),
    ],
)
def test_what_is_wrong_with_a_standby_is_said(replication: Replication, level: Level, key: str, sentence: str) -> None:
    (finding,) = findings(replication)
    assert (finding.level, finding.key) == (level, key)
    assert sentence in finding.sentence
    # Every host sees it, and one tells.
    assert not finding.of_host


@pytest.mark.parametrize("of_pipeline", [True, False])
def test_of_the_databases_hosts_the_primarys_tells_what_all_see(*, of_pipeline: bool) -> None:
    def tells(address: str, replication: Replication | None) -> bool:
        settings = AlertSettings.model_construct(alert_of_pipeline=of_pipeline, alert_address=address)
        return settings.tells_of_pipeline(replication)

    assert tells("10.0.0.1", WELL) is of_pipeline
    assert not tells("10.0.0.2", WELL)
    # Who cannot ask cannot know, and a database of one host has no other.
    assert tells("10.0.0.2", None) is of_pipeline


def test_the_screen_says_how_far_it_is_behind() -> None:
    said = "database: primary 10.0.0.1, 10.0.0.2 4096 bytes, 0.3 s behind"
    replication = replace(WELL, standbys=(replace(STANDBY, behind_bytes=4096, behind_seconds=0.25 + 0.05),))
    assert line(replication) == said
    out = io.StringIO()
    render.as_tables(assess(Facts(NOW, NOW, timedelta(minutes=1), replication=replication)), out)
    assert f"{said}\n" in out.getvalue()
    out = io.StringIO()
    render.as_tables(assess(Facts(NOW, NOW, timedelta(minutes=1))), out)
    assert "database: " not in out.getvalue()
