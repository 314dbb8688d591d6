"""The consumer as its unit runs it: spark-submit in client mode, here with executors inside the driver."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pyspark

from integration.services.broker import Broker
from integration.services.database import PASSWORD, Database
from integration.services.processes import CACHE, require, running
from market_pulse import progress
from support.repository import ANSIBLE, ROOT, group_vars

_SPARK_HOME = Path(pyspark.__file__).parent
_CONF = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
}


@dataclass(frozen=True)
class Consumer:
    """A started driver: its process, its log and what it reports."""

    process: Popen[bytes]
    directory: Path

    @property
    def log(self) -> str:
        """Return what the driver wrote to standard error so far."""
        return (self.directory / "consumer.log").read_text()

    @property
    def progress(self) -> dict[str, object] | None:
        """Return the content of the progress file."""
        return progress.read(self.directory / progress.NAME)


@contextlib.contextmanager
def consumer(directory: Path, broker: Broker, database: Database, topic: str, **settings: object) -> Iterator[Consumer]:
    """Run the consumer with its state in `directory` until the block ends."""
    libs = CACHE / f"spark-connector-{group_vars('versions')['spark_version']}" / "libs"
    require(libs, say="run `make artifacts`, which fetches the connector's jars into the cache")
    (directory / "mp_postgresql_writer_password").write_text(PASSWORD)
    application = ROOT / "spark_app"
    options = [argument for item in _CONF.items() for argument in ("--conf", "=".join(item))]
    logging = ANSIBLE / "roles" / "consumer" / "files" / "log4j2.properties"
    options += ["--conf", f"spark.driver.extraJavaOptions=-Dlog4j2.configurationFile={logging}"]
    values = {
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "topic": topic,
        "database_host": database.server.host,
        "database_port": database.server.port,
        "database_name": database.name,
        "database_user": database.server.accounts["writer"],
        "trigger_milliseconds": 200,
        **settings,
    }
    env = {f"MP_{name.upper()}": str(value) for name, value in values.items()} | {
        "CREDENTIALS_DIRECTORY": str(directory),
        "RUNTIME_DIRECTORY": str(directory),
        "STATE_DIRECTORY": str(directory),
        "SPARK_HOME": str(_SPARK_HOME),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "daemons"), str(application)]),
    }
    command = [_SPARK_HOME / "bin" / "spark-submit", "--master", "local[2]", "--driver-class-path", f"{libs}/*"]
    with running([*command, *options, application / "consumer.py"], log=directory / "consumer.log", env=env) as process:
        yield Consumer(process, directory)
