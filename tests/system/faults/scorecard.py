"""The score card: what each fault cost, as rows of the table in the README; only what was tried anew is replaced."""

import os
import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

_BEGIN, _END = "<!-- score card: begin -->", "<!-- score card: end -->"
_HEAD = (
    "| fault | what happened | back within | budget | lost | doubled | on |\n"
    "| --- | --- | ---: | ---: | ---: | ---: | --- |\n"
)
_ROW = re.compile(r"^\| (?!fault |--- )(?P<fault>\S+) \|.*\|$", re.MULTILINE)
_NUMBER = re.compile(r"(\d+)")


class Row(NamedTuple):
    """One trial that held; times in seconds, `lost` in bars, `doubled` in rows and records."""

    fault: str
    what: str
    recovered: float
    budget: float
    lost: int
    doubled: int

    def line(self, on: date, machine: str) -> str:
        """Return the row as Markdown."""
        figures = f"{self.recovered:.0f} s | {self.budget:.0f} s | {self.lost} | {self.doubled}"
        return f"| {self.fault} | {self.what} | {figures} | {on:%Y-%m-%d}, {machine} |"


@dataclass
class Card:
    """The rows of this run."""

    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Note a trial."""
        self.rows.append(row)

    def write(self, path: Path, on: date, machine: str) -> None:
        """Put the rows into the table between the marks of a Markdown file."""
        text = path.read_text()
        path.write_text(replaced(text, {row.fault: row.line(on, machine) for row in self.rows}))


def replaced(text: str, lines: dict[str, str]) -> str:
    """Return a text whose table has these rows by fault beside its other ones, in the order of the faults' IDs."""
    head, begin, rest = text.partition(_BEGIN)
    table, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"there is no table between {_BEGIN} and {_END}")
    rows = {found["fault"]: found.group() for found in _ROW.finditer(table)} | lines
    ordered = sorted(rows, key=lambda fault: [int(part) if part.isdigit() else part for part in _NUMBER.split(fault)])
    body = "".join(f"{rows[fault]}\n" for fault in ordered)
    return f"{head}{begin}\n{_HEAD}{body}{end}{tail}"


def machine() -> str:
    """Return what the figures depend on most."""
    return f"{os.cpu_count()} cores"
