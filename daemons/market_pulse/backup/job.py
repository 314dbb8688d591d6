"""The nightly backup, and the account of the repository in the database, where `market-pulse status` finds it."""

import contextlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from psycopg2.extras import execute_values

from market_pulse import log
from market_pulse.backup.repository import Backup, Kind, Repository
from market_pulse.backup.server import connect, is_standby
from market_pulse.backup.settings import BackupSettings

# A night's backup begins a little earlier or later than the one a week before.
_HALF_A_DAY = timedelta(hours=12)
_NOTE = "INSERT INTO market.backup (label, kind, finished_at) VALUES %s"

_log = logging.getLogger(__name__)


def next_kind(backups: Sequence[Backup], full_days: int, now: datetime) -> Kind:
    """Return which kind is due: a full one where there is none of the last days, or what has changed since."""
    newest = max((backup.started_at for backup in backups if backup.kind is Kind.FULL), default=None)
    if newest is None or now - newest >= timedelta(days=full_days) - _HALF_A_DAY:
        return Kind.FULL
    return Kind.DIFFERENTIAL


def run(settings: BackupSettings) -> Backup:
    """Make the backup that is due, note what the repository now holds, and return the new one.

    Raises:
        BackupError: it could not be made.
        psycopg2.Error: it is made, and could not be noted.
    """
    repository = Repository(settings.backup_stanza)
    repository.back_up(next_kind(repository.backups(), settings.backup_full_days, datetime.now(UTC)))
    backups = repository.backups()
    session = connect(settings.database_socket, settings.database_port, settings.database_name)
    with contextlib.closing(session), session, session.cursor() as cursor:
        cursor.execute("DELETE FROM market.backup")
        execute_values(cursor, _NOTE, [(backup.label, backup.kind, backup.finished_at) for backup in backups])
    return backups[-1]


def main() -> None:
    """Run once; the timer says when."""
    log.setup()
    settings = BackupSettings.load()
    if is_standby(settings):
        log.event(_log, logging.INFO, "nothing done", why="the server of this host is a standby")
        return
    made = run(settings)
    seconds = (made.finished_at - made.started_at).total_seconds()
    log.event(
        _log, logging.INFO, "done", backup=made.label, kind=made.kind, bytes=made.size_bytes, seconds=f"{seconds:.0f}"
    )
