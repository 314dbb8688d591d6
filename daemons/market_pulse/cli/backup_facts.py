"""Asks the database what it knows of its backups."""

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names its classes in lower case

from market_pulse.cli.backups import Archive, Backups, Failed, Made, Proven

_MADE = "SELECT label, kind, finished_at FROM market.backup ORDER BY finished_at, label"
_PROVEN = """
SELECT finished_at, backup_at, bars FROM market.restore_proof
WHERE verdict = 'proven' ORDER BY finished_at DESC LIMIT 1
"""
_FAILED = """
SELECT finished_at, verdict, sentence FROM (
    SELECT finished_at, verdict, sentence FROM market.restore_proof ORDER BY finished_at DESC LIMIT 1
) AS newest
WHERE verdict <> 'proven'
"""
_ARCHIVE = """
SELECT count(*), min(waiting.modification), (SELECT last_archived_time FROM pg_stat_archiver)
FROM pg_ls_archive_statusdir() AS waiting
WHERE waiting.name LIKE '%.ready'
"""


def look(cursor: Cursor) -> Backups:
    """Return what the monitor can see; no question takes longer as the database grows."""
    cursor.execute(_MADE)
    made = tuple(Made(*row) for row in cursor)
    cursor.execute(_PROVEN)
    proven = cursor.fetchone()
    cursor.execute(_FAILED)
    failed = cursor.fetchone()
    cursor.execute(_ARCHIVE)
    ((waiting, waiting_since, archived_at),) = cursor.fetchall()
    return Backups(
        made,
        Proven(*proven) if proven else None,
        Failed(*failed) if failed else None,
        Archive(waiting, waiting_since, archived_at),
    )
