"""The daily upkeep on a real database: partitions, the calendar, and months that leave for files, whatever happens."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg2.errors
import psycopg2.extensions
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from integration.audited import at
from integration.services.database import Database
from integration.upkept import NEWEST, Session, fill, session, settings_of
from market_pulse import upkeep
from market_pulse.cli import app
from market_pulse.keeper import connect
from market_pulse.upkeep import calendar, export, parquet
from market_pulse.upkeep.export import Exporter
from market_pulse.upkeep.settings import UpkeepSettings

EDGE = at("2025-12-01 00:00")
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


@dataclass
class Old:
    """A database with November in both tables, and where its files go."""

    database: Database
    folder: Path
    connection: psycopg2.extensions.connection

    def export(self) -> list[str]:
        exporter = Exporter(self.connection, self.folder, EDGE)
        months = exporter.months()
        for month in months:
            exporter.export(month)
        return [month.name for month in months]

    def fill(self, table: str, month: str = "2025-11") -> None:
        fill(self.database, table, month)

    def rows(self, table: str) -> list[tuple[object, ...]]:
        names = ", ".join(parquet.SCHEMAS[table].names)
        return self.database.query(
            f"SELECT {names} FROM market.{table} ORDER BY symbol, interval, bar_time, request_id"
        )

    def filed(self, table: str) -> list[tuple[object, ...]]:
        """Return the rows of every file whose month was dropped."""
        found: list[tuple[object, ...]] = []
        query = "SELECT file FROM market.export WHERE parent = %s AND dropped_at IS NOT NULL"
        for (file,) in self.database.query(query, table):
            columns = pq.read_table(self.folder / file).to_pydict().values()
            found += zip(*columns, strict=True)
        return sorted(found, key=str)

    def export_and_be_killed(self, settings: UpkeepSettings, where: object, name: str, *, after: bool) -> None:
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
            return
        function = getattr(where, name)

        def killed(*given: object, **named: object) -> None:
            if after:
                function(*given, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(where, name, killed)
        try:
            replace(self, connection=connect(settings, "killed")).export()
        finally:
            os._exit(1)


@pytest.fixture
def job(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    with session(database, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def settings(job: Session) -> UpkeepSettings:
    return job.settings


@pytest.fixture
def keeper(job: Session) -> psycopg2.extensions.connection:
    return job.keeper


@pytest.fixture
def old(database: Database, keeper: psycopg2.extensions.connection, tmp_path: Path) -> Old:
    database.query("SELECT market.ensure_partitions('2025-11-01Z', '2026-03-01Z')")
    month = Old(database, tmp_path / "export", keeper)
    for table in ("bar", "bar_revision"):
        month.fill(table)
    database.query(NEWEST)
    return month


def test_partitions_are_made_ahead_and_take_over_what_the_default_holds(
    database: Database,
    settings: UpkeepSettings,
    keeper: psycopg2.extensions.connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A real clock decides how far ahead, the market's how far back.
    Old(database, Path(), keeper).fill("bar", "2019-03")
    caplog.set_level("INFO")
    upkeep.run(settings, keeper)
    made = {name for (name,) in database.query("SELECT relname FROM pg_class WHERE relname ~ '^bar_[0-9]'")}
    assert {"bar_2019_03", "bar_2026_02"} <= made
    ahead = database.query("SELECT to_char(now() + interval '2 months', '\"bar_\"YYYY_MM')")
    assert ahead[0][0] in made
    assert database.query("SELECT count(*) FROM market.bar_2019_03") == [(2500,)]
    assert "rows moved from the default partition: to=bar_2019_03 rows=2500" in caplog.text
    owners = "SELECT DISTINCT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname ~ '^bar_'"
    assert database.query(owners) == [("market_pulse_owner",)]
    caplog.clear()
    upkeep.run(settings, keeper)
    assert "partitions made" not in caplog.text
    assert database.query("SELECT sentence FROM market.last_run WHERE job = 'upkeep'") == [
        ("0 partitions made, 0 rows moved, 0 days of the calendar changed, 0 months dropped",)
    ]


def test_the_calendar_follows_the_exchange_and_reaches_back_to_the_first_bar(
    database: Database, keeper: psycopg2.extensions.connection
) -> None:
    now = at("2026-01-05 15:00")
    with keeper, keeper.cursor() as cursor:
        changed = calendar.refresh(cursor, "XNYS", now)
    first, last = database.query("SELECT min(trading_date), max(trading_date) FROM market.session")[0]
    assert (first, last > date(2026, 11, 1)) == (date(2025, 1, 2), True)
    assert changed == database.query("SELECT count(*) FROM market.session")[0][0]
    # A day of mourning that was not known in time, and one that is not one.
    database.query("DELETE FROM market.session WHERE trading_date = '2025-06-04'")
    database.query(
        "INSERT INTO market.session SELECT exchange, '2025-01-09', day_start, early_open, open, close, late_close"
        " FROM market.session WHERE trading_date = '2025-01-08'"
    )
    Old(database, Path(), keeper).fill("bar", "2019-03")
    database.query("INSERT INTO market.latest_bar SELECT DISTINCT ON (symbol) * FROM market.bar")
    with keeper, keeper.cursor() as cursor:
        changed = calendar.refresh(cursor, "XNYS", now)
    assert changed == 2 + database.query("SELECT count(*) FROM market.session WHERE trading_date < '2025-01-01'")[0][0]
    missing = "SELECT trading_date FROM market.session WHERE trading_date IN ('2025-01-09', '2025-06-04', '2019-01-02')"
    assert database.query(missing + " ORDER BY 1") == [(date(2019, 1, 2),), (date(2025, 6, 4),)]
    halves = "SELECT trading_date FROM market.session WHERE close - open < '6 h' AND trading_date > '2026-01-01'"
    assert date(2026, 11, 27) in {day for (day,) in database.query(halves)}


def test_a_closure_that_an_operator_entered_is_kept_by_every_refresh(
    database: Database, keeper: psycopg2.extensions.connection
) -> None:
    def refresh() -> int:
        with keeper, keeper.cursor() as cursor:
            return calendar.refresh(cursor, "XNYS", at("2026-01-05 15:00"))

    refresh()
    database.query(
        "INSERT INTO market.closure (exchange, trading_date, closes_at, note) VALUES"
        " ('XNYS', '2026-03-02', NULL, 'mourning'), ('XNYS', '2026-03-03', '2026-03-03 18:00Z', 'a storm'),"
        " ('XNYS', '2026-03-07', NULL, 'a Saturday'), ('XLON', '2026-03-04', NULL, 'elsewhere')"
    )
    changed = "SELECT trading_date, to_char(close AT TIME ZONE 'UTC', 'HH24:MI') FROM market.session"
    changed += " WHERE trading_date BETWEEN '2026-03-02' AND '2026-03-04' ORDER BY 1"
    assert refresh() == 2
    assert database.query(changed) == [(date(2026, 3, 3), "18:00"), (date(2026, 3, 4), "21:00")]
    assert refresh() == 0
    database.query("DELETE FROM market.closure")
    assert refresh() == 2
    assert [close for _, close in database.query(changed)] == ["21:00"] * 3


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
    settings: UpkeepSettings,
    where: object,
    name: str,
    after: bool,  # noqa: FBT001
) -> None:
    before = {table: sorted(old.rows(table), key=str) for table in ("bar", "bar_revision")}
    old.export_and_be_killed(settings, where, name, after=after)
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
