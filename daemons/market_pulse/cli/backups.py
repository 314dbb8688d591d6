"""What is known of the backups, and what is said where they are not made or not proven. Pure; nothing here looks."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from market_pulse.cli.finding import Finding, Level

# Both are made every night.
_FRESH = timedelta(days=2)
_BACKUP, _PROOF = "market-pulse-backup", "market-pulse-restore-proof"
# A file of WAL is full, or five minutes old, when it begins to wait.
_ARCHIVED_WITHIN = timedelta(minutes=5)


@dataclass(frozen=True)
class Made:
    """One backup in the repository: `kind` is full, diff or incr."""

    label: str
    kind: str
    finished_at: datetime


@dataclass(frozen=True)
class Proven:
    """The last restore that had the live rows: of which backup, and how many bars."""

    finished_at: datetime
    backup_at: datetime
    bars: int


@dataclass(frozen=True)
class Failed:
    """The last restore, where it had not: `verdict` is different, or failed where there was nothing to compare."""

    finished_at: datetime
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Archive:
    """The WAL on its way into the repository: how many files wait, since when, and when the last one arrived."""

    waiting: int
    waiting_since: datetime | None
    archived_at: datetime | None


@dataclass(frozen=True)
class Backups:
    """The backups in the repository, the newest last, how the last restores ended, and the WAL since."""

    made: tuple[Made, ...]
    proven: Proven | None
    failed: Failed | None
    archive: Archive


def findings(backups: Backups, now: datetime, at_work: Collection[str] = ()) -> Iterator[Finding]:
    """Say what keeps the database from being restored to any instant up to now, or nobody knows.

    Of units that are at work nothing is said that is over when they come to their end.
    """
    if not backups.made:
        if _BACKUP not in at_work:
            yield _attention(f"there is no backup yet: systemctl restart {_BACKUP}", "backup")
    elif now - (newest := backups.made[-1].finished_at) > _FRESH:
        yield _attention(f"the newest backup is of {_minute(newest)}: systemctl status {_BACKUP}", "backup")
    yield from _proof_findings(backups, now, is_at_work=not {_BACKUP, _PROOF}.isdisjoint(at_work))
    archive = backups.archive
    if archive.waiting_since is not None and now - archive.waiting_since > _ARCHIVED_WITHIN:
        last = f"the last one was on {_minute(archive.archived_at)}" if archive.archived_at else "none ever was"
        yield _attention(
            f"{archive.waiting} files of WAL have not been archived since {_minute(archive.waiting_since)}, {last}: "
            "what has changed since is in no backup; /var/log/postgresql/ on the database's host says why",
            "archive",
        )


def _proof_findings(backups: Backups, now: datetime, *, is_at_work: bool) -> Iterator[Finding]:
    if (failed := backups.failed) is not None:
        different = failed.verdict == "different"
        what = "a restored backup is not what was backed up" if different else "no restore could be compared"
        level = Level.DOWN if different else Level.ATTENTION
        yield Finding(level, f"{what}, {_minute(failed.finished_at)}: {failed.sentence}", "restore")
    if backups.proven is None:
        if backups.made and failed is None and not is_at_work:
            yield _attention(f"no restore is proven yet: systemctl restart {_PROOF}", "restore proof")
    elif now - backups.proven.finished_at > _FRESH:
        yield _attention(
            f"no restore is proven since {_minute(backups.proven.finished_at)}: systemctl status {_PROOF}",
            "restore proof",
        )


def line(backups: Backups, now: datetime) -> str:
    """Return what the screen shows while all is well."""
    if backups.proven is None:
        return f"backups: {len(backups.made)}, no restore is proven yet"
    proven = backups.proven
    return (
        f"backups: {len(backups.made)}; restore proven {_age(now - proven.finished_at)} ago: {proven.bars} bars, "
        f"backup of {_minute(proven.backup_at)}"
    )


def _attention(sentence: str, key: str) -> Finding:
    return Finding(Level.ATTENTION, sentence, key)


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _age(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    if minutes < 120:  # noqa: PLR2004 - two hours, below which an hour more or less matters
        return f"{minutes} min"
    return f"{minutes // 60} h" if age < _FRESH else f"{age.days} days"
