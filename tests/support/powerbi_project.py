"""The Power BI project as Microsoft's parser reads it, and its measures as SQL."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration.services.processes import CACHE, require
from support.repository import ROOT

PROJECT = ROOT / "powerbi"
MODEL = PROJECT / "MarketPulse.SemanticModel" / "definition"
_TOOLS = ROOT / "tests" / "integration" / "powerbi_tools"
_SOURCE = """let
    Source = PostgreSQL.Database(DatabaseHost, DatabaseName, [CreateNavigationProperties = false]),
    View = Source{{[Schema = "bi", Item = "{view}"]}}[Data]{rest}"""
_WHOLE = "\nin\n    View"
_SINCE = ",\n    Since = Table.SelectRows(View, each [{column}] >= HistoryFrom)\nin\n    Since"
_AGGREGATE = re.compile(r"(SUM|AVERAGE|MAX|MIN) \( (?:'[^']+'|\w+)\[(\w+)\] \)")
_NAMES = {"AVERAGE": "avg"}


@dataclass(frozen=True)
class Table:
    """A table of the model: its columns' types, sources and descriptions, its measures, and what it is made of."""

    name: str
    columns: dict[str, tuple[str, str, str]]
    measures: dict[str, str]
    mode: str
    source: str

    @property
    def view(self) -> str:
        """Return the view of the schema bi that it shows.

        Raises:
            ValueError: its Power Query is another one than all tables have.
        """
        found = re.search(r'Item = "(\w+)"', self.source)
        view = found[1] if found else ""
        column = self.filtered_by or ""
        known = [_SOURCE.format(view=view, rest=rest) for rest in (_WHOLE, _SINCE.format(column=column))]
        if self.source not in known:
            raise ValueError(f"the source of {self.name} is\n{self.source}\nand should be one of\n{known}")
        return view

    @property
    def filtered_by(self) -> str | None:
        """Return the date column by which the import begins, or None for a table that is shown whole."""
        found = re.search(r"each \[(\w+)\] >= HistoryFrom", self.source)
        return found[1] if found else None


@dataclass(frozen=True)
class Model:
    """What the parser understood."""

    errors: list[str]
    expressions: dict[str, str]
    relationships: list[tuple[str, str, str, str]]
    tables: dict[str, Table]

    @property
    def measures(self) -> dict[str, tuple[str, str]]:
        """Return table and DAX of each measure."""
        return {name: (table.name, dax) for table in self.tables.values() for name, dax in table.measures.items()}


def read(folder: Path = MODEL) -> "subprocess.CompletedProcess[str]":
    """Have Microsoft's parser read a folder of TMDL."""
    python = CACHE / "powerbi-tools" / "bin" / "python"
    require(python, say=f"run {_TOOLS / 'install.sh'} (make test does)")
    return subprocess.run(
        [python, _TOOLS / "read_model.py", folder], capture_output=True, text=True, check=False, timeout=120
    )


def model() -> Model:
    """Return the project's model."""
    done = read()
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    tables = {}
    for name, table in facts["tables"].items():
        ((mode, source),) = table["partitions"]
        columns = {column: tuple(about) for column, about in table["columns"].items()}
        tables[name] = Table(name, columns, table["measures"], mode, source)
    return Model(facts["errors"], facts["expressions"], [tuple(ends) for ends in facts["relationships"]], tables)


def as_sql(dax: str, measures: dict[str, tuple[str, str]]) -> str:
    """Return the SQL of a measure that is made of simple aggregates, differences and DIVIDE.

    Raises:
        ValueError: it is made of anything else.
    """
    sql = re.sub(r"(?<![\w'\])])\[([^\]]+)\]", lambda name: f"({as_sql(measures[name[1]][1], measures)})", dax)
    sql = _AGGREGATE.sub(lambda part: f'{_NAMES.get(part[1], part[1].lower())}("{part[2]}")', sql)
    if divided := re.fullmatch(r"DIVIDE \( (.+), (.+) \)", sql):
        sql = f"({divided[1]})::float8 / nullif({divided[2]}, 0)"
    if re.search(r"[A-Z]{2}|\[", sql):
        raise ValueError(f"{dax} has no SQL that says the same by itself")
    return sql
