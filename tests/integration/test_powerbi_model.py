"""The Power BI project's model: what Microsoft's parser reads is what the database has, and its sums are right.

No DAX runs here. Of each measure the arithmetic is translated, or stated beside its very text, as SQL, and that is
compared with what the stored bars give when they are counted in Python. It shows that columns, aggregates and formulas
are the right ones, not that Power BI's engine computes the same.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from integration.services.database import Database, Server
from support.market_table import fill
from support.powerbi_project import MODEL, PROJECT, Model, as_sql, model, read

_TYPES = {
    "bigint": "Int64",
    "boolean": "Boolean",
    "date": "DateTime",
    "text": "String",
    "timestamp without time zone": "DateTime",
}
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) FROM pg_attribute
WHERE attrelid = ('bi.' || %s)::regclass AND attnum > 0
"""
_MODES = {"Symbol": "Dual", "Date": "Dual", "Day": "Import"}
_SYMBOL, _SINCE, _UNTIL = "S00003", date(2026, 3, 2), date(2026, 3, 6)
_INDEXED = """
VAR FirstDay = CALCULATE ( MIN ( Day[trading_date] ), ALLSELECTED ( 'Date' ) )
RETURN
    DIVIDE (
        100 * [Closing price],
        CALCULATE ( [Closing price], ALLSELECTED ( 'Date' ), Day[trading_date] = FirstDay )
    )
"""
_INDEXED_SQL = """
SELECT 100 * close::float8 / first_value(close) OVER (PARTITION BY symbol ORDER BY trading_date)
FROM bi.day_bar WHERE symbol = %(symbol)s AND trading_date BETWEEN %(since)s AND %(until)s ORDER BY trading_date
"""
Bars = list[dict[str, Any]]


@pytest.fixture(scope="module")
def project() -> Model:
    return model()


@pytest.fixture(scope="module")
def filled(postgresql: Server) -> Iterator[Database]:
    with postgresql.migrated_database() as database:
        fill(database, symbols=5, days=10)
        walk = "(extract(epoch FROM bar_time)::bigint / 60 % 977) / 10.0"
        moved = ", ".join(f"{name} = {name} + {walk}" for name in ("open", "high", "low", "close"))
        database.query(f"UPDATE market.bar SET {moved}, volume = volume * 3 + 1")
        database.query("UPDATE market.completeness SET stored = stored - 7, outage = 5, no_trade = 2")
        yield database


@pytest.fixture(scope="module")
def bars(filled: Database) -> Bars:
    """The selected bars as they are stored."""
    rows = filled.query(
        "SELECT bar_time, open, high, low, close, volume FROM market.bar WHERE symbol = %s"
        " AND (bar_time AT TIME ZONE 'America/New_York')::date BETWEEN %s AND %s ORDER BY bar_time",
        _SYMBOL,
        _SINCE,
        _UNTIL,
    )
    return [dict(zip(("at", "open", "high", "low", "close", "volume"), row, strict=True)) for row in rows]


def ask(database: Database, query: str, **given: object) -> list[tuple[Any, ...]]:
    with contextlib.closing(database.connect("bi_reader")) as connection, connection.cursor() as cursor:
        cursor.execute(query, given)
        return cursor.fetchall()


def test_microsofts_parser_reads_the_model_and_finds_nothing_wrong(project: Model) -> None:
    assert project.errors == []
    assert set(project.expressions) == {"DatabaseHost", "DatabaseName", "HistoryFrom"}
    assert all("IsParameterQuery = true" in text for text in project.expressions.values())


def test_what_is_wrong_is_told_by_file_and_line(tmp_path: Path) -> None:
    broken = shutil.copytree(MODEL, tmp_path / "definition")
    table = broken / "tables" / "Bar.tmdl"
    table.write_text(table.read_text().replace("mode: directQuery", "mode: directQuerry"))
    told = read(broken)
    assert told.returncode != 0
    assert re.search(r"tables/Bar.*Line Number", told.stderr, re.DOTALL)


def test_every_table_is_a_view_with_the_columns_types_and_meanings_of_the_contract(
    project: Model, filled: Database
) -> None:
    for table in project.tables.values():
        known = {
            name: (_TYPES.get(kind, "Double"), name, said) for name, kind, said in filled.query(_COLUMNS, table.view)
        }
        assert table.columns == known, table.name
        assert table.mode == _MODES.get(table.name, "DirectQuery")


def test_names_are_told_apart_whatever_their_case(project: Model) -> None:
    measures = [name.casefold() for name in project.measures]
    assert len(measures) == len(set(measures))
    for table in project.tables.values():
        assert not {name.casefold() for name in table.columns} & set(measures), table.name


def test_every_source_query_runs(project: Model, filled: Database) -> None:
    for table in project.tables.values():
        columns = ", ".join(f'"$Table"."{column}" as "{column}"' for column in table.columns)
        since = f' where "$Table"."{table.filtered_by}" >= date \'2025-01-01\'' if table.filtered_by else ""
        assert ask(filled, f'select {columns} from "bi"."{table.view}" "$Table"{since} limit 1000'), table.name


def test_every_relationship_leads_to_one_row(project: Model, filled: Database) -> None:
    assert project.relationships
    for many, key, one, unique in project.relationships:
        there, here = project.tables[one].view, project.tables[many].view
        doubled = f"SELECT {unique} FROM bi.{there} GROUP BY 1 HAVING count(*) > 1 OR {unique} IS NULL"
        assert ask(filled, doubled) == []
        orphans = f"SELECT DISTINCT {key} FROM bi.{here} WHERE {key} NOT IN (SELECT {unique} FROM bi.{there})"
        assert ask(filled, orphans) == [], f"{many}.{key}"


