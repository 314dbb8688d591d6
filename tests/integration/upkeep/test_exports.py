"""Months that leave a real database for files, whatever happens on the way."""

import contextlib
import io
import json
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg2.errors
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from integration.services.database import Database
from integration.upkept import EDGE, NEWEST, Old, Session, fill, settings_of
from market_pulse.cli import app
from market_pulse.upkeep import export, parquet
from market_pulse.upkeep.export import Exporter

# Where the power goes: at the call of a function, or just after it.
KILLS = {
    "before anything is written": (parquet, "write", False),
    "with half a file": (parquet, "_table", False),
    "with a file not read back": (parquet, "content", False),
    "before the manifest": (export, "_write_manifest", False),
    "with a manifest and no file": (export, "_write_manifest", True),
    "with a file and no account of it": (export, "_sync", True),
    "before the month is dropped": (Exporter, "_drop", False),
    "after the first of two months": (Exporter, "_drop", True),
}


@pytest.fixture
def old(database: Database, job: Session, tmp_path: Path) -> Old:
    database.query("SELECT market.ensure_partitions('2025-11-01Z', '2026-03-01Z')")
    month = Old(database, tmp_path / "export", job.keeper)
    for table in ("bar", "bar_revision"):
        fill(database, table, "2025-11")
    database.query(NEWEST)
    return month


@pytest.mark.parametrize("table", ["bar", "bar_revision"])
def test_a_file_has_every_column_of_its_table(database: Database, table: str) -> None:
    columns = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'market' AND table_name = %s"
    assert {name for (name,) in database.query(columns, table)} == set(parquet.SCHEMAS[table].names)


def test_a_month_leaves_for_files_exactly(old: Old) -> None:
    before = {table: old.rows(table) for table in ("bar", "bar_revision")}
    assert old.export() == ["bar_2025_11", "bar_revision_2025_11"]
    for table, rows in before.items():
        assert old.rows(table) == []
        assert old.filed(table) == sorted(rows, key=str)
        schema = pq.read_schema(old.folder / f"{table}_2025_11.parquet")
        assert str(schema.field("open").type) == "decimal128(20, 8)"
        assert str(schema.field("bar_time").type) == "timestamp[us, tz=UTC]"
        manifest = json.loads((old.folder / f"{table}_2025_11.json").read_text())
        assert manifest["rows"] == 2500
        assert manifest["sha256"] == parquet.sha256(old.folder / f"{table}_2025_11.parquet")
        assert manifest["columns"]["close"] == "decimal128(20, 8)"
    assert old.database.query("SELECT count(*) FROM market.deletion") == [(0,)], "nobody deleted anything"
    assert old.export() == [], "a second run is a no-op"


@pytest.mark.parametrize(("where", "name", "after"), KILLS.values(), ids=KILLS)
def test_killed_at_any_step_nothing_is_lost_and_the_next_run_finishes(
    old: Old,
    job: Session,
    where: object,
    name: str,
    after: bool,  # noqa: FBT001
) -> None:
    before = {table: sorted(old.rows(table), key=str) for table in ("bar", "bar_revision")}
    old.export_and_be_killed(job.settings, where, name, after=after)
    for table, rows in before.items():
        assert sorted(old.rows(table), key=str) + old.filed(table) == rows
    assert old.export()
    for table, rows in before.items():
        assert (old.rows(table), old.filed(table)) == ([], rows)
    files = {path.name: path.read_bytes() for path in old.folder.glob("*.parquet")}
    assert old.export() == []
    assert {path.name: path.read_bytes() for path in old.folder.glob("*.parquet")} == files


