"""Partitions made beside a running pipeline: nobody who reads or writes is held up, and no row is lost on the way."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg2.errors
import pytest

from integration.services.database import Database, waiting_for_locks
from integration.upkept import Session, fill
from market_pulse import upkeep
from market_pulse.errors import UpkeepError
from market_pulse.upkeep import parquet, partitions
from market_pulse.upkeep.partitions import Month
from support.waiting import eventually

MARCH = Month("bar", date(2019, 3, 1))


def in_default(database: Database) -> tuple[int, ...]:
    tables = ("bar_default", "bar_revision_default")
    return tuple(database.query(f"SELECT count(*) FROM market.{table}")[0][0] for table in tables)


def test_a_writer_between_its_two_tables_is_not_held_up_and_every_row_finds_its_month(
    database: Database, job: Session
) -> None:
    years = [f"{year}-{month:02}" for year in (2018, 2019) for month in range(1, 13)]
    for month in years:
        for table in ("bar", "bar_revision"):
            fill(database, table, month, rows=50)
    with contextlib.closing(database.connect("writer")) as writer, ThreadPoolExecutor(1) as pool:
        with writer, writer.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
            cursor.execute("UPDATE market.bar_revision SET close = close WHERE bar_time < '2018-02-01'")
            done = pool.submit(upkeep.run, *job)
            eventually(lambda: waiting_for_locks(database), within=20, what="the upkeep comes", every=0.01)
            cursor.execute("UPDATE market.bar SET close = close WHERE bar_time < '2018-02-01'")
        assert f"{len(years) * 100} rows moved" in done.result(60)
    assert in_default(database) == (0, 0)
    assert database.query("SELECT count(*), min(close) FROM market.bar WHERE bar_time < '2020-01-01'") == [
        (50 * len(years), 10.5)
    ]
    transactions = (
        "SELECT count(*), count(DISTINCT xmin::text) FROM pg_inherits WHERE inhrelid::regclass::text ~ '201[89]'"
    )
    made = database.query(transactions + " AND inhparent::regclass::text ~ 'bar(_revision)?$'")
    assert made == [(2 * len(years), 2 * len(years))], "each month of each table by itself"


def test_a_report_that_reads_for_long_delays_the_upkeep_and_nobody_else(
    database: Database, job: Session, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fill(database, "bar", "2019-03")
    with contextlib.closing(database.connect("bi_reader")) as reader, ThreadPoolExecutor(1) as pool:
        with reader, reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM bi.events_stream")
            done = pool.submit(upkeep.run, *job)
            eventually(lambda: caplog.text.count("others hold the table") > 1, within=60, what="the upkeep tries again")
            with contextlib.closing(database.connect("writer")) as writer, writer, writer.cursor() as second:
                second.execute("SET lock_timeout = '10s'")
                second.execute("UPDATE market.bar SET close = close")
        assert "2500 rows moved" in done.result(60)


def test_who_waits_while_a_partition_is_made_writes_into_it_and_reads_all_of_it(
    database: Database, job: Session
) -> None:
    columns = ", ".join(parquet.SCHEMAS["bar"].names[1:])
    add = f"INSERT INTO market.bar SELECT 'NEW', {columns} FROM market.bar WHERE request_id = 'r77'"
    fill(database, "bar", "2019-03")
    database.query("INSERT INTO market.latest_bar SELECT DISTINCT ON (symbol) * FROM market.bar")
    with (
        contextlib.closing(database.connect("writer")) as writer,
        contextlib.closing(database.connect("bi_reader")) as reader,
        ThreadPoolExecutor(2) as pool,
        writer.cursor() as writing,
        reader.cursor() as reading,
    ):
        with job.keeper as connection, connection.cursor() as attaching:
            attaching.execute("SELECT market.attach_month(%s, %s)", MARCH)
            written = pool.submit(writing.execute, add)
            read = pool.submit(reading.execute, "SELECT count(*) FROM bi.events_stream")
            eventually(lambda: waiting_for_locks(database) == 2, within=20, what="both wait", every=0.01)
        written.result(20)
        read.result(20)
        # Every third of them is not final, and readers see final bars alone.
        assert (writing.rowcount, reading.fetchone()) == (1, (2500 - 2500 // 3,))
        writer.commit()
    assert database.query("SELECT count(*) FROM market.bar_2019_03") == [(2501,)]


def test_what_changes_after_the_copy_is_in_the_partition(database: Database, job: Session) -> None:
    fill(database, "bar", "2019-03")
    with job.keeper as connection, connection.cursor() as cursor:
        cursor.execute("SELECT market.prepare_month(%s, %s)", MARCH)
    fill(database, "bar", "2019-03", symbol="LATE")
    database.query("UPDATE market.bar SET close = close + 1 WHERE request_id = 'r77'")
    before = database.query("SELECT * FROM market.bar ORDER BY symbol, bar_time")
    assert partitions.add(job.keeper, MARCH, holds_rows=False) == 5000
    assert database.query("SELECT * FROM market.bar_2019_03 ORDER BY symbol, bar_time") == before
    assert in_default(database) == (0, 0)
    assert database.query("SELECT count(*) FROM market.deletion") == [(0,)]


def test_what_is_deleted_after_the_copy_does_not_come_back(database: Database, job: Session) -> None:
    fill(database, "bar", "2019-03")
    with job.keeper as connection, connection.cursor() as cursor:
        cursor.execute("SELECT market.prepare_month(%s, %s)", MARCH)
    database.query("DELETE FROM market.bar WHERE request_id = 'r77'")
    with pytest.raises(psycopg2.errors.RaiseException, match="1 rows of bar_2019_03 were deleted"):
        partitions.add(job.keeper, MARCH, holds_rows=False)
    assert partitions.add(job.keeper, MARCH, holds_rows=True) == 2499


def test_a_month_that_fails_does_not_keep_the_others(database: Database, job: Session) -> None:
    for month in ("2019-03", "2019-04"):
        fill(database, "bar", month)
    database.query("CREATE VIEW market.bar_2019_04 AS SELECT 1")
    with pytest.raises(UpkeepError, match="partition bar_2019_04: "):
        upkeep.run(*job)
    assert in_default(database) == (2500, 0)
    assert database.query("SELECT count(*) > 200 FROM market.session") == [(True,)]
    assert database.query("SELECT count(*) FROM market.last_run") == [(0,)]


@pytest.mark.parametrize("statement", ["prepare_month('answer', '2019-03-01')", "attach_month('bar', '2019-03-02')"])
def test_only_months_of_the_two_tables_are_made(job: Session, statement: str) -> None:
    with pytest.raises(psycopg2.errors.RaiseException, match="cannot"), job.keeper as connection:
        connection.cursor().execute(f"SELECT market.{statement}")
