"""Asks this host, the database and the broker; what cannot be asked is named, not guessed."""

import dataclasses
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psycopg2
from kafka.errors import KafkaError
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names its classes in lower case

from market_pulse import progress
from market_pulse.cli import backup_facts, host_facts, replication_facts
from market_pulse.cli.database import connect
from market_pulse.cli.facts import AuditFinding, Completeness, Facts, Ledger, Partition, Run, Series, Unit
from market_pulse.cli.settings import CONSUMER_RUNTIME, CREDENTIALS, PRODUCER_RUNTIME, CliSettings
from market_pulse.clock import MarketClock
from market_pulse.contract import Interval
from market_pulse.errors import SettingsError, TopicError
from market_pulse.health import GRACE_SECONDS, ConsumerProgress
from market_pulse.topic import Topic, look_up

_Answer = TypeVar("_Answer")
# By topic id and partition: the next offset to store, and why the consumer does not.
_Positions = Mapping[tuple[str, int], tuple[int, str | None]]
_UNIT_PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "Result", "NRestarts", "StatusText", "Type")
_DEADLINE_SECONDS = 5
_HOST_FAILURES = (OSError, subprocess.SubprocessError, ValueError)
_LEDGER_COLUMNS = ("received", "stored", "unchanged", "superseded", "quarantined")
_LATEST = "SELECT symbol, interval, bar_time, fetched_at FROM market.latest_bar ORDER BY symbol, interval"
# Neither takes longer as the pipeline grows older: `market-pulse verify` counts all there is.
_LEDGER = f"""
SELECT {", ".join(f"coalesce(sum({column}), 0)" for column in _LEDGER_COLUMNS)} FROM market.batch
WHERE recorded_at > now() - INTERVAL '1 day'
"""  # noqa: S608 - from the constant above
_MOST_COUNTED = 100_000
_COUNT = "SELECT count(*) FROM (SELECT FROM market.bar LIMIT %s) AS first"
# What the server keeps of a table by the way; vacuum corrects the one, a crash empties the other.
_ESTIMATE = """
SELECT sum(greatest(leaf.reltuples, pg_stat_get_live_tuples(leaf.oid)))::bigint
FROM pg_inherits INNER JOIN pg_class AS leaf ON inhrelid = leaf.oid
WHERE inhparent = 'market.bar'::regclass
"""
_IN_DEFAULT = "SELECT DISTINCT month FROM market.months_in_default() ORDER BY month"
_QUARANTINE = """
SELECT reason, count(*) FROM market.quarantine
WHERE replay_fate IS NULL AND acknowledged_at IS NULL GROUP BY reason ORDER BY reason
"""
_COMPLETENESS_COLUMNS = tuple(column.name for column in dataclasses.fields(Completeness))
_COMPLETENESS = f"""
SELECT newest.* FROM market.series CROSS JOIN LATERAL (
    SELECT {", ".join(_COMPLETENESS_COLUMNS)} FROM market.completeness AS day
    WHERE day.symbol = series.symbol AND day.interval = series.interval ORDER BY day.trading_date DESC LIMIT 1
) AS newest
WHERE series.until IS NULL ORDER BY newest.symbol, newest.interval
"""  # noqa: S608 - from the constant above
_AUDIT = """
SELECT kind, subject, sentence, found_at FROM market.finding
WHERE resolved_at IS NULL AND acknowledged_at IS NULL ORDER BY finding_id
"""
_LOSSES = "SELECT reason FROM market.lost_range WHERE accepted_at IS NULL ORDER BY topic_id, partition"
_RUNS = "SELECT job, finished_at, sentence FROM market.last_run"
_POSITIONS = "SELECT topic_id::text, partition, next_offset, held FROM market.stream_position WHERE topic = %s"


