"""What `market-pulse status` finds wrong, and how wrong: facts in, findings and a level out."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from market_pulse.cli.facts import Facts, Ledger, Partition, Run
from market_pulse.cli.finding import Finding, Level
from market_pulse.cli.report import assess
from support.status_facts import CONSUMER, DELETED, FULL, IBM, NOW, RUNS, UPKEEP, WELL, polled


def test_a_pipeline_that_is_well_has_no_finding() -> None:
    report = assess(WELL)
    assert report.findings == ()
    assert report.level is Level.WELL


@pytest.mark.parametrize(
    ("facts", "level", "sentence"),
    [
        (replace(WELL, units=()), Level.DOWN, "no unit of market-pulse"),
        (replace(WELL, losses=("offsets 0 to 3 were gone",)), Level.ATTENTION, "lost: offsets 0 to 3 were gone"),
        (
            replace(WELL, units=(replace(CONSUMER, active="failed", sub="failed", result="exit-code"),)),
            Level.DOWN,
            "market-pulse-consumer is failed (exit-code)",
        ),
        (
            replace(WELL, units=(replace(CONSUMER, active="activating", sub="start"),)),
            Level.ATTENTION,
            "market-pulse-consumer is activating (start)",
        ),
        (replace(WELL, unreachable={"Kafka": "no brokers"}), Level.DOWN, "Kafka cannot be asked: no brokers"),
        (
            replace(WELL, units=None, unreachable={"systemd": "timed out"}),
            Level.DOWN,
            "systemd cannot be asked: timed out",
        ),
        (replace(WELL, bars=0), Level.ATTENTION, "no bar is stored yet"),
        (
            replace(WELL, months_in_default=(date(2001, 3, 1), date(2001, 4, 1))),
            Level.ATTENTION,
            "bars of 2001-03 and of 1 more months are in the default partition: systemctl start market-pulse-upkeep",
        ),
        (replace(WELL, quarantine={"bad_price": 3}), Level.ATTENTION, "in quarantine: 3 bad_price"),
        (replace(WELL, partitions=(Partition(0, 20_001, 1),)), Level.ATTENTION, "20000 records"),
        (replace(WELL, partitions=(Partition(4, 10, 12),)), Level.DOWN, "partition 4 ends at offset 10"),
        (
            replace(WELL, partitions=(Partition(4, 10, 12, "partition 4 lost 10 and 11"),)),
            Level.DOWN,
            "nothing is stored until it is accepted: partition 4 lost 10 and 11",
        ),
        (replace(WELL, ledger=Ledger(101, 92, 5, 3, 0)), Level.DOWN, "the ledger does not add up"),
        (replace(WELL, audit=(DELETED,)), Level.ATTENTION, "missing: IBM 2026-01-05 14:31 was deleted by postgres"),
        (replace(WELL, runs={}), Level.ATTENTION, "market-pulse-auditor has never come to its end"),
        (
            replace(WELL, runs=RUNS | {"audit": Run(NOW - timedelta(minutes=3), "")}),
            Level.ATTENTION,
            "market-pulse-auditor has not come to its end since 2026-01-05 14:57 UTC",
        ),
        (
            replace(WELL, runs=RUNS | {"deep audit": Run(NOW - timedelta(minutes=61), "")}),
            Level.ATTENTION,
            "market-pulse-auditor's round over all sessions has not come to its end since 2026-01-05 13:59 UTC",
        ),
        (
            replace(WELL, runs=RUNS | {"upkeep": Run(NOW - timedelta(days=3), "")}),
            Level.ATTENTION,
            "market-pulse-upkeep has not come to its end since 2026-01-02",
        ),
        (
            replace(WELL, units=(CONSUMER, replace(UPKEEP, active="failed", result="exit-code"))),
            Level.DOWN,
            "market-pulse-upkeep is failed (exit-code)",
        ),
        (
            replace(WELL, units=(replace(CONSUMER, active="inactive", sub="dead"),)),
            Level.DOWN,
            "market-pulse-consumer is inactive (success)",
        ),
    ],
)
def test_what_is_wrong_is_said(facts: Facts, level: Level, sentence: str) -> None:
    report = assess(facts)
    assert report.level is level
    assert sentence in report.findings[0].sentence


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (replace(WELL, unreachable={"Kafka": "a"}), replace(WELL, unreachable={"Kafka": "b"})),
        (replace(WELL, quarantine={"bad_price": 3}), replace(WELL, quarantine={"bad_price": 4})),
        (replace(WELL, partitions=(Partition(0, 20_001, 1),)), replace(WELL, partitions=(Partition(0, 30_001, 1),))),
        (replace(WELL, partitions=(Partition(4, 10, 12),)), replace(WELL, partitions=(Partition(4, 11, 12),))),
        (replace(WELL, ledger=Ledger(101, 92, 5, 3, 0)), replace(WELL, ledger=Ledger(102, 92, 5, 3, 0))),
        (replace(WELL, audit=(DELETED,)), replace(WELL, audit=(replace(DELETED, sentence="two bars are missing"),))),
        (
            replace(WELL, runs={job: RUNS[job] for job in ("deep audit", "upkeep")}),
            replace(WELL, runs=RUNS | {"audit": RUNS["upkeep"]}),
        ),
        (
            replace(WELL, units=(replace(CONSUMER, active="failed", sub="failed"),)),
            replace(WELL, units=(replace(CONSUMER, active="activating", sub="auto-restart"),)),
        ),
    ],
)
def test_a_finding_keeps_its_key_while_its_figures_change(before: Facts, after: Facts) -> None:
    (one,), (other,) = assess(before).findings, assess(after).findings
    assert one.sentence != other.sentence
    assert one.key == other.key


def test_different_findings_have_different_keys() -> None:
    facts = replace(
        WELL,
        units=(replace(CONSUMER, active="failed"), replace(UPKEEP, result="exit-code")),
        audit=(DELETED, replace(DELETED, subject="AAPL 1min"), replace(DELETED, kind="changed")),
        bars=0,
        quarantine={"bad_price": 1},
        partitions=(Partition(0, 20_001, 1), Partition(1, 10, 12), Partition(2, 10, 12, "lost")),
        runs={},
        unreachable={"Kafka": "", "PostgreSQL": ""},
    )
    keys = [finding.key for finding in assess(facts).findings]
    assert len(keys) == len(set(keys)) == 15


def test_what_the_host_lacks_is_of_the_host() -> None:
    report = assess(replace(WELL, host=FULL))
    (finding,) = report.findings
    assert (report.level, finding.key, finding.of_host) == (Level.DOWN, "disk /var/log", True)


def test_lag_is_told_in_market_time() -> None:
    late = polled(IBM=IBM.bar_time + timedelta(minutes=2, seconds=1), MSFT=IBM.bar_time + timedelta(minutes=9))
    (finding,) = assess(late).findings
    assert finding == Finding(
        Level.ATTENTION,
        "MSFT is stored 0:09:00 of market time behind what was polled, and 1 more symbols are late",
        "lag in time",
        of_host=True,
    )


@pytest.mark.parametrize(
    "facts",
    [
        polled(IBM=IBM.bar_time + timedelta(minutes=2)),
        # A market that runs sixty times as fast moves on while bars are on their way.
        replace(polled(IBM=IBM.bar_time + timedelta(minutes=29)), grace=timedelta(minutes=30)),
        # Nothing is under way: the newest bar was refused, and is counted in quarantine.
        replace(polled(IBM=IBM.bar_time + timedelta(hours=1)), partitions=(Partition(0, 60, 60),)),
        # The answer to a question that came later than that about the stored bars.
        polled(IBM=IBM.bar_time - timedelta(minutes=1)),
        polled(ORCL=NOW),
    ],
    ids=["two intervals", "fast market", "nothing waits", "newer is stored", "nothing is stored yet"],
)
def test_what_is_on_its_way_is_not_late(facts: Facts) -> None:
    assert assess(facts).findings == ()


def test_bars_that_cannot_leave_the_outbox_are_late() -> None:
    facts = replace(polled(IBM=NOW + timedelta(minutes=5)), partitions=(Partition(0, 60, 60),))
    assert assess(replace(facts, producer={**(facts.producer or {}), "outbox": 5})).findings[0].key == "lag in time"


def test_a_job_that_runs_is_no_fault() -> None:
    running = replace(UPKEEP, active="activating", sub="start")
    assert assess(replace(WELL, units=(CONSUMER, running))).level is Level.WELL


def test_a_database_that_cannot_be_asked_says_nothing_of_the_audit() -> None:
    report = assess(Facts(NOW, NOW, timedelta(minutes=1), units=(CONSUMER,), unreachable={"PostgreSQL": "refused"}))
    assert [finding.sentence for finding in report.findings] == ["PostgreSQL cannot be asked: refused"]


def test_many_findings_of_the_audit_leave_room_on_the_screen() -> None:
    report = assess(replace(WELL, audit=(DELETED,) * 25))
    assert len(report.findings) == 11
    assert report.findings[-1].sentence == "and 15 more findings: see market.finding"


def test_the_worst_finding_sets_the_exit_code() -> None:
    facts = replace(WELL, bars=0, unreachable={"PostgreSQL": "refused"})
    assert assess(facts).level is Level.DOWN
