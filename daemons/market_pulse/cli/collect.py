"""Asks this host, the database and the broker; what cannot be asked is named, not guessed."""

import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
from kafka.errors import KafkaError
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names its classes in lower case

from market_pulse import progress
from market_pulse.cli.report import Facts, Ledger, Partition, Series, Unit
from market_pulse.cli.settings import CliSettings
from market_pulse.clock import MarketClock
from market_pulse.contract import Interval
from market_pulse.errors import TopicError
from market_pulse.topic import Topic, look_up

_Answer = TypeVar("_Answer")
# By topic id and partition: the next offset to store, and why the consumer does not.
_Positions = Mapping[tuple[str, int], tuple[int, str | None]]
_PRODUCER_PROGRESS = Path("/run/market-pulse-producer") / progress.NAME
_UNIT_PROPERTIES = ("Id", "ActiveState", "SubState", "Result", "NRestarts", "StatusText")
_DEADLINE_SECONDS = 5
_LEDGER_COLUMNS = ("received", "stored", "unchanged", "superseded", "quarantined")
_LATEST = "SELECT symbol, interval, bar_time, fetched_at FROM market.latest_bar ORDER BY symbol, interval"
_LEDGER = f"SELECT {', '.join(f'coalesce(sum({column}), 0)' for column in _LEDGER_COLUMNS)} FROM market.batch"  # noqa: S608 - from the constant above
_QUARANTINE = "SELECT reason, count(*) FROM market.quarantine GROUP BY reason ORDER BY reason"
_POSITIONS = "SELECT topic_id::text, partition, next_offset, held FROM market.stream_position WHERE topic = %s"


def facts(settings: CliSettings) -> Facts:
    """Ask everything once; a part that does not answer within seconds ends in `Facts.unreachable`."""
    market_time = MarketClock.from_settings(settings).now()
    unreachable: dict[str, str] = {}
    stored = _ask("PostgreSQL", lambda: _stored(settings, market_time), unreachable, (psycopg2.Error,)) or {}
    positions: _Positions = stored.pop("positions", {})
    topic = _ask(
        "Kafka",
        lambda: look_up(settings.kafka_bootstrap_servers, settings.topic),
        unreachable,
        (KafkaError, TopicError),
    )
    return Facts(
        at=datetime.now(UTC),
        market_time=market_time,
        interval=Interval(settings.interval).length,
        units=_units(),
        partitions=_partitions(topic, positions) if topic else (),
        producer=progress.read(_PRODUCER_PROGRESS),
        unreachable=unreachable,
        **stored,
    )


def _ask(
    part: str, question: Callable[[], _Answer], unreachable: dict[str, str], failure: tuple[type[Exception], ...]
) -> _Answer | None:
    try:
        return question()
    except failure as error:
        unreachable[part] = " ".join(str(error).split()) or type(error).__name__
        return None


def _units() -> tuple[Unit, ...]:
    """Return the market-pulse units of this host, installed or failed, by name."""
    shown = subprocess.run(  # noqa: S603 - constants only
        ["systemctl", "show", "--all", f"--property={','.join(_UNIT_PROPERTIES)}", "market-pulse-*.service"],  # noqa: S607 - found as an operator finds it
        check=True,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_SECONDS,
    ).stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n") if block]
    return tuple(
        Unit(
            name=block["Id"].removesuffix(".service"),
            active=block["ActiveState"],
            sub=block["SubState"],
            result=block["Result"],
            restarts=int(block["NRestarts"]),
            sentence=block["StatusText"],
        )
        for block in sorted(blocks, key=lambda block: block["Id"])
    )


def _partitions(topic: Topic, positions: _Positions) -> tuple[Partition, ...]:
    """Return every partition; one that no consumer has seen yet counts from its beginning."""
    return tuple(
        Partition(number, end, *positions.get((str(topic.id), number), (topic.beginning[number], None)))
        for number, end in sorted(topic.end.items())
    )


def _stored(settings: CliSettings, market_time: datetime) -> dict[str, Any]:
    """Return the fields of `Facts` that the database knows, and the stored position of each partition."""
    connection = psycopg2.connect(
        host=settings.database_host,
        port=settings.database_port,
        dbname=settings.database_name,
        user=settings.database_user,
        password=settings.postgresql_monitor_password.get_secret_value(),
        connect_timeout=_DEADLINE_SECONDS,
        options=f"-c statement_timeout={_DEADLINE_SECONDS}s -c timezone=UTC",
    )
    try:
        with connection, connection.cursor() as cursor:
            return {
                "series": tuple(
                    Series(symbol, interval, bar_time, fetched_at, market_time - bar_time)
                    for symbol, interval, bar_time, fetched_at in _rows(cursor, _LATEST)
                ),
                "bars": _rows(cursor, "SELECT count(*) FROM market.bar")[0][0],
                "ledger": Ledger(**dict(zip(_LEDGER_COLUMNS, map(int, _rows(cursor, _LEDGER)[0]), strict=True))),
                "quarantine": dict(_rows(cursor, _QUARANTINE)),
                "positions": {row[:2]: row[2:] for row in _rows(cursor, _POSITIONS, settings.topic)},
            }
    finally:
        connection.close()


def _rows(cursor: Cursor, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    cursor.execute(query, parameters)
    return cursor.fetchall()
