"""The consumer as its unit runs it: spark-submit in client mode, here with executors inside the driver."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from types import MappingProxyType

import pyspark
from jinja2 import Environment, StrictUndefined

from integration.services.broker import Broker, password_of
from integration.services.database import PASSWORD, Database
from integration.services.processes import CACHE, require, running
from market_pulse import progress
from market_pulse.kafka_login import Principal
from support.repository import ANSIBLE, ROOT, group_vars, role_defaults, role_vars

# What a deployment has.
SPEED: Mapping[str, int] = {
    name: role_defaults("consumer")[f"consumer_{name}"] for name in ("max_offsets_per_trigger", "trigger_milliseconds")
}
_SPARK_HOME = Path(pyspark.__file__).parent
_CONF = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    **role_vars("consumer")["_consumer_speed_settings"],
}


@dataclass(frozen=True)
class Consumer:
    """A started driver: its process, its log, what it reports, and where Java and Python meet."""

    process: Popen[bytes]
    directory: Path
    sockets: Path

    @property
    def log(self) -> str:
        """Return what the driver wrote to standard error so far."""
        return (self.directory / "consumer.log").read_text()

    @property
    def progress(self) -> dict[str, object] | None:
        """Return the content of the progress file."""
        return progress.read(self.directory / progress.NAME)


@contextlib.contextmanager
def consumer(
    directory: Path,
    broker: Broker,
    database: Database,
    topic: str,
    passwords: Mapping[str, str] = MappingProxyType({}),
    *,
    cores: int = 2,
    **settings: object,
) -> Iterator[Consumer]:
    """Run the consumer with its state in `directory` until the block ends; `passwords` are others, by credential.

    It runs a task on each of its `cores`.
    """
    libs = CACHE / f"spark-connector-{group_vars('versions')['spark_version']}" / "libs"
    require(libs, say="run `make artifacts`, which fetches the connector's jars into the cache")
    (directory / "mp_postgresql_writer_password").write_text(PASSWORD)
    right = password_of(Principal.CONSUMER)
    (directory / "mp_kafka_password").write_text(passwords.get("mp_kafka_password", right))
    (directory / "mp_kafka_consumer_jaas").write_text(_jaas(passwords.get("mp_kafka_consumer_jaas", right)))
    application = ROOT / "spark_app"
    options = [argument for item in _CONF.items() for argument in ("--conf", "=".join(item))]
    logging = ANSIBLE / "roles" / "consumer" / "files" / "log4j2.properties"
    jaas = f"-Djava.security.auth.login.config={directory}/mp_kafka_consumer_jaas"
    # One that is killed leaves its scratch files.
    scratch = f"-Djava.io.tmpdir={directory}"
    java = f"{role_vars('consumer')['_consumer_collector']} -Dlog4j2.configurationFile={logging} {jaas} {scratch}"
    options += ["--conf", f"spark.driver.extraJavaOptions={java}"]
    values = {
        "kafka_authority": broker.settings.kafka_authority,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "topic": topic,
        **database.settings("writer"),
        **SPEED,
        **settings,
    }
    env = {f"MP_{name.upper()}": str(value) for name, value in values.items()} | {
        "CREDENTIALS_DIRECTORY": str(directory),
        "RUNTIME_DIRECTORY": str(directory),
        "STATE_DIRECTORY": str(directory),
        "SPARK_HOME": str(_SPARK_HOME),
        "SPARK_LOCAL_DIRS": str(directory),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "daemons"), str(application)]),
    }
    command = [_SPARK_HOME / "bin" / "spark-submit", "--master", f"local[{cores}]", "--driver-class-path", f"{libs}/*"]
    # A socket's path has at most 107 characters; a test's directory alone may have more.
    with tempfile.TemporaryDirectory(prefix="mp-spark-") as sockets:
        options += ["--conf", f"spark.python.unix.domain.socket.dir={sockets}"]
        call = [*command, *options, application / "consumer.py"]
        with running(call, log=directory / "consumer.log", env=env) as process:
            yield Consumer(process, directory, Path(sockets))


def _jaas(password: str) -> str:
    """Return what the driver's unit and the workers' have for Java."""
    written = group_vars("pipeline")["market_pulse_kafka_consumer_jaas"]
    jinja = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - a file of Java's, no page
    return jinja.from_string(written).render(market_pulse_kafka_consumer_password=password)
