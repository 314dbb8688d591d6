"""docs/performance.md: what is written by hand stays, what is measured stands between markers."""

import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyspark

from bench.stack import database_settings
from bench.tables import K, merged, read_table, table
from bench.way import Way
from integration.services.broker import RELEASE
from integration.services.processes import java
from support.repository import ROOT

_PAGE = ROOT / "docs" / "performance.md"


def rows(kind: type[K], section: str) -> list[K]:
    """Return the committed comparisons of a section, which has one kind of them."""
    return read_table(kind, content(_PAGE.read_text(), section))


def write(section: str, measured: Sequence[K], ways: Iterable[Way]) -> None:
    """Put new results in the place of old ones, and say on which machine and with which settings they were made."""
    text = _PAGE.read_text()
    if measured:
        kind = type(measured[0])
        text = replaced(text, section, table(kind, merged(rows(kind, section), measured)))
    text = replaced(text, "machine", _machine())
    _PAGE.write_text(replaced(text, "settings", _settings(text, ways)))


def put(section: str, text: str) -> None:
    """Put a text in the place of what a section has."""
    _PAGE.write_text(replaced(_PAGE.read_text(), section, text))


def content(text: str, name: str) -> str:
    """Return what stands between the markers of a name.

    Raises:
        ValueError: there are no such markers.
    """
    return _parts(text, name)[1]


def replaced(text: str, name: str, content: str) -> str:
    """Return a text with other content between the markers of a name.

    Raises:
        ValueError: there are no such markers.
    """
    head, _, tail = _parts(text, name)
    return f"{head}\n\n{content}\n{tail}"


def _parts(text: str, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, found, rest = text.partition(begin)
    inner, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"there is no {begin} … {end}")
    return head + begin, inner, end + tail


def _settings(text: str, ways: Iterable[Way]) -> str:
    known = dict(re.findall(r"^- (.+?): (`.*)$", text, re.MULTILINE))
    told = {way.name: ", ".join(f"`{name}={value}`" for name, value in way.settings.items()) for way in ways}
    return "".join(f"- {name}: {values}\n" for name, values in (known | told).items() if values)


def _machine() -> str:
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cores = Path("/proc/cpuinfo").read_text().count("processor\t:")
    (memory,) = re.findall(r"^MemTotal: +(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    facts = {
        "as of": datetime.now(UTC).date().isoformat(),
        "machine": f"{cores} cores of {model[1] if model else platform.machine()}, {int(memory) / 2**20:.0f} GiB",
        "PostgreSQL": _first_line("psql", "--version").removeprefix("psql (PostgreSQL) "),
        "its settings": ", ".join(f"{name} {value}" for name, value in database_settings().items()),
        "Kafka": RELEASE,
        "Spark": pyspark.__version__,
        "Java": _first_line(java(), "--version"),
        "Python": platform.python_version(),
    }
    return "".join(f"- {name}: {value}\n" for name, value in facts.items())


def _first_line(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]
