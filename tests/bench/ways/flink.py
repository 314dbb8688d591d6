"""Flink SQL from Kafka into a JDBC sink that upserts by the key: one JVM, with a cluster of two slots inside."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import Popen
from typing import Any

from py4j.java_gateway import GatewayParameters, JavaGateway, find_jar_path

from bench.clients import java_client, jdbc_url
from bench.tools import jars_of, version_of
from bench.way import Route, Stack, Way, failure_of, plain_table
from integration.services.database import PASSWORD
from integration.services.processes import java, running
from market_pulse_stream.decode import BAR_COLUMNS
from support.waiting import eventually

# Flink looks into these where Java 17 lets nobody look.
_OPENED = ("java.lang", "java.util")
_JVM = ["-Xmx1g", *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED)]
_JOB = {
    "parallelism.default": "2",
    "pipeline.object-reuse": "true",
    "execution.checkpointing.interval": "5 s",
    "execution.checkpointing.mode": "AT_LEAST_ONCE",
}
_SINK = {"sink.buffer-flush.max-rows": "5000", "sink.buffer-flush.interval": "50 ms"}
# Numbers and times are told as text, and stay text up to the server, which knows the type of each column.
_DRIVER = {"reWriteBatchedInserts": "true", "stringtype": "unspecified"}
_COLUMNS = ", ".join(f"`{name}` {'BOOLEAN' if name == 'is_final' else 'STRING'}" for name in BAR_COLUMNS)
_SOURCE = f"CREATE TABLE told ({_COLUMNS}) WITH ({{}})"
_STORE = f"CREATE TABLE stored ({_COLUMNS}, PRIMARY KEY (symbol, `interval`, bar_time) NOT ENFORCED) WITH ({{}})"


@contextlib.contextmanager
def flink(stack: Stack, route: Route) -> Iterator[Way]:
    """Run the job, which ends at its first failure; a record that is no JSON is left out."""
    table = plain_table(route.database)
    log = route.directory / "flink.log"
    more = {
        "execution.checkpointing.dir": (route.directory / "checkpoints").as_uri(),
        "restart-strategy.type": "none",
    }
    with _jvm(log) as (process, gateway), contextlib.closing(gateway):
        settings = gateway.jvm.org.apache.flink.configuration.Configuration()
        for name, value in (_JOB | more).items():
            settings.setString(name, value)
        flink_table = gateway.jvm.org.apache.flink.table.api
        kind = flink_table.EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build()
        environment = flink_table.TableEnvironment.create(kind)
        environment.executeSql(_SOURCE.format(_source(stack, route)))
        environment.executeSql(_STORE.format(_sink(stack, route, table)))
        job = environment.executeSql("INSERT INTO stored SELECT * FROM told").getJobClient().get()
        failure = _failure(process, job.getJobExecutionResult(), log)

        def is_reading() -> bool:
            assert not failure(), failure()
            return "Completed checkpoint" in log.read_text()

        eventually(is_reading, within=120, what="the first checkpoint of Flink")
        yield Way(
            "Flink SQL, JDBC upsert",
            {"version": version_of("flink", "flink-clients")} | _JOB | _SINK | _DRIVER,
            table,
            failure=failure,
        )


@contextlib.contextmanager
def _jvm(log: Path) -> Iterator[tuple[Popen[bytes], JavaGateway]]:
    """Run a JVM that does as it is told by whoever knows its secret, which it prints first, after its port."""
    jars = os.pathsep.join([*(f"{jars_of(name)}/*" for name in ("flink", "postgresql-jdbc")), find_jar_path()])
    command = [java(), *_JVM, "-cp", jars, "py4j.GatewayServer", "--enable-auth", "0"]
    with running(command, log=log) as process:

        def told() -> list[str]:
            assert process.poll() is None, log.read_text()
            lines = log.read_text().splitlines(keepends=True)[:2]
            return lines if len(lines) == 2 and lines[-1].endswith("\n") else []

        port, secret = eventually(told, within=60, what="the start of Flink's JVM")
        yield process, JavaGateway(gateway_parameters=GatewayParameters(port=int(port), auth_token=secret.strip()))


def _failure(process: Popen[bytes], result: Any, log: Path) -> Callable[[], str]:
    ended = failure_of(process, log)

    def failure() -> str:
        if (said := ended()) or not result.isDone():
            return said
        # What failed first is not what the job's result tells, if the cluster falls before it hears of it.
        causes = dict.fromkeys(line[:300] for line in log.read_text().splitlines() if line.startswith("Caused by"))
        return "\n".join(["ended its job:", *causes])

    return failure


def _source(stack: Stack, route: Route) -> str:
    client = java_client(stack) | {"group.id": "bench-flink", "isolation.level": "read_committed"}
    options = {
        "connector": "kafka",
        "topic": route.topic,
        "scan.startup.mode": "earliest-offset",
        "format": "json",
        "json.ignore-parse-errors": "true",
    }
    return _listed(options | {f"properties.{name}": value for name, value in client.items()})


def _sink(stack: Stack, route: Route, table: str) -> str:
    options = {
        "connector": "jdbc",
        "url": jdbc_url(stack, route, **_DRIVER),
        "table-name": table,
        "username": stack.server.accounts["writer"],
        "password": PASSWORD,
    }
    return _listed(options | _SINK)


def _listed(options: Mapping[str, str]) -> str:
    return ", ".join(f"'{name}' = '{value}'" for name, value in options.items())
