"""A real PostgreSQL server, Debian's, on a free loopback port."""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT
from typing import Any

import psycopg2
import psycopg2.extensions
import trustme

from integration.services.processes import require, running, wait_until
from support.ports import free_port
from support.repository import ROOT, group_vars

# Only the services' own user may own a cluster; root is refused by PostgreSQL.
OS_USER = "postgres" if os.geteuid() == 0 else None
_TEMPLATE = "market_pulse_template"
_ROLES = ROOT / "sql" / "callbacks" / "roles.sql"
# Password of every login role of a test server, which listens on loopback for the length of a test run.
PASSWORD = uuid.uuid4().hex


@dataclass(frozen=True)
class Database:
    """One migrated database; `connect` opens sessions as the accounts of the deployment."""

    server: "Server"
    name: str

    def connect(self, account: str | None = None) -> psycopg2.extensions.connection:
        """Open a session: as superuser, or over TCP with a password as an account such as ``writer``."""
        return self.server.connect(self.name, account)

    def settings(self, account: str) -> dict[str, object]:
        """Return the settings by which a daemon reaches this database as an account such as ``writer``."""
        return {
            "database_host": self.server.host,
            "database_port": self.server.port,
            "database_name": self.name,
            "database_user": self.server.accounts[account],
            "database_authority": self.server.authority,
        }

    def environment(self, account: str) -> dict[str, str]:
        """Return those settings as a unit's environment has them."""
        return {f"MP_{name.upper()}": str(value) for name, value in self.settings(account).items()}

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement as superuser, commit it, and return its rows."""
        with contextlib.closing(self.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def end_sessions(self, account: str) -> None:
        """End every session that an account such as ``writer`` has here, as a server that is stopped does."""
        mine = "usename = %s AND datname = %s"
        who = self.server.accounts[account], self.name
        self.query(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {mine}", *who)

    @contextlib.contextmanager
    def shut_out(self, account: str) -> Iterator[None]:
        """Let an account such as ``web`` in no more for the length of a block, and end the sessions that it has."""
        self.query(f"ALTER ROLE {self.server.accounts[account]} NOLOGIN")
        try:
            self.end_sessions(account)
            yield
        finally:
            self.query(f"ALTER ROLE {self.server.accounts[account]} LOGIN")


def waiting_for_locks(database: Database) -> int:
    """Return how many sessions of a database wait for a lock."""
    waiting = "SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    return int(database.query(waiting, database.name)[0][0])


@dataclass(frozen=True)
class Server:
    """A running cluster."""

    socket_directory: Path
    port: int
    log: Path
    authority: Path
    host: str = "127.0.0.1"
    accounts: dict[str, str] = field(default_factory=lambda: group_vars("pipeline")["market_pulse_accounts"])

    @property
    def superuser_dsn(self) -> str:
        """Return the part of a connection string that names the server and its superuser."""
        return f"host={self.socket_directory} port={self.port} user=postgres"

    def connect(self, database: str = "postgres", account: str | None = None) -> psycopg2.extensions.connection:
        """Open a session in a database; see `Database.connect`."""
        if account is None:
            return psycopg2.connect(f"{self.superuser_dsn} dbname={database}")
        return psycopg2.connect(
            host=self.host, port=self.port, dbname=database, user=self.accounts[account], password=PASSWORD
        )

    def execute(self, *statements: str) -> None:
        """Run statements outside a transaction, as superuser."""
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    @contextlib.contextmanager
    def empty_database(self) -> Iterator[Database]:
        """Give a database without anything in it."""
        yield from self._database("template0")

    @contextlib.contextmanager
    def migrated_database(self) -> Iterator[Database]:
        """Give a freshly migrated database: a copy of a template that is migrated once per server."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (_TEMPLATE,))
            exists = cursor.fetchone() is not None
        if not exists:
            self.make_database(_TEMPLATE)
        # A copy has the template's schemas and none of its own privileges.
        yield from self._database(_TEMPLATE, _ROLES.read_text())

    def migrate(self, database: str, target: str = "latest") -> None:
        """Apply all migrations up to one, as the schema role does."""
        pgmigrate = Path(sys.executable).with_name("pgmigrate")
        require(pgmigrate, say="install the development dependencies (make test does)")
        dsn = f"{self.superuser_dsn} dbname={database}"
        command = [pgmigrate, "migrate", "-t", target, "-d", ROOT / "sql", "-c", dsn]
        subprocess.run(command, check=True)

    def make_database(self, name: str) -> Database:
        """Make a migrated database that stays for as long as the cluster, and give the accounts their password."""
        self.execute(f"CREATE DATABASE {name}")
        self.migrate(name)
        logins = (role for account, role in self.accounts.items() if account != "owner")
        self.execute(*(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'" for role in logins))
        return Database(self, name)

    def _database(self, template: str, privileges: str = "SELECT") -> Iterator[Database]:
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            made = Database(self, name)
            made.query(privileges)
            yield made
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True)
class Cluster:
    """A cluster in a temporary directory, which a server runs on or not."""

    directory: Path
    binaries: Path
    port: int
    host: str = "127.0.0.1"

    @property
    def data(self) -> Path:
        """Return where its files are."""
        return self.directory / "data"

    @contextlib.contextmanager
    def served(self, **more: object) -> Iterator[Server]:
        """Run a server on it until the block ends, with more settings than the usual ones."""
        log, authority = self.directory / "server.log", self.directory / "ca.crt"
        options = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": self.directory / "server.crt",
            "ssl_key_file": self.directory / "server.key",
            "max_connections": 50,
        } | more
        _certify(self.directory, authority, self.host)
        settings = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        # SIGINT is PostgreSQL's fast shutdown: sessions are ended, nothing is awaited.
        with running(
            [self.binaries / "postgres", "-D", self.data, *settings],
            log=log,
            env={"HOME": str(self.directory)},
            user=OS_USER,
            stop_signal=SIGINT,
        ) as process:
            server = Server(self.directory, self.port, log, authority, self.host)
            wait_until(lambda: _answers(server) or process.poll() is not None, what="start", seconds=30, log=log)
            yield server

    def run(self, *command: str | Path) -> str:
        """Run a command as the user who owns the cluster, and return what it printed."""
        become = ["setpriv", "--reuid", OS_USER, "--regid", OS_USER, "--init-groups"] if OS_USER else []
        done = subprocess.run(
            [*become, *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            # Where libpq looks for more, and may look.
            env={**os.environ, "HOME": str(self.directory)},
            timeout=120,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout


@contextlib.contextmanager
def place(port: int, host: str = Cluster.host) -> Iterator[Cluster]:
    """Give a place for a cluster, without data, and remove it when the block ends."""
    made = Cluster(Path(tempfile.mkdtemp(prefix="mp-postgresql-")), _binaries(), port, host)
    try:
        if OS_USER is not None:
            shutil.chown(made.directory, OS_USER, OS_USER)
        yield made
    finally:
        shutil.rmtree(made.directory)


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a cluster, and remove it when the block ends."""
    with place(free_port()) as made:
        encoding = ["-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        auth = ["--auth-local=trust", "--auth-host=scram-sha-256"]
        made.run(made.binaries / "initdb", "-D", made.data, *encoding, *auth)
        yield made


@contextlib.contextmanager
def postgresql_server() -> Iterator[Server]:
    """Run a cluster in a temporary directory until the block ends."""
    with cluster() as made, made.served() as server:
        yield server


def _certify(directory: Path, authority: Path, host: str) -> None:
    """Write the authority of all these servers, and a certificate that the server may read."""
    ca = _authority()
    ca.cert_pem.write_to_path(authority)
    certificate = ca.issue_cert(host)
    certificate.cert_chain_pems[0].write_to_path(directory / "server.crt")
    certificate.private_key_pem.write_to_path(directory / "server.key")
    (directory / "server.key").chmod(0o600)
    if OS_USER is not None:
        shutil.chown(directory / "server.key", OS_USER, OS_USER)


@functools.cache
def _authority() -> trustme.CA:
    return trustme.CA()


def _answers(server: Server) -> bool:
    with contextlib.suppress(psycopg2.OperationalError), contextlib.closing(server.connect()):
        return True
    return False


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    require(
        *(found or [Path("/usr/lib/postgresql")]), say="install Debian's postgresql package (make test does, by apt)"
    )
    return found[-1]
