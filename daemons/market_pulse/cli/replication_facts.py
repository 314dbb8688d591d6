"""Asks the primary what it keeps for its standbys, and each of them how far it is."""

import contextlib
from datetime import datetime
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names its classes in lower case

from market_pulse.cli.database import connect
from market_pulse.cli.replication import Replication, Slot, Standby
from market_pulse.cli.settings import CliSettings

# Those that the playbook makes; an operator may have others, of which nothing is known here.
_SLOTS = r"""
SELECT slot_name, active, wal_status = 'lost' FROM pg_replication_slots
WHERE slot_name LIKE 'standby\_%' ORDER BY slot_name
"""
_REACHED = "SELECT pg_current_wal_lsn()::text, clock_timestamp()"
_FOLLOWED = """
SELECT
    pg_is_in_recovery(),
    greatest(pg_wal_lsn_diff(%(reached)s::pg_lsn, pg_last_wal_replay_lsn()), 0)::bigint,
    extract(epoch FROM %(at)s - pg_last_xact_replay_timestamp())::float
"""


def look(settings: CliSettings, credentials: Path, primary: Connection) -> Replication | None:
    """Return what a session with the primary, and one with each other host, tell; None where there is no other host.

    Raises:
        psycopg2.Error: the primary does not answer.
    """
    hosts = settings.database_host.split(",")
    # No transaction is left open while the others are asked, which may take longer than it may.
    with primary, primary.cursor() as cursor:
        cursor.execute(_SLOTS)
        slots = tuple(Slot(*row) for row in cursor)
        if len(hosts) == 1 and not slots:
            return None
        cursor.execute(_REACHED)
        ((reached, at),) = cursor.fetchall()
    others = [host for host in hosts if host != primary.info.host]
    return Replication(
        primary.info.host, tuple(_standby(settings, credentials, host, reached, at) for host in others), slots
    )


def _standby(settings: CliSettings, credentials: Path, host: str, reached: str, at: datetime) -> Standby:
    try:
        session = connect(settings, credentials=credentials, host=host)
        with contextlib.closing(session), session.cursor() as cursor:
            cursor.execute(_FOLLOWED, {"reached": reached, "at": at})
            ((in_recovery, behind_bytes, behind_seconds),) = cursor.fetchall()
    except psycopg2.Error as error:
        return Standby(host, problem=" ".join(str(error).split()) or type(error).__name__)
    if not in_recovery:
        return Standby(host, is_primary=True)
    if not behind_bytes:
        return Standby(host, behind_bytes=0, behind_seconds=0.0)
    # Since its start it may not have replayed anything.
    return Standby(host, behind_bytes=behind_bytes, behind_seconds=behind_seconds and max(behind_seconds, 0.0))
