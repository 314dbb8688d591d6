"""Figures of the backups: how old they are, when one was last proven, and what waits for the archive."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from market_pulse.cli.backups import Backups, Proven
from market_pulse.cli.facts import Facts
from market_pulse.cli.metrics.metric import Metric, Sample, one


def _of(read: Callable[[Backups], Iterable[Sample]]) -> Callable[[Facts], Iterable[Sample]]:
    """Return a metric's samples: what is read of the backups, where the database could be asked."""
    return lambda facts: read(facts.backups) if facts.backups else ()


def _proven(read: Callable[[Proven], float | datetime]) -> Callable[[Facts], Iterable[Sample]]:
    return _of(lambda backups: one(read(backups.proven) if backups.proven else None))


def _newest(backups: Backups) -> Iterator[Sample]:
    for kind, finished_at in {made.kind: made.finished_at for made in backups.made}.items():
        yield (kind,), finished_at.timestamp()


METRICS = (
    Metric(
        "backup_timestamp_seconds",
        "When the newest backup of a kind was finished: full, diff or incr.",
        ("kind",),
        ("backups.made.kind", "backups.made.finished_at"),
        _of(_newest),
    ),
    Metric(
        "restore_proven_timestamp_seconds",
        "When a restored backup last had the rows of the live tables.",
        (),
        ("backups.proven.finished_at",),
        _proven(lambda proven: proven.finished_at),
    ),
    Metric(
        "restore_proven_backup_timestamp_seconds",
        "When the backup was finished of which that was proven.",
        (),
        ("backups.proven.backup_at",),
        _proven(lambda proven: proven.backup_at),
    ),
    Metric(
        "restore_proven_bars",
        "How many bars it had.",
        (),
        ("backups.proven.bars",),
        _proven(lambda proven: proven.bars),
    ),
    Metric(
        "restore_failed_timestamp_seconds",
        "When the last restore ended, where it had other rows (different) or none to compare (failed).",
        ("verdict",),
        ("backups.failed.finished_at", "backups.failed.verdict"),
        _of(
            lambda backups: (
                [((backups.failed.verdict,), backups.failed.finished_at.timestamp())] if backups.failed else []
            )
        ),
    ),
    Metric(
        "wal_waiting_files",
        "Files of WAL that are to be archived.",
        (),
        ("backups.archive.waiting",),
        _of(lambda backups: one(backups.archive.waiting)),
    ),
    Metric(
        "wal_waiting_timestamp_seconds",
        "Since when the first of them waits.",
        (),
        ("backups.archive.waiting_since",),
        _of(lambda backups: one(backups.archive.waiting_since)),
    ),
    Metric(
        "wal_archived_timestamp_seconds",
        "When the last one was archived.",
        (),
        ("backups.archive.archived_at",),
        _of(lambda backups: one(backups.archive.archived_at)),
    ),
)
