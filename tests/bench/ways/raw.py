"""The limits: what PostgreSQL itself takes, from a client that has nothing to do but to send.

Each connection sends the lines of its own partitions, ready in memory, in transactions of a fixed size.
"""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg2.extensions

from bench.upsert import CHANGES, COLUMNS, stage, upsert
from bench.way import Route, Stack, Way
from bench.workload import Kind, Load
from integration.services.database import Database
from market_pulse_stream.decode import bar_line

_TRANSACTION = 50_000
_CHUNK = 1 << 20
_BAR = upsert("market.bar")
_REVISION = f"""
INSERT INTO market.bar_revision ({COLUMNS}) SELECT {COLUMNS} FROM staged
ON CONFLICT ON CONSTRAINT bar_revision_pkey DO NOTHING
"""
_LATEST = f"""
INSERT INTO market.latest_bar AS latest ({COLUMNS})
SELECT DISTINCT ON (symbol, interval) {COLUMNS} FROM staged ORDER BY symbol, interval, bar_time DESC, fetched_at DESC
ON CONFLICT ON CONSTRAINT latest_bar_pkey DO UPDATE SET bar_time = excluded.bar_time, {CHANGES}
WHERE (latest.bar_time, latest.fetched_at) < (excluded.bar_time, excluded.fetched_at)
"""


@dataclass(frozen=True)
class Limit:
    """How the bars get into the tables: by statements from a staging table, or, without any, straight by COPY."""

    name: str
    statements: Sequence[str]


COPY = Limit("COPY into bar", ())
UPSERT = Limit("staging + upsert of bar", (_BAR,))
HISTORY = Limit("staging + upsert of bar, bar_revision", (_REVISION, _BAR))
TABLES = Limit("staging + upsert of bar, bar_revision, latest_bar", (_REVISION, _BAR, _LATEST))


@contextlib.contextmanager
def raw(
    _stack: Stack, route: Route, limit: Limit, connections: int
) -> Iterator[tuple[Way, Callable[[Load], Callable[[], None]]]]:
    """Give the way, and what makes a load ready."""
    with contextlib.ExitStack() as sessions:
        opened = [
            sessions.enter_context(contextlib.closing(_session(route.database, limit))) for _ in range(connections)
        ]
        workers = sessions.enter_context(ThreadPoolExecutor(connections))

        def prepare(load: Load) -> Callable[[], None]:
            parts = _parts(load, connections)

            def send() -> None:
                for sent in [workers.submit(_send, *work, limit) for work in zip(opened, parts, strict=True)]:
                    sent.result()

            return send

        name = f"raw {limit.name}, {connections} connection{'s' * (connections > 1)}"
        yield Way(name, {"transaction": str(_TRANSACTION)}, loads=_loads(limit)), prepare


def _loads(limit: Limit) -> list[Kind]:
    return [Kind.FRESH, Kind.AGAIN, Kind.MIXED] if limit.statements else [Kind.FRESH]


def _session(database: Database, limit: Limit) -> psycopg2.extensions.connection:
    session = database.connect("writer")
    if limit.statements:
        with session, session.cursor() as cursor:
            cursor.execute(stage("market.bar"))
    return session


def _parts(load: Load, connections: int) -> list[list[bytes]]:
    """Return for each connection the lines of its transactions."""
    lines: list[list[bytes]] = [[] for _ in range(connections)]
    for partition, bar in load.bars():
        fields = bar_line(bar, 0, 0).removesuffix("\t0\t0\n")
        lines[partition % connections].append(f"{fields}\n".encode())
    return [
        [b"".join(part[first : first + _TRANSACTION]) for first in range(0, len(part), _TRANSACTION)] for part in lines
    ]


def _send(session: psycopg2.extensions.connection, transactions: list[bytes], limit: Limit) -> None:
    target = "staged" if limit.statements else "market.bar"
    for lines in transactions:
        with session, session.cursor() as cursor:
            cursor.copy_expert(f"COPY {target} ({COLUMNS}) FROM STDIN", io.BytesIO(lines), _CHUNK)
            for statement in limit.statements:
                cursor.execute(statement)
