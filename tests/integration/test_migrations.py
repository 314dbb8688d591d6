import contextlib
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import psycopg2
import pytest

from integration.services.database import Database, Server
from market_pulse.contract import Bar, Interval

_CATALOG = """
SELECT n.nspname, c.relname, c.relkind::text, pg_get_userbyid(c.relowner), c.xmin::text
FROM pg_class AS c INNER JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('market', 'bi', 'public') ORDER BY 1, 2
"""
_COLUMNS = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = 'market' AND table_name = %s ORDER BY ordinal_position
"""
# A bar's fields as the database keeps them: text from the wire becomes a number where it is one.
_TYPES = {str: "text", datetime: "timestamp with time zone", bool: "boolean"}
_NUMBERS = dict.fromkeys(("open", "high", "low", "close"), "numeric") | {"volume": "bigint"}

_INSERT = "INSERT INTO market.bar VALUES ('IBM', '1min', %s, %s, %s, %s, %s, %s, true, 'test', 'r1', %s)"
_NOON = datetime(2026, 5, 15, 12, tzinfo=UTC)


def insert(database: Database, **changed: object) -> None:
    values = {"bar_time": _NOON, "open": 10, "high": 12, "low": 9, "close": 11, "volume": 5, "fetched_at": _NOON}
    database.query(_INSERT, *(values | changed).values())


def test_a_second_run_changes_nothing(postgresql: Server) -> None:
    with postgresql.empty_database() as database:
        postgresql.migrate(database.name)
        first = database.query(_CATALOG)
        versions = database.query("SELECT * FROM schema_version")
        postgresql.migrate(database.name)
        assert database.query(_CATALOG) == first
        assert database.query("SELECT * FROM schema_version") == versions
        assert len(versions) > 1


def test_everything_belongs_to_the_owner(database: Database) -> None:
    owners = {(row[0], row[3]) for row in database.query(_CATALOG) if row[0] != "public"}
    assert owners == {("market", "market_pulse_owner"), ("bi", "market_pulse_owner")}


def test_every_table_and_view_says_what_it_is(database: Database) -> None:
    silent = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND obj_description(oid) IS NULL"
    schemas = " AND relnamespace IN ('market'::regnamespace, 'bi'::regnamespace)"
    assert database.query(silent + schemas) == []


@pytest.mark.parametrize("table", ["bar", "bar_revision", "latest_bar"])
def test_columns_are_the_fields_of_the_contract(database: Database, table: str) -> None:
    fields = {
        field.name: _NUMBERS.get(field.name) or _TYPES[field.type]
        for field in msgspec.structs.fields(Bar)
        if field.name != "v"
    }
    columns = dict(database.query(_COLUMNS, table))
    assert {name: columns.get(name) for name in fields} == fields
    assert set(columns) - set(fields) <= {"recorded_at", "partition", "record_offset"}


def test_known_intervals_are_those_of_the_contract(database: Database) -> None:
    for interval in Interval:
        database.query(
            "INSERT INTO market.latest_bar SELECT 'IBM', %s, now(), 1, 1, 1, 1, 0, true, 's', 'r', now()",
            interval.value,
        )
    definition = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'interval_known'"
    assert {text.count("::text") for (text,) in database.query(definition)} == {len(Interval)}


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("price_positive", {"low": 0}),
        ("open_in_range", {"open": 13}),
        ("close_in_range", {"close": 8}),
        ("price_finite", {"high": "NaN"}),
        ("volume_not_negative", {"volume": -1}),
    ],
)
def test_the_database_refuses_a_bar_that_breaks_a_rule(
    database: Database, rule: str, changed: dict[str, object]
) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation) as refused:
        insert(database, **changed)
    assert refused.value.diag.constraint_name == rule


def test_the_key_holds_in_the_table_itself(database: Database) -> None:
    insert(database)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        insert(database)


def test_partitions_are_made_once_and_take_over_what_the_default_holds(database: Database) -> None:
    insert(database, bar_time=datetime(2019, 2, 28, 23, 59, tzinfo=UTC))
    insert(database, bar_time=datetime(2019, 3, 1, tzinfo=UTC))
    ensure = "SELECT market.ensure_partitions('2026-01-15Z', '2026-03-01Z')"
    months = ["2019_02", "2019_03", "2026_01", "2026_02", "2026_03"]
    made = sorted(name for (name,) in database.query(ensure))
    assert made == [f"bar_{month}" for month in months] + [f"bar_revision_{month}" for month in months[2:]]
    assert database.query(ensure) == []
    stored = "SELECT tableoid::regclass::text FROM market.bar ORDER BY bar_time"
    assert database.query(stored) == [("market.bar_2019_02",), ("market.bar_2019_03",)]
    insert(database, bar_time=datetime(2026, 3, 31, 23, 59, tzinfo=UTC))
    assert database.query("SELECT count(*) FROM market.bar_2026_03") == [(1,)]


def test_readers_see_final_bars_alone(database: Database) -> None:
    insert(database)
    insert(database, bar_time=datetime(2026, 5, 15, 11, tzinfo=UTC))
    database.query("UPDATE market.bar SET is_final = false WHERE bar_time = %s", _NOON)
    database.query("INSERT INTO market.latest_bar SELECT * FROM market.bar ORDER BY bar_time DESC LIMIT 1")
    assert database.query("SELECT to_char(bar_time, 'HH24:MI') FROM bi.events_stream") == [("11:00",)]


def test_readers_see_one_series_per_symbol_with_plain_types(database: Database) -> None:
    insert(database, open="10.10")
    database.query("INSERT INTO market.latest_bar SELECT * FROM market.bar")
    daily = "SELECT symbol, 'daily', bar_time, open, high, low, close, volume, is_final, source, request_id, fetched_at"
    for table in ("market.bar", "market.latest_bar"):
        database.query(f"INSERT INTO {table} {daily} FROM {table}")
    with contextlib.closing(database.connect("bi_reader")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM bi.events_stream")
        assert cursor.fetchall() == [
            ("IBM", datetime(2026, 5, 15, 12), Decimal("10.10"), Decimal(12), Decimal(9), Decimal(11), 5)  # noqa: DTZ001
        ]
    types = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'events_stream'"
    prices = [(name, "numeric") for name in ("open", "high", "low", "close")]
    assert database.query(types + " ORDER BY ordinal_position") == [
        ("symbol", "text"),
        ("bar_time", "timestamp without time zone"),
        *prices,
        ("volume", "bigint"),
    ]


@pytest.mark.parametrize(
    ("account", "statement"),
    [
        ("writer", "DELETE FROM market.bar"),
        ("writer", "TRUNCATE market.bar"),
        ("writer", "UPDATE market.batch SET stored = 0"),
        ("writer", "CREATE TABLE market.mine (n int)"),
        ("writer", "CREATE TABLE public.mine (n int)"),
        ("writer", "SELECT market.ensure_partitions(now(), now())"),
        ("writer", "SELECT market.accept_position(gen_random_uuid(), 0, 0)"),
        ("writer", "SELECT market.accept_loss(gen_random_uuid(), 0)"),
        ("writer", "INSERT INTO market.lost_range (accepted_by) VALUES ('me')"),
        ("auditor", "INSERT INTO market.export VALUES ('bar', '2026-01-01', 1, '', 0, '', '')"),
        ("auditor", "SELECT market.drop_month('bar', '2026-01-01', 1, now())"),
        ("auditor", "SELECT value FROM market.quarantine"),
        ("auditor", "DELETE FROM market.session"),
        ("auditor", "UPDATE market.halt SET until = now()"),
        ("auditor", "CREATE SCHEMA mine"),
        ("auditor", "CREATE TEMP TABLE mine (n int)"),
        ("keeper", "UPDATE market.finding SET resolved_at = now()"),
        ("keeper", "UPDATE market.deletion SET superseded_at = now()"),
        ("keeper", "UPDATE market.series SET until = now()"),
        ("keeper", "SELECT market.audit(now(), '1 min')"),
        ("bi_reader", "SELECT FROM market.bar"),
        ("bi_reader", "CREATE TEMP TABLE mine (n int)"),
        ("bi_reader", "SET default_transaction_read_only = off; CREATE TABLE bi.mine (n int)"),
        ("bi_reader", "SELECT pg_try_advisory_lock(hashtext('market-pulse consumer'), hashtext('bars'))"),
        ("web", "SELECT pg_advisory_xact_lock_shared(1)"),
        ("monitor", "SELECT value FROM market.quarantine"),
        ("monitor", "SET default_transaction_read_only = off; UPDATE market.stream_position SET next_offset = 0"),
        ("web", "SELECT value FROM market.quarantine"),
        ("web", "SELECT * FROM market.answer"),
        ("web", "SET default_transaction_read_only = off; UPDATE market.bar SET volume = 0"),
        ("web", "CREATE TEMP TABLE mine (n int)"),
    ],
)
def test_an_account_may_not_do_more_than_its_work(database: Database, account: str, statement: str) -> None:
    with (
        contextlib.closing(database.connect(account)) as connection,
        connection.cursor() as cursor,
        pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)),
    ):
        cursor.execute(statement)


def test_monitor_reads_the_account_of_the_stream(database: Database) -> None:
    with contextlib.closing(database.connect("monitor")) as connection, connection.cursor() as cursor:
        for table in ("batch", "stream_position", "latest_bar", "bar"):
            cursor.execute(f"SELECT count(*) FROM market.{table}")
        cursor.execute("SELECT reason, count(*) FROM market.quarantine GROUP BY reason")
        assert cursor.fetchall() == []


def test_readers_are_bounded(database: Database) -> None:
    with contextlib.closing(database.connect("bi_reader")) as connection, connection.cursor() as cursor:
        for setting in (
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
            "idle_session_timeout",
        ):
            cursor.execute(f"SHOW {setting}")
            assert cursor.fetchall() != [("0",)], setting
    limit = "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolconnlimit = -1 AND rolname <> 'postgres'"
    assert database.query(limit) == [(0,)]


def test_a_ledger_row_that_does_not_add_up_is_refused(database: Database) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation, match="received_is_accounted_for"):
        database.query(
            "INSERT INTO market.batch VALUES (gen_random_uuid(), 0, gen_random_uuid(), 0, 0, 0, 10, 10, 5, 2, 1, 1)"
        )
