"""The sink killed with SIGKILL wherever it may be: the tables are those of a run that nobody disturbed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.services.database import PASSWORD, Database, Server
from integration.services.records import task
from integration.sink_state import state, undisturbed
from support.repository import ROOT

_BATCHES = 350
_KILLS = 50
_SEED = 20261126
# Of one life, so that fifty of them cannot come to the end of the batches.
_MOST = 5


class Lives:
    """Starts one life of the sink after the other."""

    def __init__(self, directory: Path, database: Database, batches: int) -> None:
        (directory / "mp_postgresql_writer_password").write_text(PASSWORD)
        self.notes = directory / "notes"
        server = database.server
        settings = {
            "notes": str(self.notes),
            "database": [server.host, server.port, database.name, server.accounts["writer"], str(server.authority)],
            "topic_id": str(task(database).topic_id),
            "batches": batches,
        }
        paths = os.pathsep.join(str(ROOT / name) for name in ("daemons", "spark_app", "tests"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "integration.sink_lives", json.dumps(settings)],
            env={**os.environ, "PYTHONPATH": paths, "CREDENTIALS_DIRECTORY": str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, die_at: int | None = None, most: int | None = None) -> int:
        """Start a life and return its process id."""
        self._process.stdin.write(json.dumps({"die_at": die_at, "most": most}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> int:
        """Return the signal that ended the life, or 0, when it has ended."""
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture
def lives(database: Database, tmp_path: Path) -> Iterator[Callable[[int], Lives]]:
    started = []

    def start(batches: int) -> Lives:
        started.append(Lives(tmp_path, database, batches))
        return started[-1]

    yield start
    for item in started:
        item.close()


def test_a_life_that_ends_at_any_step_of_a_batch_loses_and_doubles_nothing(
    postgresql: Server, database: Database, lives: Callable[[int], Lives]
) -> None:
    batches, steps = 30, 22
    sink = lives(batches)
    ends = []
    for step in range(1, steps + 1):
        sink.live(die_at=step, most=1)
        ends.append(sink.end())
    assert ends[:16] == [signal.SIGKILL] * 16
    assert ends[-1] == 0
    sink.live()
    assert sink.end() == 0
    assert state(database) == undisturbed(postgresql, batches)


def test_fifty_kills_at_random_points_leave_the_table_as_none_does(
    postgresql: Server, database: Database, lives: Callable[[int], Lives]
) -> None:
    sink, chance, kills, noted = lives(_BATCHES), random.Random(_SEED), 0, 0  # noqa: S311 - no secret
    assert (sink.live(most=1), sink.end())[1] == 0
    begun = time.monotonic()
    assert (sink.live(most=_MOST), sink.end())[1] == 0
    span = time.monotonic() - begun
    while kills < _KILLS:
        process = sink.live(most=_MOST)
        time.sleep(chance.uniform(0, span))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        if sink.end() == signal.SIGKILL:
            kills += 1
        else:
            # The machine has become faster than it was when the span was taken.
            span *= 0.8
        # In one snapshot: what the killed client had asked to commit, its server may commit a moment later.
        ((stored, told),) = database.query(
            "SELECT next_offset, (SELECT sum(received + answers)::int FROM market.batch) FROM market.stream_position"
        )
        assert stored == told
        before, noted = noted, len(sink.notes.read_text().splitlines())
        if noted == before:
            # Or slower.
            span *= 1.1
        assert noted < _BATCHES, f"{noted} batches were stored after {kills} kills: there is nothing left to disturb"
    assert noted > _KILLS
    sink.live()
    assert sink.end() == 0
    assert state(database) == undisturbed(postgresql, _BATCHES)
