"""What a task does when PostgreSQL fails: it tries again what passes by itself, and ends with everything else."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg2
import psycopg2.errors
import pytest

from integration.services.database import PASSWORD, Database, waiting_for_locks
from integration.services.records import APPENDED, OPENING, as_arrow, bar, records, task
from market_pulse_stream import postgresql, sink, writer
from market_pulse_stream.decode import Record
from market_pulse_stream.writer import PartitionWriter
from support.waiting import eventually

_LATER = OPENING.replace(hour=20)


class Attempts:
    """Runs a task in a thread of its own, and counts how often it stores."""

    def __init__(self, database: Database) -> None:
        server = database.server
        self.count = 0
        self._target = postgresql.Database(
            server.host, server.port, database.name, server.accounts["writer"], str(server.authority)
        )
        self._topic_id = task(database).topic_id
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)

    def counted(self, *arguments: object, **options: object) -> object:
        self.count += 1
        return sink.store_parts(*arguments, **options)

    def _run(self) -> None:
        told = [*records(bar(fetched_at=_LATER, close="11.99")), Record(1, b"IBM", b"junk", APPENDED)]
        try:
            list(
                PartitionWriter(self._target, uuid4(), 0, self._topic_id, "bars", {0: range(2)})(iter([as_arrow(told)]))
            )
        except psycopg2.Error as error:
            self._error = error

    def start(self) -> None:
        self._thread.start()

    def end(self) -> Exception | None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self._error


@pytest.fixture
def attempts(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attempts]:
    (tmp_path / "mp_postgresql_writer_password").write_text(PASSWORD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    made = Attempts(database)
    monkeypatch.setattr(writer, "store_parts", made.counted)
    yield made
    for session in writer._sessions.values():  # noqa: SLF001 - what an executor's exit closes
        session.close()
    writer._sessions.clear()  # noqa: SLF001


@contextlib.contextmanager
def holding(database: Database, statement: str) -> Iterator[psycopg2.extensions.connection]:
    """Give a session that holds the locks of a statement until the block ends."""
    with contextlib.closing(database.connect()) as session:
        session.cursor().execute(statement)
        yield session


def assert_untouched(database: Database) -> None:
    for table in ("bar_revision", "latest_bar", "quarantine", "batch", "answer"):
        assert database.query(f"SELECT count(*) FROM market.{table}") == [(0,)], table
    assert database.query("SELECT next_offset FROM market.stream_position") == [(0,)]


def assert_stored_once(database: Database) -> None:
    for table in ("bar", "bar_revision", "latest_bar", "quarantine", "batch"):
        assert database.query(f"SELECT count(*) FROM market.{table}") == [(1,)], table
    assert database.query("SELECT next_offset FROM market.stream_position") == [(2,)]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("REVOKE INSERT ON market.bar FROM market_pulse_writer", psycopg2.errors.InsufficientPrivilege),
        ("REVOKE UPDATE ON market.stream_position FROM market_pulse_writer", psycopg2.errors.InsufficientPrivilege),
        ("REVOKE INSERT ON market.batch FROM market_pulse_writer", psycopg2.errors.InsufficientPrivilege),
        ("ALTER TABLE market.bar RENAME TO bars", psycopg2.errors.UndefinedTable),
        ("ALTER TABLE market.quarantine RENAME TO elsewhere", psycopg2.errors.UndefinedTable),
        ("ALTER TABLE market.latest_bar DROP COLUMN volume CASCADE", psycopg2.errors.UndefinedColumn),
        ("ALTER TABLE market.bar ADD CONSTRAINT odd CHECK (volume = 1)", psycopg2.errors.CheckViolation),
        ("ALTER DATABASE {} SET default_transaction_read_only = on", psycopg2.errors.ReadOnlySqlTransaction),
    ],
)
def test_a_fault_that_stays_ends_the_task_with_nothing_in_quarantine(
    database: Database, attempts: Attempts, fault: str, error: type[Exception]
) -> None:
    database.query(fault.format(database.name))
    attempts.start()
    assert isinstance(attempts.end(), error)
    assert attempts.count == 1
    if "elsewhere" in fault:
        database.query("SET transaction_read_only = off; ALTER TABLE market.elsewhere RENAME TO quarantine")
    assert_untouched(database)


def test_a_session_that_is_terminated_in_its_transaction_is_tried_again(
    database: Database, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_positions: Callable[..., dict[int, tuple[int, int]]] = sink.lock_positions

    def terminated(*arguments: object) -> dict[int, tuple[int, int]]:
        locked = lock_positions(*arguments)
        if attempts.count == 1:
            database.end_sessions("writer")
        return locked

    monkeypatch.setattr(sink, "lock_positions", terminated)
    attempts.start()
    assert attempts.end() is None
    assert attempts.count == 2
    assert_stored_once(database)


def test_a_serialization_failure_is_tried_again(database: Database, attempts: Attempts) -> None:
    database.query(f"ALTER DATABASE {database.name} SET default_transaction_isolation = 'repeatable read'")
    with holding(database, "UPDATE market.stream_position SET updated_at = now()") as other:
        attempts.start()
        eventually(lambda: waiting_for_locks(database) == 1, within=20, what="the task waits", every=0.02)
        other.commit()
    assert attempts.end() is None
    assert attempts.count == 2
    assert_stored_once(database)


def test_a_deadlock_is_tried_again(database: Database, attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever waits for its time first is the one that PostgreSQL ends: here the task.
    monkeypatch.setattr(postgresql, "_OPTIONS", "-c timezone=UTC")
    database.query(f"ALTER ROLE market_pulse_writer IN DATABASE {database.name} SET deadlock_timeout = '2s'")
    with holding(database, "SET deadlock_timeout = '60s'; LOCK TABLE market.bar IN SHARE MODE") as other:
        attempts.start()
        eventually(lambda: waiting_for_locks(database) == 1, within=20, what="the task waits", every=0.02)
        other.cursor().execute("UPDATE market.stream_position SET updated_at = now()")
        other.commit()
    assert attempts.end() is None
    assert attempts.count == 2
    assert_stored_once(database)


def test_a_lock_that_another_holds_too_long_is_tried_again(
    database: Database, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_OPTIONS", "-c timezone=UTC -c lock_timeout=100ms")
    with holding(database, "LOCK TABLE market.bar IN SHARE MODE"):
        attempts.start()
        eventually(lambda: attempts.count > 1, within=20, what="the task tries again", every=0.02)
    assert attempts.end() is None
    assert_stored_once(database)


def test_a_statement_that_takes_too_long_is_not_tried_again(
    database: Database, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_OPTIONS", "-c timezone=UTC -c statement_timeout=300ms")
    with holding(database, "LOCK TABLE market.bar IN SHARE MODE"):
        attempts.start()
        assert isinstance(attempts.end(), psycopg2.errors.QueryCanceled)
    assert attempts.count == 1
    assert_untouched(database)