def fields(node: object) -> Iterator[tuple[str, str, str]]:
    """Give kind, table and name of each field that a visual refers to."""
    if isinstance(node, dict):
        for kind in ("Column", "Measure"):
            if kind in node:
                yield kind, node[kind]["Expression"]["SourceRef"]["Entity"], node[kind]["Property"]
        for child in node.values():
            yield from fields(child)
    elif isinstance(node, list):
        for child in node:
            yield from fields(child)


def test_every_field_of_a_visual_is_in_the_model(project: Model) -> None:
    shown = set()
    for path in PROJECT.glob("MarketPulse.Report/definition/pages/*/visuals/*/visual.json"):
        for kind, table, name in fields(json.loads(path.read_text())):
            known = project.tables[table].columns if kind == "Column" else project.tables[table].measures
            assert name in known, f"{path.parent.name}: {table}.{name}"
            shown.add(name)
    assert {name for name in project.measures if name not in shown} == {"Price range"}


def test_the_first_page_is_the_page_of_the_pipeline_that_this_one_replaces() -> None:
    visuals = {}
    for path in PROJECT.glob("MarketPulse.Report/definition/pages/market/visuals/*/visual.json"):
        visual = json.loads(path.read_text())["visual"]
        state = visual.get("query", {}).get("queryState", {})
        told = {role: [name for _, _, name in fields(shown)] for role, shown in state.items()}
        visuals[path.parent.name] = (visual["visualType"], told)
    assert visuals == {
        "title": ("textbox", {}),
        "symbol_slicer": ("slicer", {"Values": ["symbol"]}),
        "date_slicer": ("slicer", {"Values": ["date"]}),
        "total_volume": ("card", {"Values": ["Total volume"]}),
        "volume_by_date": ("columnChart", {"Category": ["date"], "Y": ["Total volume"]}),
        "open_close_by_date": ("lineChart", {"Category": ["date"], "Y": ["Opening price", "Closing price"]}),
        "bars": (
            "pivotTable",
            {
                "Rows": ["ts_exchange"],
                "Columns": ["symbol"],
                "Values": ["Bar open", "Bar high", "Bar low", "Bar close", "Bar volume"],
            },
        ),
    }


def days(bars: Bars, name: str, place: int) -> list[Decimal]:
    """Return a value of the first (0) or the last (-1) bar of each day."""
    by_day: dict[date, Bars] = {}
    for bar in bars:
        by_day.setdefault(bar["at"].date(), []).append(bar)
    return [day[place][name] for day in by_day.values()]


_EXPECTED: dict[str, Callable[[Bars], object]] = {
    "Total volume": lambda bars: sum(bar["volume"] for bar in bars),
    "Opening price": lambda bars: mean(days(bars, "open", 0)),
    "Highest price": lambda bars: max(bar["high"] for bar in bars),
    "Lowest price": lambda bars: min(bar["low"] for bar in bars),
    "Closing price": lambda bars: mean(days(bars, "close", -1)),
    "Price range": lambda bars: max(bar["high"] for bar in bars) - min(bar["low"] for bar in bars),
    "Bar open": lambda bars: mean(bar["open"] for bar in bars),
    "Bar high": lambda bars: max(bar["high"] for bar in bars),
    "Bar low": lambda bars: min(bar["low"] for bar in bars),
    "Bar close": lambda bars: mean(bar["close"] for bar in bars),
    "Bar volume": lambda bars: sum(bar["volume"] for bar in bars),
    "Bars expected": lambda _: 5 * 390,
    "Bars absent": lambda _: 5 * 5,
    "Complete in per cent": lambda _: 100 * 383 / 388,
    # These are of the newest day, 9 March, and of all symbols.
    "Last price": lambda _: Decimal("100.55"),
    "Age in seconds": lambda _: 3600,
    "Market time UTC": lambda _: datetime(2026, 3, 9, 21),  # noqa: DTZ001 - the views' times carry no zone
    "Stale symbols": lambda _: 0,
    "Change": lambda _: 0,
}


def test_every_measure_but_one_is_arithmetic_that_sql_says_by_itself(project: Model) -> None:
    assert set(project.measures) - set(_EXPECTED) == {"Closing price indexed"}


@pytest.mark.parametrize("name", _EXPECTED)
def test_a_measures_twin_counts_what_is_stored(project: Model, filled: Database, bars: Bars, name: str) -> None:
    table, dax = project.measures[name]
    view = project.tables[table].view
    where = f" WHERE symbol = '{_SYMBOL}'" if "symbol" in project.tables[table].columns else ""
    if "trading_date" in project.tables[table].columns and view not in ("latest_bar", "freshness"):
        where += f" AND trading_date BETWEEN '{_SINCE}' AND '{_UNTIL}'"
    ((told,),) = ask(filled, f"SELECT {as_sql(dax, project.measures)} FROM bi.{view}{where}")
    expected = _EXPECTED[name](bars)
    if isinstance(expected, datetime):
        assert told == expected
    else:
        assert float(told) == pytest.approx(float(str(expected)), rel=1e-9)


def test_the_indexed_price_begins_with_100_and_moves_as_the_price(project: Model, filled: Database, bars: Bars) -> None:
    _, dax = project.measures["Closing price indexed"]
    assert dax.split() == _INDEXED.split()
    told = [value for (value,) in ask(filled, _INDEXED_SQL, symbol=_SYMBOL, since=_SINCE, until=_UNTIL)]
    closes = days(bars, "close", -1)
    assert told[0] == 100
    assert len(set(told)) > 1
    assert told == pytest.approx([float(100 * close / closes[0]) for close in closes], rel=1e-9)