def test_the_daily_run_exports_what_is_older_than_is_kept(old: Old, tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from market_pulse.upkeep import main; main()"]
    done = subprocess.run(
        program, env=settings_of(old.database, tmp_path, keep="2"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "2 months dropped" in done.stderr
    assert sorted(path.name for path in old.folder.glob("*.parquet")) == [
        "bar_2025_11.parquet",
        "bar_revision_2025_11.parquet",
    ]


def test_bars_that_come_after_their_month_had_left_are_a_further_part(old: Old) -> None:
    old.export()
    first = (old.folder / "bar_2025_11.parquet").read_bytes()
    fill(old.database, "bar", "2025-11", symbol="LATE")
    old.database.query("SELECT market.ensure_partitions('2026-02-01Z', '2026-02-01Z')")
    assert old.export() == ["bar_2025_11"]
    assert (old.folder / "bar_2025_11.parquet").read_bytes() == first, "what had left is never written over"
    assert len(old.filed("bar")) == 5000
    parts = "SELECT part, file, row_count FROM market.export WHERE parent = 'bar' ORDER BY part"
    assert old.database.query(parts) == [(1, "bar_2025_11.parquet", 2500), (2, "bar_2025_11.2.parquet", 2500)]


def test_a_month_is_read_back_with_each_bar_as_it_was_told_last(old: Old) -> None:
    old.database.query("CREATE TABLE market.kept AS SELECT * FROM market.bar")
    old.export()
    # Told again after the month had left: one bar anew, one by an answer that is older.
    old.database.query(
        "UPDATE market.kept SET close = close + 0.5, fetched_at = fetched_at + interval '1 day'"
        " WHERE request_id = 'r77';"
        "INSERT INTO market.bar SELECT * FROM market.kept WHERE request_id = 'r77';"
        "INSERT INTO market.bar SELECT symbol, interval, bar_time, 10, 10, 10, 10, 1, false, source, request_id,"
        " fetched_at - interval '1 day' FROM market.kept WHERE request_id = 'r78';"
        "SELECT market.ensure_partitions('2026-02-01Z', '2026-02-01Z')"
    )
    assert old.export() == ["bar_2025_11"]
    done = CliRunner().invoke(app, ["exported", "2025-11", "--folder", str(old.folder)])
    assert done.exit_code == 0, done.output
    old.database.query("CREATE TABLE market.back (LIKE market.bar)")
    with contextlib.closing(old.database.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.copy_expert("COPY market.back FROM STDIN CSV HEADER", io.BytesIO(done.stdout_bytes))
    for first, second in (("kept", "back"), ("back", "kept")):
        assert old.database.query(f"SELECT * FROM market.{first} EXCEPT ALL SELECT * FROM market.{second}") == []
    missing = CliRunner().invoke(app, ["exported", "2025-10", "--folder", str(old.folder)])
    assert (missing.exit_code, "has no file of 2025-10" in missing.stderr) == (2, True)


def test_a_month_that_changed_after_its_export_is_not_dropped(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Exporter, "_drop", lambda *_: None)
        old.export()
    old.database.query("UPDATE market.bar SET close = close + 0.00000001 WHERE request_id = 'r77'")
    refused = pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="nothing is dropped")
    with refused, old.connection, old.connection.cursor() as cursor:
        cursor.execute("SELECT market.drop_month('bar', '2025-11-01', 1, %s)", (EDGE,))
    before = sorted(old.rows("bar"), key=str)
    old.export()
    assert old.filed("bar") == before
    assert old.database.query("SELECT part FROM market.export WHERE parent = 'bar' AND dropped_at IS NULL") == [(1,)]


def test_a_damaged_file_is_no_reason_to_drop_anything(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Exporter, "_drop", lambda *_: None)
        old.export()
    damaged = old.folder / "bar_2025_11.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    before = sorted(old.rows("bar"), key=str)
    old.export()
    assert old.filed("bar") == before
    assert (old.folder / "bar_2025_11.2.parquet").exists()


def test_a_price_that_a_file_cannot_keep_stays_in_the_database(old: Old) -> None:
    old.database.query("UPDATE market.bar SET low = 0.000000001 WHERE request_id = 'r77'")
    with pytest.raises(ValueError, match="would cause data loss"):
        old.export()
    assert Decimal("0.000000001") in {row[5] for row in old.rows("bar")}


def test_a_reader_is_not_kept_waiting(old: Old) -> None:
    with contextlib.closing(old.database.connect("bi_reader")) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM bi.events_stream")
        with pytest.raises(psycopg2.errors.LockNotAvailable), old.connection as connection:
            connection.cursor().execute(
                "INSERT INTO market.export SELECT 'bar', '2025-11-01', 1, '', row_count, content, ''"
                " FROM market.content_of('bar', '2025-11-01'); SELECT market.verify_export('bar', '2025-11-01', 1);"
                " SELECT market.drop_month('bar', '2025-11-01', 1, '2025-12-01')"
            )
    assert len(old.rows("bar")) == 2500


@pytest.mark.parametrize("account", ["writer", "monitor", "bi_reader"])
def test_nobody_else_may_drop_a_month(old: Old, account: str) -> None:
    with (
        contextlib.closing(old.database.connect(account)) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute("SELECT market.drop_month('bar', '2025-11-01', 1, '2025-12-01')")


def test_the_keeper_itself_may_not_delete(old: Old) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), old.connection as connection:
        connection.cursor().execute("DELETE FROM market.bar")


def test_the_months_that_are_kept_are_counted_from_the_beginning_of_this_one(old: Old) -> None:
    query = "SELECT parent, month FROM market.months_before(%s)"
    assert old.database.query(query, EDGE - timedelta(microseconds=1)) == []
    assert {month for _, month in old.database.query(query, EDGE)} == {date(2025, 11, 1)}
