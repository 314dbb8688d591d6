"""A Spark standalone cluster as its units run it: the same Java, the same properties, the same log."""

import contextlib
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import jinja2
import pyspark

from integration.services.processes import running, wait_until
from support.ports import free_port
from support.repository import ANSIBLE, ROOT, group_vars

SECRET = 'what they "share"'
_HOME = Path(pyspark.__file__).parent
_LOG = f"-Dlog4j2.configurationFile={ANSIBLE}/roles/unit/files/log4j2.properties"
_JAVA = ANSIBLE / "roles" / "spark" / "files" / "java"
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Process:
    """A started JVM and what it wrote."""

    process: Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        """Return everything up to now."""
        return self.log.read_text()


@dataclass(frozen=True)
class Master(Process):
    """A master, by its ports."""

    port: int
    page: int

    @property
    def url(self) -> str:
        """Return where workers and drivers find it."""
        return f"spark://{_HOST}:{self.port}"

    @property
    def workers(self) -> int:
        """Return how many workers it counts as alive."""
        with urllib.request.urlopen(f"http://{_HOST}:{self.page}/json/", timeout=10) as answer:
            return int(json.load(answer)["aliveworkers"])


@contextlib.contextmanager
def master(directory: Path, port: int | None = None, **properties: object) -> Iterator[Master]:
    """Run a master that knows the secret until the block ends; `properties` are Spark's, with ``_`` for ``.``."""
    port, page = port or free_port(), free_port()
    options = " ".join(f"-D{name.replace('_', '.')}={value}" for name, value in properties.items())
    arguments = ["org.apache.spark.deploy.master.Master", "--host", _HOST, "--port", port, "--webui-port", page]
    with _jvm(directory, "master", SECRET, "spark-class", *arguments, options=options) as started:
        running_master = Master(started.process, started.log, port, page)
        wait_until(lambda: _answers(running_master), what="the master's page", seconds=60, log=started.log)
        yield running_master


@contextlib.contextmanager
def worker(directory: Path, url: str, secret: str | None) -> Iterator[Process]:
    """Run a worker of the master at a URL until the block ends; without a secret it speaks in clear text."""
    arguments = ["org.apache.spark.deploy.worker.Worker", "--host", _HOST, "--webui-port", "0", "--cores", "1"]
    arguments += ["--memory", "1g", "--work-dir", str(directory / "work"), url]
    with _jvm(directory, "worker", secret, "spark-class", *arguments) as started:
        yield started


@contextlib.contextmanager
def driver(directory: Path, url: str, secret: str | None, application: str, port: int = 0) -> Iterator[Process]:
    """Run a driver of the master at a URL until the block ends; `application` is its Python text."""
    script = directory / "application.py"
    script.write_text(application)
    conf = {"spark.master": url, "spark.driver.host": _HOST, "spark.cores.max": "1", "spark.ui.port": str(free_port())}
    conf["spark.driver.port"] = str(port)
    options = [word for item in conf.items() for word in ("--conf", "=".join(item))]
    options += ["--driver-memory", "512m", "--executor-memory", "512m"]
    with _jvm(directory, "driver", secret, "spark-submit", *options, script) as started:
        yield started


@contextlib.contextmanager
def _jvm(
    directory: Path, name: str, secret: str | None, program: str, *arguments: object, options: str = ""
) -> Iterator[Process]:
    place = directory / name
    (place / "java" / "bin").mkdir(parents=True)
    (place / "java" / "bin" / "java").symlink_to(_JAVA)
    pipeline = group_vars("pipeline")
    ((credential, content),) = pipeline["market_pulse_spark_credentials"].items()
    (place / credential).write_text("" if secret is None else _rendered(content, secret))
    properties = place / "spark.conf"
    security = {} if secret is None else pipeline["market_pulse_spark_security"]
    properties.write_text("".join(f"{key} {value}\n" for key, value in security.items()))
    env = {
        "CREDENTIALS_DIRECTORY": str(place),
        "JAVA_HOME": str(place / "java"),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("daemons", "spark_app")),
        "SPARK_DAEMON_JAVA_OPTS": f"{_LOG} {options}",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_HOME": str(_HOME),
        "SPARK_LOCAL_DIRS": str(place),
        "SPARK_LOCAL_IP": _HOST,
        "SPARK_SUBMIT_OPTS": _LOG,
        "PATH": os.environ["PATH"],
    }
    [main, *rest] = map(str, arguments) if program == "spark-class" else ["", *map(str, arguments)]
    command = [_HOME / "bin" / program, *filter(None, [main]), "--properties-file", properties, *rest]
    with running(command, log=place / "log", env=env) as process:
        yield Process(process, place / "log")


def _rendered(content: str, secret: str) -> str:
    templates = jinja2.Environment(autoescape=False)  # noqa: S701 - it is no HTML
    templates.filters["to_json"] = json.dumps
    return templates.from_string(content).render(market_pulse_spark_secret=secret)


def _answers(running_master: Master) -> bool:
    # Its pages come one after the other.
    with contextlib.suppress(OSError, json.JSONDecodeError):
        return running_master.workers == 0
    return False