def facts(settings: CliSettings, credentials: Path = CREDENTIALS) -> Facts:
    """Ask everything once; a part that does not answer within seconds ends in `Facts.unreachable`."""
    clock = MarketClock.from_settings(settings)
    market_time = clock.now()
    unreachable: dict[str, str] = {}
    stored = (
        _ask(
            "PostgreSQL",
            lambda: _stored(settings, credentials, market_time),
            unreachable,
            (psycopg2.Error, SettingsError),
        )
        or {}
    )
    positions: _Positions | None = stored.pop("positions", None)
    topic = _ask(
        "Kafka",
        lambda: look_up(settings.kafka, settings.topic),
        unreachable,
        (KafkaError, TopicError),
    )
    return Facts(
        at=datetime.now(UTC),
        market_time=market_time,
        interval=Interval(settings.interval).length,
        grace=clock.after(market_time, GRACE_SECONDS) - market_time,
        units=_ask("systemd", _units, unreachable, _HOST_FAILURES),
        # Without the database nobody knows how far the partitions are stored.
        partitions=() if topic is None or positions is None else _partitions(topic, positions),
        producer=progress.read(PRODUCER_RUNTIME / progress.NAME),
        consumer=_consumer(),
        host=_ask("this host", host_facts.look, unreachable, _HOST_FAILURES),
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


def _consumer() -> ConsumerProgress | None:
    told = progress.read(CONSUMER_RUNTIME / progress.NAME)
    return None if told is None else msgspec.convert(told, ConsumerProgress)


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
            is_job=block["Type"] == "oneshot",
        )
        for block in sorted(blocks, key=lambda block: block["Id"])
        # systemd tells, too, of one of another host that a unit of this one would start after.
        if block["LoadState"] != "not-found"
    )


def _partitions(topic: Topic, positions: _Positions) -> tuple[Partition, ...]:
    """Return every partition; one that no consumer has seen yet counts from its beginning."""
    return tuple(
        Partition(number, end, *positions.get((str(topic.id), number), (topic.beginning[number], None)))
        for number, end in sorted(topic.end.items())
    )


def _stored(settings: CliSettings, credentials: Path, market_time: datetime) -> dict[str, Any]:
    """Return the fields of `Facts` that the database knows, and the stored position of each partition."""
    connection = connect(settings, credentials=credentials)
    try:
        with connection, connection.cursor() as cursor:
            told = {
                "series": tuple(
                    Series(symbol, interval, bar_time, fetched_at, market_time - bar_time)
                    for symbol, interval, bar_time, fetched_at in _rows(cursor, _LATEST)
                ),
                **_bars(cursor),
                "ledger": Ledger(**dict(zip(_LEDGER_COLUMNS, map(int, _rows(cursor, _LEDGER)[0]), strict=True))),
                "months_in_default": tuple(month for (month,) in _rows(cursor, _IN_DEFAULT)),
                "quarantine": dict(_rows(cursor, _QUARANTINE)),
                "completeness": tuple(Completeness(*row) for row in _rows(cursor, _COMPLETENESS)),
                "audit": tuple(AuditFinding(*row) for row in _rows(cursor, _AUDIT)),
                "losses": tuple(reason for (reason,) in _rows(cursor, _LOSSES)),
                "backups": backup_facts.look(cursor),
                "runs": {job: Run(*rest) for job, *rest in _rows(cursor, _RUNS)},
                "positions": {row[:2]: row[2:] for row in _rows(cursor, _POSITIONS, settings.topic)},
            }
        return {**told, "replication": replication_facts.look(settings, credentials, connection)}
    finally:
        connection.close()


def _bars(cursor: Cursor) -> dict[str, Any]:
    """Return how many bars are stored: counted as long as that is quickly done, then about."""
    ((counted,),) = _rows(cursor, _COUNT, _MOST_COUNTED + 1)
    if counted <= _MOST_COUNTED:
        return {"bars": counted}
    ((estimate,),) = _rows(cursor, _ESTIMATE)
    return {"bars": max(estimate, counted), "bars_are_estimated": True}


def _rows(cursor: Cursor, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    cursor.execute(query, parameters)
    return cursor.fetchall()
