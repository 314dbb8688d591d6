"""The proof: the newest backup, restored and recovered to an instant of now, holds what the live tables held then."""

import contextlib
import enum
import logging
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from market_pulse import log
from market_pulse.backup import scratch
from market_pulse.backup.content import Marked, contents, differences, mark
from market_pulse.backup.repository import Backup, Repository
from market_pulse.backup.server import connect, is_standby
from market_pulse.backup.settings import ProofSettings
from market_pulse.errors import BackupError

_ARCHIVED_WITHIN = timedelta(minutes=10)
_MOST_NAMED = 10
_WAITS = "SELECT EXISTS (SELECT FROM pg_ls_archive_statusdir() WHERE name = %s)"
_FAILED = "SELECT last_failed_wal, last_failed_time FROM pg_stat_archiver"
_NOTE = """
INSERT INTO market.restore_proof (finished_at, verdict, sentence, backup, backup_at, row_count, bars)
VALUES (clock_timestamp(), %s, %s, %s, %s, %s, %s)
"""

_log = logging.getLogger(__name__)


class Verdict(enum.StrEnum):
    """How a restore ended: with the live rows, with others, or not at all."""

    PROVEN = "proven"
    DIFFERENT = "different"
    FAILED = "failed"


class Outcome(NamedTuple):
    """One attempt; what it did not come to is None."""

    verdict: Verdict
    sentence: str
    backup: str | None = None
    backup_at: datetime | None = None
    row_count: int | None = None
    bars: int | None = None


def run(settings: ProofSettings) -> Outcome:
    """Restore the newest backup, compare, and note how it ended, also where it did not come to a comparison.

    Raises:
        psycopg2.Error: the live server cannot be asked, or not be told.
    """
    try:
        outcome = prove(settings)
    except (BackupError, OSError, psycopg2.Error) as error:
        outcome = Outcome(Verdict.FAILED, " ".join(str(error).split()))
    session = _session(settings)
    with contextlib.closing(session), session, session.cursor() as cursor:
        cursor.execute(_NOTE, outcome)
    return outcome


def prove(settings: ProofSettings) -> Outcome:
    """Restore the newest backup to an instant of now, and return whether its rows are those of the live server then.

    Raises:
        BackupError: there is no backup, no room, or no way from the backup to the instant.
        OSError: the state directory cannot be written to.
        psycopg2.Error: the live server cannot be asked.
    """
    repository = Repository(settings.backup_stanza)
    backups = repository.backups()
    if not backups:
        raise BackupError("there is no backup to restore yet: systemctl restart market-pulse-backup")
    backup = backups[-1]
    scratch.require_room(settings.state_directory, backup)
    point = f"market_pulse_proof_{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    marked = mark(lambda: _session(settings), point)
    _await_archived(settings, marked.wal_file)
    log.event(_log, logging.INFO, "restoring", backup=backup.label, up_to=point)
    with scratch.restored(settings, repository, backup, point) as session, session.cursor() as cursor:
        found = differences(marked.contents, contents(cursor, marked.contents))
    return _outcome(backup, marked, found)


def _outcome(backup: Backup, marked: Marked, found: list[str]) -> Outcome:
    row_count = sum(content.row_count for content in marked.contents.values())
    if found:
        more = f"; and {len(found) - _MOST_NAMED} more tables" if len(found) > _MOST_NAMED else ""
        verdict, sentence = Verdict.DIFFERENT, "; ".join(found[:_MOST_NAMED]) + more
    else:
        verdict = Verdict.PROVEN
        sentence = f"{row_count} rows in {len(marked.contents)} tables are the same, {marked.bars} of them bars"
    return Outcome(verdict, sentence, backup.label, backup.finished_at, row_count, marked.bars)


def _await_archived(settings: ProofSettings, wal_file: str) -> None:
    with contextlib.closing(_session(settings)) as session:
        session.autocommit = True
        waiting = Retrying(
            retry=retry_if_result(bool),
            stop=stop_after_delay(_ARCHIVED_WITHIN),
            wait=wait_fixed(timedelta(seconds=0.2)),
        )
        try:
            waiting(_waits, session, wal_file)
        except RetryError:
            with session.cursor() as cursor:
                cursor.execute(_FAILED)
                ((failed, at),) = cursor.fetchall()
            raise BackupError(
                f"the WAL up to now was not archived within {_ARCHIVED_WITHIN}: {wal_file} waits"
                + (f", and {failed} failed at {at:%Y-%m-%d %H:%M} UTC" if failed else "")
            ) from None


def _waits(session: Connection, wal_file: str) -> bool:
    with session.cursor() as cursor:
        cursor.execute(_WAITS, (f"{wal_file}.ready",))
        ((waits,),) = cursor.fetchall()
    return bool(waits)


def _session(settings: ProofSettings) -> Connection:
    return connect(settings.database_socket, settings.database_port, settings.database_name)


def main() -> None:
    """Run once; the timer says when."""
    log.setup()
    settings = ProofSettings.load()
    if is_standby(settings):
        log.event(_log, logging.INFO, "nothing done", why="the server of this host is a standby")
        return
    outcome = run(settings)
    if outcome.verdict is not Verdict.PROVEN:
        raise BackupError(f"{outcome.verdict}: {outcome.sentence}")
    log.event(_log, logging.INFO, "restore proven", backup=outcome.backup, what=outcome.sentence)
