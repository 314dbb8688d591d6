"""The database rebuilt from the archive alone: the same rows as on the way that they took when they were told."""

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from integration.services.command import credentials_in, settings_of
from integration.services.database import Database, Server
from integration.services.records import task
from market_pulse.cli import app
from market_pulse.cli.database import connect
from market_pulse.cli.settings import CliSettings
from market_pulse.producer.archive import Archive
from market_pulse.producer.outbox import Message
from market_pulse.producer.rebuild import rebuild
from market_pulse_stream.decode import ANSWER_COLUMNS, BAR_COLUMNS, Record
from market_pulse_stream.sink import store
from support.vendor_days import SESSIONS, Days

# Every table that bars and answers end in, with the columns that do not tell how they came here.
_TABLES = {
    "bar": BAR_COLUMNS,
    "bar_revision": BAR_COLUMNS,
    "latest_bar": BAR_COLUMNS,
    "answer": ANSWER_COLUMNS,
    "quarantine": ("reason", "detail", "key", "value"),
}


def _store(database: Database, told: Sequence[Message], batch: int) -> None:
    first = task(database)
    with contextlib.closing(database.connect("writer")) as writer:
        for start in range(0, len(told), batch):
            records = [
                Record(start + place, message.symbol.encode(), message.value)
                for place, message in enumerate(told[start : start + batch])
            ]
            store(writer, replace(first, batch_id=start), records)


def _rows(database: Database, table: str) -> list[tuple[str]]:
    return database.query(f"SELECT ROW({', '.join(_TABLES[table])})::text FROM market.{table} ORDER BY 1")


def _hash(database: Database) -> str:
    columns = ", ".join(BAR_COLUMNS)
    query = f"SELECT md5(string_agg(ROW({columns})::text, ',' ORDER BY symbol, interval, bar_time)) FROM market.bar"
    return str(database.query(query)[0][0])


@pytest.fixture
def command(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command as on a host that has the producer and the database."""
    monkeypatch.setattr(CliSettings, "load_host", lambda: settings_of(database))
    keeper = partial(connect, credentials=credentials_in(tmp_path, "monitor", "keeper"))
    monkeypatch.setattr("market_pulse.cli.rebuild.connect", keeper)
    return lambda *arguments: CliRunner().invoke(app, ["rebuild", "--archive", str(tmp_path / "archive"), *arguments])


def test_the_command_says_equal_or_names_what_is_not(
    database: Database, tmp_path: Path, command: Callable[..., Result]
) -> None:
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rebuild%%'"
    refused = command()
    assert (refused.exit_code, "--archive names a copy" in refused.stderr) == (2, True)
    _store(database, list(Days(tmp_path, 4).live(40)), 1000)
    equal = command()
    assert (equal.exit_code, "equal, byte for byte: every bar\n" in equal.stdout) == (0, True), equal.output
    hashes = re.findall(r"\.bar ([0-9]+-[0-9a-f]{32})\n", equal.stdout)
    assert (len(hashes), len(set(hashes))) == (2, 1)
    assert database.query(schemas) == []
    database.query("DELETE FROM market.bar WHERE symbol = 'IBM' AND interval = 'daily'")
    different = command("--into", "rebuild_mine", "--keep")
    assert (different.exit_code, "different: IBM daily" in different.stdout) == (1, True), different.output
    assert database.query(schemas) == [("rebuild_mine",)]
    again = command("--into", "rebuild_mine")
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)


def test_only_what_the_archive_speaks_for_is_compared(
    database: Database, tmp_path: Path, command: Callable[..., Result]
) -> None:
    """As on a pipeline that runs: the archive is ahead of the database, and the database is older than the archive."""
    told = list(Days(tmp_path, 4).live(40))
    kept = len(told) * 3 // 4
    _store(database, told[:kept], 1000)
    ahead = command()
    assert (ahead.exit_code, "told by answers that are not stored yet" in ahead.stdout) == (0, True), ahead.output
    earlier = {"request_id": "'before'", "bar_time": "bar_time - interval '9 years'"}
    columns = ", ".join(earlier.get(name, name) for name in BAR_COLUMNS)
    database.query(f"INSERT INTO market.bar SELECT {columns} FROM market.latest_bar")
    newest = "SELECT bar_time FROM market.latest_bar"
    database.query(f"UPDATE market.bar SET request_id = 'since', close = open WHERE bar_time IN ({newest})")
    older = command()
    assert older.exit_code == 0, older.output
    (count,) = re.findall(r"not compared: (\d+) bars told by what was not read", older.stdout)
    before = database.query("SELECT count(*)::int FROM market.bar WHERE request_id = 'before'")[0][0]
    assert int(count) >= before > 0
    answered = "request_id IN (SELECT request_id FROM market.answer)"
    database.query(f"DELETE FROM market.bar WHERE ctid = (SELECT min(ctid) FROM market.bar WHERE {answered})")
    assert command().exit_code == 1


@pytest.mark.parametrize("batch", [1000, 37])
def test_the_database_from_the_archive_has_the_rows_of_the_live_one(
    database: Database, postgresql: Server, tmp_path: Path, batch: int
) -> None:
    _store(database, list(Days(tmp_path, 3).live(150)), batch)
    with postgresql.migrated_database() as rebuilt:
        _store(rebuilt, list(rebuild(Archive(tmp_path / "archive", 1).entries(), SESSIONS)), 500)
        assert _hash(rebuilt) == _hash(database)
        for table in _TABLES:
            assert _rows(rebuilt, table) == _rows(database, table)
        counts = {table: len(_rows(rebuilt, table)) for table in _TABLES}
        assert counts["bar"] > 500
        assert counts["bar_revision"] > counts["bar"]
        assert counts["quarantine"] > 0
        # One bar that is not the same would be seen.
        rebuilt.query(
            "UPDATE market.bar SET volume = volume + 1 WHERE bar_time = (SELECT max(bar_time) FROM market.bar)"
        )
        assert _hash(rebuilt) != _hash(database)
