"""The schema bi is what docs/bi.md promises, and of types that every reader's driver knows."""

import os
import re

from integration.services.database import Database
from support.repository import ROOT

_PAGE = ROOT / "docs" / "bi.md"
_MARKED = re.compile(r"(<!-- contract: begin -->\n).*(<!-- contract: end -->)", re.DOTALL)
_VIEWS = """
SELECT relname, obj_description(oid, 'pg_class') FROM pg_class
WHERE relnamespace = 'bi'::regnamespace AND relkind = 'v' ORDER BY relname
"""
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) FROM pg_attribute
WHERE attrelid = ('bi.' || %s)::regclass AND attnum > 0 ORDER BY attnum
"""
_PLAIN = {"bigint", "boolean", "date", "double precision", "text", "timestamp without time zone"}


def contract(database: Database) -> str:
    """Return the schema of a database as the page has it."""
    lines = []
    for view, meaning in database.query(_VIEWS):
        lines += [f"### bi.{view}", "", meaning, "", "| column | type | what it is |", "| --- | --- | --- |"]
        lines += [f"| `{column}` | {kind} | {said} |" for column, kind, said in database.query(_COLUMNS, view)]
        lines.append("")
    return "\n".join(lines)


def test_the_views_are_those_that_the_page_promises(database: Database) -> None:
    page = _PAGE.read_text()
    is_now = _MARKED.sub(lambda marks: f"{marks[1]}\n{contract(database)}\n{marks[2]}", page)
    if "MARKET_PULSE_WRITE_CONTRACT" in os.environ:
        _PAGE.write_text(is_now)
    assert page == is_now, "run the test with MARKET_PULSE_WRITE_CONTRACT=1 if the change breaks no report"


def test_every_view_is_plain_and_every_column_is_explained(database: Database) -> None:
    others = "SELECT relname FROM pg_class WHERE relnamespace = 'bi'::regnamespace AND relkind NOT IN ('v', 'c')"
    assert database.query(others) == []
    for view, meaning in database.query(_VIEWS):
        assert meaning, view
        for column, kind, said in database.query(_COLUMNS, view):
            # Prices of the view that reports of another pipeline read are as they were there.
            is_old = view == "events_stream" and kind == "numeric"
            assert kind in _PLAIN or re.fullmatch(r"numeric\(\d+,\d+\)", kind) or is_old, f"{view}.{column} is {kind}"
            assert said, f"{view}.{column} has no comment"


def test_readers_may_read_every_view_and_nothing_else(database: Database) -> None:
    readable = """
    SELECT n.nspname, c.relname FROM pg_class AS c INNER JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND has_schema_privilege('bi_reader', n.oid, 'USAGE') AND has_table_privilege('bi_reader', c.oid, 'SELECT')
    """
    views = {("bi", view) for view, _ in database.query(_VIEWS)}
    assert {row for row in database.query(readable) if row[0] != "public"} == views
