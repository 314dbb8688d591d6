"""Backups of a real server by the real pgBackRest: proven, or said not to be, and restored as docs/backups.md says."""

import contextlib
import shlex
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest

from integration.services.backups import BackedUp, backed_up_cluster
from integration.services.command import credentials_in, settings_of
from integration.services.database import OS_USER, Database, Server, waiting_for_locks
from integration.upkept import fill
from market_pulse.backup import content, proof, scratch
from market_pulse.cli import backup_facts, backups
from market_pulse.cli.backups import Backups
from market_pulse.cli.database import connect
from market_pulse.cli.finding import Level
from support.backups_page import documented
from support.waiting import eventually

_A_BAR = "symbol = 'S1' AND bar_time < '2025-11-01 00:02Z'"
_BESIDE = "/var/lib/postgresql/before"


@pytest.fixture(scope="module")
def backed_up() -> Iterator[BackedUp]:
    with backed_up_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def server(backed_up: BackedUp) -> Server:
    return backed_up.server


@pytest.fixture(scope="module")
def bars(backed_up: BackedUp, server: Server) -> Iterator[Database]:
    """A database with two months of bars, and a first backup without the second one."""
    with server.migrated_database() as database:
        database.query("SELECT market.ensure_partitions('2025-11-01Z', '2025-12-01Z')")
        fill(database, "bar", "2025-11")
        backed_up.back_up(database)
        for table in ("bar", "bar_revision"):
            fill(database, table, "2025-12", rows=500)
        yield database


def seen(database: Database, folder: Path) -> Backups:
    """Return what the monitor sees."""
    session = connect(settings_of(database), credentials=credentials_in(folder, "monitor"))
    with contextlib.closing(session), session.cursor() as cursor:
        return backup_facts.look(cursor)


def instant_of(database: Database) -> str:
    """Return the server's time, as the page writes it."""
    return str(database.query("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.US+00')")[0][0])


def test_a_restored_backup_has_the_same_rows(backed_up: BackedUp, bars: Database, tmp_path: Path) -> None:
    verdict, sentence = backed_up.prove(bars)
    assert verdict == "proven", sentence
    assert "3000 of them bars" in sentence
    found = seen(bars, tmp_path)
    assert [made.kind for made in found.made] == ["full"]
    assert found.proven is not None
    assert (found.proven.bars, found.proven.backup_at) == (3000, found.made[-1].finished_at)
    assert list(backups.findings(found, found.proven.finished_at)) == []
    assert list(backed_up.state.iterdir()) == [], "the scratch cluster is gone"


def test_bars_that_come_meanwhile_do_not_disturb(backed_up: BackedUp, bars: Database) -> None:
    over = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with contextlib.closing(bars.connect()) as session, session.cursor() as cursor:
            while not over.is_set():
                cursor.execute("UPDATE market.bar SET volume = volume + 1 WHERE bar_time < '2025-11-01 00:30Z'")
                session.commit()
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert backed_up.prove(bars)[0] == "proven"
    finally:
        over.set()
        writer.join()
    assert written > 100


def test_a_mark_waits_for_who_writes_and_for_nobody_else(database: Database) -> None:
    fill(database, "bar", "2025-11", rows=10)
    marked: list[content.Marked] = []
    marker = threading.Thread(target=lambda: marked.append(content.mark(database.connect, "here")))
    with contextlib.closing(database.connect()) as writer, writer.cursor() as cursor:
        cursor.execute("UPDATE market.bar SET volume = 5")
        marker.start()
        try:
            eventually(lambda: waiting_for_locks(database), within=30, what="the mark waits", every=0.01)
            # Another one is held up for no longer than the mark's own patience.
            database.query("SET statement_timeout = '5s'; DELETE FROM market.bar WHERE volume = 5")
        finally:
            writer.commit()
            marker.join()
    with contextlib.closing(database.connect()) as session, session.cursor() as cursor:
        now = content.contents(cursor, marked[0].contents)
    assert (marked[0].bars, content.differences(marked[0].contents, now)) == (10, [])


