"""Spark's own JDBC sink, appending: what this product replaces, with and without the driver's rewritten inserts."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyspark

from bench.clients import java_client, jdbc_url
from bench.tools import jars_of, version_of
from bench.way import Route, Stack, Way, failure_of, plain_table
from bench.workload import Kind
from integration.services.database import PASSWORD
from integration.services.processes import CACHE, running
from support.repository import ROOT, group_vars
from support.waiting import eventually

_HOME = Path(pyspark.__file__).parent
_TUNED = {"maxOffsetsPerTrigger": 100_000, "batchsize": 10_000}
_CONF = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
}


@contextlib.contextmanager
def spark_jdbc(stack: Stack, route: Route, *, rewrite: bool) -> Iterator[Way]:
    """Run a streaming query with two cores, each batch of which is appended by `DataFrameWriter.jdbc`."""
    table = plain_table(route.database)
    wish = {
        "checkpoint": str(route.directory / "checkpoint"),
        "table": table,
        "kafka": {
            **{f"kafka.{name}": value for name, value in java_client(stack).items()},
            "kafka.isolation.level": "read_committed",
            "subscribe": route.topic,
            "startingOffsets": "earliest",
            "maxOffsetsPerTrigger": str(_TUNED["maxOffsetsPerTrigger"]),
        },
        "url": jdbc_url(stack, route, reWriteBatchedInserts=str(rewrite).lower()),
        "database": {
            "driver": "org.postgresql.Driver",
            "user": stack.server.accounts["writer"],
            "password": PASSWORD,
            "batchsize": str(_TUNED["batchsize"]),
        },
    }
    settings, log = route.directory / "settings.json", route.directory / "driver.log"
    settings.write_text(json.dumps(wish))
    connector = CACHE / f"spark-connector-{group_vars('versions')['spark_version']}" / "libs"
    jars = f"{connector}/*{os.pathsep}{jars_of('postgresql-jdbc')}/*"
    options = [word for item in _CONF.items() for word in ("--conf", "=".join(item))]
    program = ROOT / "tests" / "bench" / "ways" / "spark_jdbc_application.py"
    command = [_HOME / "bin" / "spark-submit", "--master", "local[2]", "--driver-class-path", jars, *options, program]
    with running([*command, settings], log=log, env={"PYSPARK_PYTHON": sys.executable}) as process:

        def is_reading() -> bool:
            assert process.poll() is None, log.read_text()
            return "market-pulse-bench: started" in log.read_text()

        eventually(is_reading, within=120, what="the start of Spark's JDBC sink")
        name = "Spark JDBC append" + (", reWriteBatchedInserts" if rewrite else "")
        # An append fails on the first bar that is there already.
        told = {"driver": version_of("postgresql-jdbc", "postgresql")} | {
            key: str(value) for key, value in _TUNED.items()
        }
        yield Way(name, told, table, loads=[Kind.FRESH], failure=failure_of(process, log))
