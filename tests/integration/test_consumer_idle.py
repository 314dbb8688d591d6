"""What a consumer keeps ready while no bars come, with a real Spark."""

import contextlib
import re
import time
from pathlib import Path

import pytest

from integration.consumed import await_received, bars, publish
from integration.services.broker import Broker
from integration.services.consumer import Consumer, consumer
from integration.services.database import Database
from support.waiting import eventually

# Spark ends a Python process after a minute without a task, which it looks for every ten seconds.
_SPARKS_PATIENCE = 80


@pytest.mark.slow
def test_a_bar_after_a_quiet_minute_does_not_wait_for_a_new_process(
    broker: Broker, database: Database, topic: str, tmp_path: Path
) -> None:
    with consumer(tmp_path, broker, database, topic) as started:
        sent = publish(broker, topic, bars([0]))
        await_received(database, sent, started)
        before, since = workers(started), time.monotonic()
        assert before
        eventually(
            lambda: time.monotonic() - since > _SPARKS_PATIENCE, within=2 * _SPARKS_PATIENCE, what="a quiet minute"
        )
        await_received(database, sent + publish(broker, topic, bars([1])), started)
        assert workers(started) & before


def workers(started: Consumer) -> set[int]:
    """Return the processes in which Spark runs Python: what their daemon, a child of the JVM, has forked."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        # One that has ended meanwhile is none.
        with contextlib.suppress(OSError):
            found = re.search(r"^PPid:\t(\d+)$", status.read_text(), re.MULTILINE)
            parents[int(status.parent.name)] = int(found[1]) if found else 0
    daemons = {pid for pid, parent in parents.items() if parent == started.process.pid}
    return {pid for pid, parent in parents.items() if parent in daemons}
