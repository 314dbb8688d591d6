"""What is said of backups, which of them is due, and what a restore is compared by."""

import io
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from market_pulse.backup import proof, scratch
from market_pulse.backup.content import Content, differences
from market_pulse.backup.job import next_kind
from market_pulse.backup.repository import Backup, Kind
from market_pulse.cli import render
from market_pulse.cli.backups import Archive, Backups, Failed, Made, Proven, findings, line
from market_pulse.cli.facts import Facts, Unit
from market_pulse.cli.finding import Level
from market_pulse.cli.report import assess
from market_pulse.errors import BackupError

NOW = datetime(2026, 1, 6, 5, 0, tzinfo=UTC)
MADE = Made("20260106-020000D", "diff", NOW - timedelta(hours=3))
PROVEN = Proven(NOW - timedelta(hours=3), NOW - timedelta(hours=3), 120_345)
FAILED = Failed(NOW - timedelta(hours=1), "failed", "no room for a scratch restore")
WELL = Backups((MADE,), PROVEN, None, Archive(0, None, NOW))


def full(age: timedelta, kind: Kind = Kind.FULL) -> Backup:
    return Backup("x", kind, NOW - age, NOW - age + timedelta(minutes=5), 0)


def test_backups_that_are_made_and_proven_are_not_mentioned() -> None:
    assert list(findings(WELL, NOW)) == []
    assert list(findings(replace(WELL, archive=Archive(3, NOW - timedelta(minutes=4), NOW)), NOW)) == []


@pytest.mark.parametrize(
    ("backups", "level", "key", "sentence"),
    [
        (replace(WELL, made=()), Level.ATTENTION, "backup", "no backup yet: systemctl restart market-pulse-backup"),
        (
            replace(WELL, made=(replace(MADE, finished_at=NOW - timedelta(days=2, seconds=1)),)),
            Level.ATTENTION,
            "backup",
            "the newest backup is of 2026-01-04 04:59 UTC",
        ),
        (
            replace(WELL, proven=None),
            Level.ATTENTION,
            "restore proof",
            "no restore is proven yet: systemctl restart market-pulse-restore-proof",
        ),
        (
            replace(WELL, proven=replace(PROVEN, finished_at=NOW - timedelta(days=2, seconds=1))),
            Level.ATTENTION,
            "restore proof",
            "no restore is proven since 2026-01-04 04:59 UTC",
        ),
        (
            replace(WELL, failed=FAILED),
            Level.ATTENTION,
            "restore",
            "no restore could be compared, 2026-01-06 04:00 UTC: no room for a scratch restore",
        ),
        (replace(WELL, failed=FAILED, proven=None), Level.ATTENTION, "restore", "no room for a scratch restore"),
        (
            replace(WELL, failed=replace(FAILED, verdict="different", sentence="market.bar_2026_01 has 7 rows")),
            Level.DOWN,
            "restore",
            "a restored backup is not what was backed up, 2026-01-06 04:00 UTC: market.bar_2026_01 has 7 rows",
        ),
        (
            replace(WELL, archive=Archive(3, NOW - timedelta(minutes=6), NOW - timedelta(hours=1))),
            Level.ATTENTION,
            "archive",
            "3 files of WAL have not been archived since 2026-01-06 04:54 UTC, the last one was on 2026-01-06 04:00",
        ),
        (
            replace(WELL, archive=Archive(1, NOW - timedelta(minutes=6), None)),
            Level.ATTENTION,
            "archive",
            "1 files of WAL have not been archived since 2026-01-06 04:54 UTC, none ever was",
        ),
    ],
)
def test_what_is_wrong_with_backups_is_said(backups: Backups, level: Level, key: str, sentence: str) -> None:
    (finding,) = findings(backups, NOW)
    assert (finding.level, finding.key) == (level, key)
    assert sentence in finding.sentence


@pytest.mark.parametrize(
    ("backups", "unit"),
    [
        (replace(WELL, made=(), proven=None), "market-pulse-backup"),
        (replace(WELL, proven=None), "market-pulse-backup"),
        (replace(WELL, proven=None), "market-pulse-restore-proof"),
    ],
)
def test_nothing_is_missed_that_is_being_made(backups: Backups, unit: str) -> None:
    facts = Facts(NOW, NOW, timedelta(minutes=1), backups=backups)
    job = Unit(unit, "activating", "start", "success", 0, "", is_job=True)
    assert "backup" not in str(assess(replace(facts, units=(job,))).findings)
    assert "systemctl restart" in str(assess(replace(facts, units=(replace(job, active="inactive"),))).findings)


@pytest.mark.parametrize(
    ("age", "words"),
    [(timedelta(minutes=119), "119 min"), (timedelta(hours=3), "3 h"), (timedelta(days=2), "2 days")],
)
def test_the_screen_says_when_a_restore_was_proven(age: timedelta, words: str) -> None:
    proven = replace(PROVEN, finished_at=NOW - age)
    said = f"backups: 1; restore proven {words} ago: 120345 bars, backup of 2026-01-06 02:00 UTC"
    assert line(replace(WELL, proven=proven), NOW) == said
    facts = Facts(NOW, NOW, timedelta(minutes=1), backups=replace(WELL, proven=proven))
    out = io.StringIO()
    render.as_tables(assess(facts), out)
    assert f"{said}\n" in out.getvalue()


def test_a_week_after_a_full_backup_another_one_is_due() -> None:
    day = timedelta(days=1)
    assert next_kind([], 7, NOW) is Kind.FULL
    assert next_kind([full(6 * day)], 7, NOW) is Kind.DIFFERENTIAL
    # A timer does not come to the second.
    assert next_kind([full(7 * day - timedelta(minutes=10))], 7, NOW) is Kind.FULL
    assert next_kind([full(8 * day), full(day, Kind.DIFFERENTIAL)], 7, NOW) is Kind.FULL
    assert next_kind([full(8 * day), full(day)], 7, NOW) is Kind.DIFFERENTIAL
    assert next_kind([full(day)], 1, NOW) is Kind.FULL


def test_each_table_that_differs_has_its_sentence() -> None:
    live = {name: Content(2, "1 2") for name in ("bar_2026_01", "batch", "quarantine", "series")}
    restored = {"bar_2026_01": Content(1, "1 1"), "batch": Content(2, "2 1"), "series": Content(2, "1 2")}
    assert differences(live, restored) == [
        "market.bar_2026_01 has 2 rows and 1 in the restored backup",
        "market.batch has other values in the restored backup, in as many rows",
        "market.quarantine is missing in the restored backup",
    ]
    assert differences(live, live | {"made_since": Content(9, "")}) == []


def test_a_restore_leaves_a_tenth_of_the_disk_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gibibyte = 1024**3
    disk = shutil.disk_usage(tmp_path)._replace(total=100 * gibibyte, free=20 * gibibyte)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    scratch.require_room(tmp_path, replace(full(timedelta()), size_bytes=9 * gibibyte))
    with pytest.raises(BackupError, match=r"takes 10\.5 GiB, and the disk under .* has 10\.0 GiB to spare"):
        scratch.require_room(tmp_path, replace(full(timedelta()), size_bytes=10 * gibibyte))


def test_many_tables_that_differ_leave_room_on_the_screen() -> None:
    marked = proof.Marked({"batch": Content(3, "")}, 0, "")
    backup = full(timedelta())
    outcome = proof._outcome(backup, marked, [f"market.t{number} is missing" for number in range(13)])  # noqa: SLF001 - no server is needed for it
    assert outcome.verdict is proof.Verdict.DIFFERENT
    assert outcome.sentence.endswith("market.t9 is missing; and 3 more tables")
