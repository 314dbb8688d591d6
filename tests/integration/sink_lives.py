"""Lives of the sink in processes of their own, to be killed: ``python -m integration.sink_lives SETTINGS``.

Each line of standard input starts one life, as JSON: after how many steps it kills itself, and how many batches it may
store. The life's process id is printed at once and the signal that ended it, or 0, at its end. A life stores the
batches that follow the last one noted in the file of notes, which stands for Spark's log of committed batches.
"""

import json
import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2.extensions
import pyarrow as pa

from integration.services.records import as_arrow, mixed_batches
from market_pulse_stream.postgresql import Database
from market_pulse_stream.writer import PartitionWriter

_steps = count(1)
_last_step: int | None = None


def step() -> None:
    """Count one more place where a life can end, and end it if this is the one."""
    if next(_steps) == _last_step:
        os.kill(os.getpid(), signal.SIGKILL)


class Cursor(psycopg2.extensions.cursor):
    """Counts a step before and after each statement."""

    def execute(self, *arguments: Any) -> None:
        step()
        super().execute(*arguments)
        step()

    def copy_expert(self, *arguments: Any) -> None:
        step()
        super().copy_expert(*arguments)
        step()


class CountedDatabase(Database):
    """Opens sessions whose statements are counted."""

    def connect(self, application: str) -> psycopg2.extensions.connection:
        session = super().connect(application)
        session.cursor_factory = Cursor
        return session


def live(settings: dict[str, Any], batches: list[pa.RecordBatch], order: dict[str, Any]) -> None:
    global _last_step  # noqa: PLW0603 - a life is one process
    _last_step = order["die_at"]
    notes = Path(settings["notes"])
    noted = len(notes.read_text().splitlines()) if notes.exists() else 0
    database = CountedDatabase(*settings["database"])
    topic_id, run_id = UUID(settings["topic_id"]), uuid4()
    for number, batch in list(enumerate(batches))[noted:][: order["most"]]:
        offsets = batch.column("offset").to_pylist()
        read = {0: range(offsets[0], offsets[-1] + 1)}
        list(PartitionWriter(database, run_id, number, topic_id, "bars", read)(iter([batch])))
        step()
        with notes.open("a") as file:
            file.write(f"{number}\n")
        step()


def main() -> None:
    settings = json.loads(sys.argv[1])
    batches = [as_arrow(records) for records in mixed_batches(settings["batches"])]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            live(settings, batches, json.loads(line))
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer
        print(os.waitpid(child, 0)[1] & 0x7F, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
