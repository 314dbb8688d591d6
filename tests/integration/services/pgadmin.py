"""pgAdmin as its unit runs it: from the locked wheels, under the supervisor, over a real database."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

from integration.daemon_processes import Daemon
from integration.services.database import Database
from support.pgadmin_page import LOGIN
from support.ports import free_port
from support.repository import ANSIBLE, ROOT

ENTRY = "bars.example.net"


def install(directory: Path) -> Path:
    """Make the environment of a host with this Python, and return it; the wheels are fetched, the first time."""
    name = f"pgadmin-py{sys.version_info.major}.{sys.version_info.minor}"
    resolve = [sys.executable, ANSIBLE / "artifacts/resolve.py", "--pgadmin", name]
    resolved = json.loads(subprocess.run(resolve, stdout=subprocess.PIPE, check=True).stdout)
    assert name in resolved, f"no wheels are locked for this Python: there are none of the name {name}"
    with tarfile.open(resolved[name]["tar"]) as tar:
        tar.extractall(directory / "wheels", filter="data")
    uv, environment = Path(sys.executable).with_name("uv"), directory / "pgadmin"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, environment], check=True)
    pip = [uv, "pip", "install", "-q", "--no-deps", "--no-index", "--python", environment / "bin/python"]
    subprocess.run([*pip, *(directory / "wheels").iterdir()], check=True)
    shutil.rmtree(directory / "wheels")
    return environment


@dataclass
class PgAdmin:
    """One that can be started again after its end, with what it keeps."""

    daemon: Daemon
    port: int

    @property
    def address(self) -> str:
        """Return where a browser finds it."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self, password: str) -> Iterator[None]:
        """Run it for the length of a block, with this password for its login, and a runtime directory that goes."""
        credentials = self.daemon.directory / "unit"
        credentials.mkdir(parents=True, exist_ok=True)
        (credentials / "mp_pgadmin_password").write_text(password)
        runtime = Path(self.daemon.environment["RUNTIME_DIRECTORY"])
        runtime.mkdir()
        try:
            with self.daemon.running(ready=False):
                # The first time it makes its database, and Python compiles all of it.
                self.daemon.wait_until_ready(within=120)
                yield
                assert self.daemon.end(SIGTERM, within=20) == 0
        finally:
            shutil.rmtree(runtime)

    def processes(self) -> list[int]:
        """Return the supervisor, gunicorn, and what gunicorn has started."""
        assert self.daemon.process is not None
        found = [self.daemon.process.pid]
        for pid in found:
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def workers(self) -> list[int]:
        """Return the processes that answer."""
        return self.processes()[2:]

    def kept(self, query: str) -> list[tuple[object, ...]]:
        """Return rows of its own database."""
        with contextlib.closing(sqlite3.connect(self.daemon.directory / "pgadmin4.db")) as connection:
            return connection.execute(query).fetchall()

    def keep(self, statement: str) -> None:
        """Change its own database, as its pages do."""
        with contextlib.closing(sqlite3.connect(self.daemon.directory / "pgadmin4.db")) as connection, connection:
            connection.execute(statement)


def pgadmin(environment: Path, database: Database, directory: Path, **more: str) -> PgAdmin:
    """Return a pgAdmin of an environment, with an entry for a database; it is not started yet."""
    port = free_port()
    variables = {
        **database.environment("bi_reader"),
        "HOME": "/nonexistent",
        "MP_PGADMIN_LOGIN": LOGIN,
        "MP_PGADMIN_PORT": str(port),
        "MP_PGADMIN_SERVERS": json.dumps({ENTRY: database.server.host}),
        "RUNTIME_DIRECTORY": str(directory / "run"),
        **more,
    }
    # Whatever ends the supervisor ends it, too, as systemd does.
    served = (
        "setpriv",
        "--pdeathsig",
        "KILL",
        environment / "bin/gunicorn",
        "--config",
        ROOT / "pgadmin_app/gunicorn.conf.py",
    )
    supervisor = (sys.executable, "-m", "market_pulse.supervise", "pgadmin", "--")
    return PgAdmin(Daemon("pgadmin", directory, variables, program=(*supervisor, *served)), port)
