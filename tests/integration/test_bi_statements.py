"""Statements as Power BI and its driver send them, asked as an analyst asks them.

`powerbi/connect_*` and `discover_*` are what Npgsql 4.0 and the connector send of themselves, the others are how
DirectQuery folds visuals ("$Table", "rows", "_"), as public records of other servers' tests show it, over the columns
of this schema.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from integration.services.database import Database, Server
from support.market_table import fill

_CORPUS = sorted((Path(__file__).parent / "powerbi").glob("*.sql"))
_SYMBOLS = 20
# At most, read or found in memory; a symbol's day is 390 bars, each in another page where all symbols come at once.
_SYMBOL_DAY_PAGES = 500
_EMPTY = {"connect_load_composite_types", "discover_keys", "discover_relationships"}


@pytest.fixture(scope="module")
def filled(postgresql: Server) -> Iterator[Database]:
    """A database with the bars of two months' ends."""
    with postgresql.migrated_database() as database:
        fill(database, symbols=_SYMBOLS, days=12)
        yield database


def ask(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(database.connect("bi_reader")) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def plan_of(database: Database, statement: str) -> dict[str, Any]:
    ((((explained,),),),) = (ask(database, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {statement}"),)
    plan: dict[str, Any] = explained["Plan"]
    return plan


def read_whole(plan: dict[str, Any]) -> set[str]:
    """Return the partitions of bars that were read from end to end."""
    return {
        node["Relation Name"]
        for node in nodes(plan)
        if node["Node Type"] == "Seq Scan"
        and re.fullmatch(r"bar_(\d{4}_\d{2}|default)", node["Relation Name"])
        and node["Actual Loops"]
        and node["Actual Rows"]
    }


def touched(plan: dict[str, Any]) -> set[str]:
    """Return the partitions of bars of which anything was read."""
    return {
        node["Relation Name"]
        for node in nodes(plan)
        if re.fullmatch(r"bar_\d{4}_\d{2}", node.get("Relation Name", "")) and node["Actual Loops"]
    }


@pytest.mark.parametrize("path", _CORPUS, ids=lambda path: path.stem)
def test_the_server_answers(filled: Database, path: Path) -> None:
    rows = ask(filled, path.read_text())
    assert bool(rows) is (path.stem not in _EMPTY)
    if path.stem.split("_")[0] not in ("connect", "discover", "preview", "import"):
        assert None not in rows[0]


def test_the_connector_finds_the_views_and_no_table_behind_them(filled: Database) -> None:
    found = ask(filled, statement("discover_tables"))
    assert {(schema, kind) for schema, _, kind in found} == {("bi", "VIEW")}
    assert {name for _, name, _ in found} >= {"bar", "day_bar", "latest_bar", "symbol", "date"}
    kinds = {kind for *_, kind in ask(filled, statement("discover_columns"))}
    assert kinds == {"text", "date", "timestamp without time zone", "numeric", "bigint", "boolean"}


@pytest.mark.parametrize("name", ["matrix_bars_of_a_day"])
def test_a_day_of_a_symbol_is_found_by_index_in_its_partition(filled: Database, name: str) -> None:
    plan = plan_of(filled, statement(name))
    assert plan["Actual Rows"] == 390
    assert read_whole(plan) == set()
    assert touched(plan) == {"bar_2026_03"}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= _SYMBOL_DAY_PAGES


@pytest.mark.parametrize("name", ["table_volume_of_a_day_of_all_symbols"])
def test_a_day_of_all_symbols_is_not_looked_for_in_every_partition(filled: Database, name: str) -> None:
    plan = plan_of(filled, statement(name))
    assert plan["Actual Rows"] == _SYMBOLS
    assert touched(plan) == {"bar_2026_03"}


@pytest.mark.parametrize("name", ["table_latest_prices", "card_change_marker", "slicer_symbol", "card_latest_close"])
def test_what_a_live_page_asks_reads_no_bar_of_the_past(filled: Database, name: str) -> None:
    plan = plan_of(filled, statement(name))
    assert touched(plan) == set()


def test_a_statement_that_runs_too_long_is_ended(filled: Database) -> None:
    with contextlib.closing(filled.connect("bi_reader")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'")
        assert cursor.fetchall() == [(60_000,)]
        cursor.execute("SET statement_timeout = '100ms'")
        with pytest.raises(psycopg2.errors.QueryCanceled):
            cursor.execute("SELECT pg_sleep(10)")


@pytest.mark.parametrize(
    "write",
    [
        "DELETE FROM bi.completeness",
        "INSERT INTO bi.completeness (symbol) VALUES ('X')",
        "CREATE VIEW bi.mine AS SELECT 1",
    ],
)
def test_whoever_reads_does_not_write_through_a_view(filled: Database, write: str) -> None:
    with pytest.raises((psycopg2.errors.ReadOnlySqlTransaction, psycopg2.errors.InsufficientPrivilege)):
        ask(filled, write)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(filled, f"SET default_transaction_read_only = off; COMMIT; {write}")


def test_an_open_transaction_does_not_stay_open(filled: Database) -> None:
    with contextlib.closing(filled.connect("bi_reader")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'")
        assert cursor.fetchall() == [(60_000,)]


def test_only_so_many_dashboards_get_in(filled: Database) -> None:
    ((limit,),) = filled.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'bi_reader'")
    with contextlib.ExitStack() as sessions:
        for _ in range(limit):
            sessions.enter_context(contextlib.closing(filled.connect("bi_reader")))
        with pytest.raises(psycopg2.OperationalError, match="too many connections"):
            filled.connect("bi_reader")


def statement(name: str) -> str:
    return (Path(__file__).parent / "powerbi" / f"{name}.sql").read_text()
