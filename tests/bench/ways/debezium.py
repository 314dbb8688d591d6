"""Debezium's JDBC sink on Kafka Connect: a standalone worker, which upserts by the key.

The schema that the sink needs, and a bar's JSON has not, stands in the converter's settings. By it numbers and times
are the text that they are on the topic, and PostgreSQL makes of it what they are in the table.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.clients import java_client, jdbc_url
from bench.tools import jars_of, version_of
from bench.way import Route, Stack, Way, failure_of, plain_table
from integration.services.broker import RELEASE
from integration.services.database import PASSWORD
from integration.services.processes import CACHE, java, running, tail
from market_pulse_stream.decode import BAR_COLUMNS
from support.ports import free_port
from support.waiting import eventually

_TASKS = 2
_JVM = ["-Xms512m", "-Xmx1g", "-Dorg.apache.logging.log4j.level=INFO"]
_CONSUMER = {
    "max.poll.records": 20_000,
    "max.partition.fetch.bytes": 10_000_000,
    "fetch.min.bytes": 1_000_000,
    "fetch.max.wait.ms": 50,
}
_SINK = {"batch.size": 10_000, "use.reduction.buffer": "true", "dialect.postgres.unnest.insert.enabled": "true"}
_DRIVER = {"reWriteBatchedInserts": "true", "stringtype": "unspecified"}
# An array of text, which the fast inserts bind, becomes no column of another type without them.
_CASTS = "".join(
    f"CREATE CAST (text AS {kind}) WITH INOUT AS ASSIGNMENT;" for kind in ("numeric", "bigint", "timestamptz")
)
_FAILED = "Task is being killed and will not recover"


@contextlib.contextmanager
def debezium(stack: Stack, route: Route) -> Iterator[Way]:
    """Run a worker with two tasks."""
    table = plain_table(route.database)
    route.database.query(_CASTS)
    log = route.directory / "connect.log"
    worker = _properties(route.directory / "worker.properties", _worker(stack, route))
    sink = _properties(route.directory / "sink.properties", _sink(stack, route, table))
    libs = CACHE / f"kafka-{RELEASE}" / "libs"
    command = [java(), *_JVM, "-cp", f"{libs}/*", "org.apache.kafka.connect.cli.ConnectStandalone", worker, sink]
    with running(command, log=log) as process:
        has_ended = failure_of(process, log)

        def failure() -> str:
            return has_ended() or (_FAILED in log.read_text() and f"has a failed task:\n{tail(log)}") or ""

        def is_reading() -> bool:
            assert not failure(), log.read_text()
            return log.read_text().count("Adding newly assigned partitions") >= _TASKS

        eventually(is_reading, within=120, what="the start of Debezium's JDBC sink")
        told = (
            {"version": version_of("debezium", "debezium-connector-jdbc"), "tasks.max": _TASKS}
            | _SINK
            | _CONSUMER
            | _DRIVER
        )
        yield Way("Debezium JDBC sink", {name: str(value) for name, value in told.items()}, table, failure=failure)


def _worker(stack: Stack, route: Route) -> Mapping[str, object]:
    client = java_client(stack)
    return {
        "listeners": f"http://127.0.0.1:{free_port()}",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "true",
        "value.converter.schema.content": json.dumps(_schema()),
        "plugin.path": jars_of("debezium").parent,
        "plugin.discovery": "service_load",
        "offset.storage.file.filename": route.directory / "offsets",
        **client,
        **{f"consumer.{name}": value for name, value in client.items()},
    }


def _sink(stack: Stack, route: Route, table: str) -> Mapping[str, object]:
    consumer = _CONSUMER | {"isolation.level": "read_committed", "auto.offset.reset": "earliest"}
    return {
        "name": "bench",
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": _TASKS,
        "topics": route.topic,
        # A record that is no JSON is left out.
        "errors.tolerance": "all",
        "connection.url": jdbc_url(stack, route, **_DRIVER),
        "connection.username": stack.server.accounts["writer"],
        "connection.password": PASSWORD,
        "collection.name.format": table,
        "quote.identifiers": "true",
        "insert.mode": "upsert",
        "primary.key.mode": "record_value",
        "primary.key.fields": "symbol,interval,bar_time",
        "schema.evolution": "none",
        **_SINK,
        **{f"consumer.override.{name}": value for name, value in consumer.items()},
    }


def _schema() -> Mapping[str, object]:
    fields = [{"field": name, "type": "boolean" if name == "is_final" else "string"} for name in BAR_COLUMNS]
    return {"type": "struct", "fields": fields}


def _properties(path: Path, lines: Mapping[str, object]) -> Path:
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    return path
