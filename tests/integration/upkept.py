"""What the tests of the daily upkeep share: its settings, and months of rows."""

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psycopg2.extensions
import pytest

from integration.services.database import PASSWORD, Database
from market_pulse.keeper import connect
from market_pulse.upkeep.settings import UpkeepSettings
from support.repository import ROOT

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
