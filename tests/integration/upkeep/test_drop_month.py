"""What the database lets be dropped: an old month whose rows are those of a verified account, or that has none."""

import contextlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg2.errors
import psycopg2.extensions
import pytest
from tenacity import Retrying

from integration.services.database import Database
from integration.upkept import EDGE, NEWEST, Session, fill, session
from market_pulse import upkeep
from market_pulse.errors import UpkeepError
from market_pulse.upkeep import export, parquet
from market_pulse.upkeep.export import Exporter
from market_pulse.upkeep.partitions import Month, when_others_let

NOVEMBER = Month("bar", date(2025, 11, 1))
INVENT = """
INSERT INTO market.export (parent, month, part, file, row_count, content, sha256)
SELECT %(parent)s, %(month)s, 1, 'none.parquet', row_count, content, '' FROM market.content_of(%(parent)s, %(month)s);
SELECT market.verify_export(%(parent)s, %(month)s, 1)
"""
DROP = "SELECT market.drop_month(%s, %s, %s, %s)"


@pytest.fixture
def job(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """November to March, with rows in November and, for the newest bar, February."""
    database.query("SELECT market.ensure_partitions('2025-11-01Z', '2026-03-01Z')")
    database.query(NEWEST)
    with session(database, tmp_path, monkeypatch, keep="2") as made:
        yield made


def months(database: Database) -> set[str]:
    query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^bar_(revision_)?[0-9]{4}_'"
    return {name for (name,) in database.query(query)}


@pytest.mark.parametrize("month", [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)])
def test_a_month_that_may_still_be_written_is_never_dropped(database: Database, job: Session, month: date) -> None:
    fill(database, "bar", f"{month:%Y-%m}")
    with job.keeper as connection, connection.cursor() as cursor:
        cursor.execute(INVENT, {"parent": "bar", "month": month})
    for part in (1, None):
        with pytest.raises(psycopg2.errors.RaiseException, match="may be dropped"), job.keeper as connection:
            connection.cursor().execute(DROP, ("bar", month, part, "infinity"))
    assert f"bar_{month:%Y_%m}" in months(database)


def test_nothing_is_dropped_while_nothing_is_known_of_the_market(database: Database, job: Session) -> None:
    database.query("DELETE FROM market.latest_bar")
    with pytest.raises(psycopg2.errors.RaiseException, match="may be dropped"), job.keeper as connection:
        connection.cursor().execute(DROP, (*NOVEMBER, None, "infinity"))


def test_a_month_after_the_edge_stays(job: Session) -> None:
    with pytest.raises(psycopg2.errors.RaiseException, match="may be dropped"), job.keeper as connection:
        connection.cursor().execute(DROP, (*NOVEMBER, None, "2025-11-30"))


@pytest.mark.parametrize("part", [None, 1])
def test_a_month_with_rows_needs_a_verified_account(database: Database, job: Session, part: int | None) -> None:
    fill(database, "bar", "2025-11")
    unverified = INVENT.split(";", maxsplit=1)[0]
    with job.keeper as connection, connection.cursor() as cursor:
        cursor.execute(unverified, {"parent": "bar", "month": NOVEMBER.month})
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState), job.keeper as connection:
        connection.cursor().execute(DROP, (*NOVEMBER, part, "2025-12-01"))


@pytest.mark.parametrize("column", ["mark", "verified_at", "dropped_at"])
def test_what_was_verified_only_the_database_says(job: Session, column: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), job.keeper as connection:
        connection.cursor().execute(f"INSERT INTO market.export (parent, month, {column}) VALUES (NULL, NULL, NULL)")


_TAKE_OUT = "DELETE FROM market.bar WHERE request_id = 'r77'"
_PUT_BACK = f"""
CREATE TEMPORARY TABLE kept AS SELECT * FROM market.bar WHERE request_id = 'r77';
{_TAKE_OUT}; INSERT INTO market.bar SELECT * FROM kept
"""


@pytest.mark.parametrize("change", ["UPDATE market.bar SET close = close", _TAKE_OUT, _PUT_BACK])
def test_any_change_after_the_comparison_is_seen(database: Database, job: Session, change: str) -> None:
    fill(database, "bar", "2025-11")
    with job.keeper as connection, connection.cursor() as cursor:
        cursor.execute(INVENT, {"parent": "bar", "month": NOVEMBER.month})
    database.query(change)
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState), job.keeper as connection:
        connection.cursor().execute(DROP, (*NOVEMBER, 1, "2025-12-01"))
    assert "bar_2025_11" in months(database)


def test_a_late_revision_waits_for_no_comparison(database: Database, job: Session) -> None:
    """While a month is compared, only readers' locks are held."""
    fill(database, "bar", "2025-11")
    with contextlib.closing(database.connect("writer")) as writer, job.keeper as connection:
        connection.cursor().execute(INVENT, {"parent": "bar", "month": NOVEMBER.month})
        with writer, writer.cursor() as cursor:
            cursor.execute("SET lock_timeout = '10s'")
            cursor.execute("UPDATE market.bar SET close = close WHERE request_id = 'r77'")
            assert cursor.rowcount == 1


def test_a_revision_between_comparison_and_drop_is_exported_with_its_month(
    database: Database, job: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, "bar", "2025-11")
    late = iter(["UPDATE market.bar SET close = close + 1 WHERE request_id = 'r77'"])

    def late_for(month: Month) -> Retrying:
        for statement in late:
            database.query(statement)
        return when_others_let(month)

    monkeypatch.setattr(export, "when_others_let", late_for)
    assert "2 months dropped" in upkeep.run(*job)
    folder = job.settings.state_directory / "export"
    assert [path.name for path in sorted(folder.iterdir())] == ["bar_2025_11.2.json", "bar_2025_11.2.parquet"], (
        "what was not the last copy is gone"
    )
    assert database.query("SELECT part, dropped_at IS NULL FROM market.export ORDER BY part") == [(1, True), (2, False)]


def test_a_month_that_fails_does_not_keep_the_others(database: Database, job: Session) -> None:
    for table in ("bar", "bar_revision"):
        fill(database, table, "2025-11")
    database.query("UPDATE market.bar SET low = 0.000000001 WHERE request_id = 'r77'")
    with pytest.raises(UpkeepError, match=r"export of bar_2025_11: .* would cause data loss"):
        upkeep.run(*job)
    assert {"bar_2025_11", "bar_revision_2025_11"} & months(database) == {"bar_2025_11"}
    assert database.query("SELECT count(*) FROM market.last_run") == [(0,)]


def test_empty_months_leave_without_a_file(database: Database, job: Session) -> None:
    database.query("SELECT market.ensure_partitions('2025-01-01Z', '2025-10-01Z')")
    assert "22 months dropped" in upkeep.run(*job)
    assert not (job.settings.state_directory / "export").exists()
    assert database.query("SELECT count(*) FROM market.export") == [(0,)]
    assert "0 partitions made" in upkeep.run(*job)


def test_the_names_in_a_new_folder_and_its_own_outlive_a_power_cut(
    database: Database, job: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, "bar", "2025-11")
    synced: list[Path] = []
    monkeypatch.setattr(export, "_sync", synced.append)
    Exporter(job.keeper, job.settings.state_directory / "export", EDGE).export(NOVEMBER)
    assert synced == [job.settings.state_directory, job.settings.state_directory / "export"]
    assert parquet.content(job.settings.state_directory / "export" / "bar_2025_11.parquet").row_count == 2500