def test_a_restored_row_that_differs_is_named(
    backed_up: BackedUp, bars: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    honest = scratch.restored

    @contextlib.contextmanager
    def tampered(*given: Any) -> Iterator[psycopg2.extensions.connection]:
        with honest(*given) as session:
            with session.cursor() as cursor:
                cursor.execute(f"UPDATE market.bar SET high = high + 0.00000001 WHERE {_A_BAR}")
                assert cursor.rowcount == 1
            yield session

    monkeypatch.setattr(scratch, "restored", tampered)
    verdict, sentence = backed_up.prove(bars)
    assert (verdict, sentence.split(" has ")[0]) == ("different", "market.bar_2025_11")
    found = seen(bars, tmp_path)
    assert found.failed is not None
    (finding,) = backups.findings(found, found.failed.finished_at)
    assert finding.level is Level.DOWN
    assert sentence in finding.sentence
    monkeypatch.undo()
    assert backed_up.prove(bars)[0] == "proven"
    assert seen(bars, tmp_path).failed is None


def test_a_damaged_backup_is_no_proof(backed_up: BackedUp, bars: Database) -> None:
    files = [path for path in backed_up.repository.glob("backup/*/*F/bundle/*") if path.stat().st_size > 10_000]
    assert files
    whole = [path.read_bytes() for path in files]
    for path, read in zip(files, whole, strict=True):
        path.write_bytes(read[: len(read) // 2] + bytes(64) + read[len(read) // 2 + 64 :])
    try:
        verdict, sentence = backed_up.prove(bars)
    finally:
        for path, read in zip(files, whole, strict=True):
            path.write_bytes(read)
    assert verdict == "failed"
    assert "pgbackrest restore ended with" in sentence
    assert list(backed_up.state.iterdir()) == []


@contextlib.contextmanager
def repository_away(backed_up: BackedUp, database: Database, folder: Path) -> Iterator[None]:
    """Take the repository's disk away until the block ends and PostgreSQL has caught up."""
    away = backed_up.repository.with_name("away")
    backed_up.repository.rename(away)
    try:
        yield
    finally:
        away.rename(backed_up.repository)
    database.query("SELECT pg_create_restore_point('of what wakes the archiver')")
    database.query("SELECT pg_switch_wal()")
    eventually(lambda: seen(database, folder).archive.waiting == 0, within=90, what="WAL is archived", every=0.2)


def test_a_repository_that_takes_no_wal_is_said(backed_up: BackedUp, bars: Database, tmp_path: Path) -> None:
    failures = "SELECT failed_count FROM pg_stat_archiver"
    before = bars.query(failures)
    with repository_away(backed_up, bars, tmp_path):
        bars.query("SELECT pg_create_restore_point('of what is not archived')")
        bars.query("SELECT pg_switch_wal()")
        eventually(lambda: bars.query(failures) > before, within=30, what="the archive fails", every=0.1)
        archive = seen(bars, tmp_path).archive
        assert archive.waiting_since is not None
        found = backups.findings(seen(bars, tmp_path), archive.waiting_since + timedelta(minutes=6))
        (finding,) = [finding for finding in found if finding.key == "archive"]
        assert f"{archive.waiting} files of WAL have not been archived since" in finding.sentence
        verdict, sentence = backed_up.prove(bars)
        assert (verdict, "mount its disk" in sentence) == ("failed", True), sentence


def test_wal_that_nobody_takes_does_not_fill_the_disk(backed_up: BackedUp, bars: Database, tmp_path: Path) -> None:
    log = backed_up.cluster.directory / "server.log"
    with repository_away(backed_up, bars, tmp_path):
        for number in range(8):
            bars.query("SELECT pg_create_restore_point(%s)", f"number {number}")
            bars.query("SELECT pg_switch_wal()")
        eventually(lambda: "because archive queue exceeded" in log.read_text(), within=60, what="WAL is given up")
        eventually(lambda: seen(bars, tmp_path).archive.waiting <= 4, within=90, what="as much waits as may wait")
    verdict, sentence = backed_up.prove(bars)
    assert (verdict, "recovery ended before" in sentence) == ("failed", True), sentence
    backed_up.back_up(bars)
    assert backed_up.prove(bars)[0] == "proven"


def test_a_proof_does_not_wait_for_wal_for_ever(
    backed_up: BackedUp, bars: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "_waits", lambda *_: True)
    monkeypatch.setattr(proof, "_ARCHIVED_WITHIN", timedelta(seconds=0.3))
    verdict, sentence = backed_up.prove(bars)
    assert verdict == "failed"
    assert "was not archived within" in sentence


def test_a_few_rows_are_taken_back_from_beside(backed_up: BackedUp, bars: Database) -> None:
    row = bars.query(f"SELECT * FROM market.bar WHERE {_A_BAR}")
    instant = instant_of(bars)
    bars.query(f"DELETE FROM market.bar WHERE {_A_BAR}")
    later = bars.query("UPDATE market.bar SET volume = 7 WHERE bar_time > '2025-12-01' RETURNING volume")
    folder = backed_up.cluster.directory
    changes = {
        f"install -d -o postgres -g postgres -m 0700 {_BESIDE}": f"mkdir -m 0700 {folder}/before",
        _BESIDE: f"{folder}/before",
        "runuser -u postgres -- ": "",
        "/usr/lib/postgresql/*/bin": str(backed_up.cluster.binaries),
        "root postgres >": f"{OS_USER or '$(id -un)'} >",
        "/root/": f"{folder}/",
        "psql -U postgres market_pulse": f"psql -U postgres {bars.name}",
        "-U postgres market_pulse": f"-U postgres {bars.name}",
    }
    script = "\n".join([f"export PGHOST={folder} PGPORT={bars.server.port}", *documented("beside", instant, _A_BAR)])
    for old, new in changes.items():
        assert old in script, old
        script = script.replace(old, new)
    backed_up.cluster.run("sh", "-eu", "-c", script)
    assert bars.query(f"SELECT * FROM market.bar WHERE {_A_BAR}") == row
    assert bars.query("SELECT volume FROM market.bar WHERE bar_time > '2025-12-01'") == later
    assert not (folder / "before").exists()


def test_the_whole_is_taken_back_to_before_a_bar_was_deleted(backed_up: BackedUp, bars: Database) -> None:
    row = bars.query(f"SELECT * FROM market.bar WHERE {_A_BAR}")
    assert row
    instant = instant_of(bars)
    bars.query(f"DELETE FROM market.bar WHERE {_A_BAR}")
    fill(bars, "bar", "2025-11", symbol="T", rows=5)
    lines = documented("in place", instant)
    (restore,) = [line for line in lines if "pgbackrest" in line]
    assert [lines.index(line) < lines.index(restore) for line in lines if " stop " in line] == [True, True]
    backed_up.stop()
    backed_up.cluster.run(*shlex.split(restore.removeprefix("runuser -u postgres -- ")))
    backed_up.start()
    writable = "SELECT NOT pg_is_in_recovery()"
    eventually(lambda: bars.query(writable)[0][0], within=60, what="the server is recovered", every=0.1)
    assert bars.query(f"SELECT * FROM market.bar WHERE {_A_BAR}") == row
    assert bars.query("SELECT count(*) FROM market.bar WHERE symbol LIKE 'T_'") == [(0,)]
    backed_up.back_up(bars)
    assert [label[-1] for (label,) in bars.query("SELECT label FROM market.backup ORDER BY label")] == ["F", "D", "D"]
    assert backed_up.prove(bars)[0] == "proven"
