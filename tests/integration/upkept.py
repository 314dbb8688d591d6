"""What the tests of the daily upkeep share: its settings, months of rows, and what has left for files."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psycopg2.extensions
import pyarrow.parquet as pq
import pytest

from integration.audited import at
from integration.services.database import PASSWORD, Database
from market_pulse.keeper import connect
from market_pulse.upkeep import parquet
from market_pulse.upkeep.export import Exporter
from market_pulse.upkeep.settings import UpkeepSettings
from support.repository import ROOT

# What is older leaves.
EDGE = at("2025-12-01 00:00")
_FILL = """
INSERT INTO market.{table}
SELECT '{symbol}' || n % 7, '1min', '{month}-01Z'::timestamptz + n * interval '1 min 0.000001 s', 10.1,
    700000.00000001, 0.0001, 9.5000 + n, 9007199254740993 + n, n % 3 > 0, 'test',
    'r' || n, '{month}-28Z'::timestamptz + n * interval '1 s'
    {more}
FROM generate_series(1, {rows}) AS n
"""
# No month is dropped that is not well before the newest bar.
NEWEST = """
INSERT INTO market.latest_bar
SELECT 'IBM', '1min', '2026-02-05 14:30Z', 1, 1, 1, 1, 1, true, 'test', 'r1', '2026-02-05 14:31Z'
"""
_MORE = ", now(), CASE WHEN n % 2 = 0 THEN n % 12 END, CASE WHEN n % 2 = 0 THEN n END"


def fill(database: Database, table: str, month: str, *, symbol: str = "S", rows: int = 2500) -> None:
    """Store rows of a month, such as ``2025-11``, in ``bar`` or ``bar_revision``."""
    more = _MORE if table == "bar_revision" else ""
    database.query(_FILL.format(table=table, month=month, more=more, symbol=symbol, rows=rows))


class Session(NamedTuple):
    """The upkeep's settings and its session."""

    settings: UpkeepSettings
    keeper: psycopg2.extensions.connection


def settings_of(database: Database, state: Path, *, keep: str) -> dict[str, str]:
    """Return an environment as the unit gives it, of a market where it is February 2026."""
    (state / "mp_postgresql_keeper_password").write_text(PASSWORD)
    started = datetime.now(UTC)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "daemons"),
        "CREDENTIALS_DIRECTORY": str(state),
        "STATE_DIRECTORY": str(state),
        "MP_CLOCK_REAL_START": started.isoformat(),
        "MP_CLOCK_MARKET_START": "2026-02-05T14:30:00Z",
        **database.environment("keeper"),
        "MP_EXCHANGE": "XNYS",
        "MP_KEEP_MONTHS": keep,
        "MP_MONTHS_AHEAD": "3",
    }


@contextlib.contextmanager
def session(database: Database, state: Path, monkeypatch: pytest.MonkeyPatch, *, keep: str = "0") -> Iterator[Session]:
    """Give the upkeep's settings and a session as it has it."""
    for name, value in settings_of(database, state, keep=keep).items():
        monkeypatch.setenv(name, value)
    settings = UpkeepSettings.load()
    with contextlib.closing(connect(settings, "test", statement_timeout="1h")) as keeper:
        yield Session(settings, keeper)


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
