"""A scratch cluster: a server on a restored backup, on a socket that only its own user reaches, and gone afterwards."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from market_pulse.backup.repository import Backup, Repository
from market_pulse.backup.server import connect
from market_pulse.backup.settings import ProofSettings
from market_pulse.errors import BackupError

# Part of a socket's name and of nothing else: the cluster listens on no address.
_PORT = 5432
_RECOVERY_SECONDS = 6 * 3600
_STOP_SECONDS = 60
_PAUSE_SECONDS = 0.2
# What recovery needs beside the restored files: some files of WAL at a time.
_WAL_BYTES = 512 * 1024**2
# A disk that is full stops the live server, too.
_SHARE_LEFT_FREE = 0.1
_GIBIBYTE = 1024**3
_LINES_OF_LOG = 5
# Given on the command line they prevail over whatever the restored files say.
_SERVER = {
    "archive_mode": "off",
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    # Nobody is let in before the restore point is reached, so no limit of the live server must be met.
    "hot_standby": "off",
    "huge_pages": "off",
    "ident_file": "",
    "jit": "off",
    "listen_addresses": "",
    "log_destination": "stderr",
    "logging_collector": "off",
    "max_connections": "10",
    "max_parallel_workers_per_gather": "0",
    "port": str(_PORT),
    "shared_buffers": "32MB",
    "shared_preload_libraries": "",
    "ssl": "off",
    "unix_socket_permissions": "0700",
}


def require_room(folder: Path, backup: Backup) -> None:
    """Refuse a restore that would take the disk's last tenth.

    Raises:
        BackupError: it would; the message says how much there is and how much it takes.
    """
    disk = shutil.disk_usage(folder)
    needed = backup.size_bytes + _WAL_BYTES
    spare = int(disk.free - disk.total * _SHARE_LEFT_FREE)
    if needed > spare:
        raise BackupError(
            f"no room for a scratch restore: it takes {needed / _GIBIBYTE:.1f} GiB, and the disk under {folder} has "
            f"{max(spare, 0) / _GIBIBYTE:.1f} GiB to spare, for a tenth of it stays free; mount a larger one there"
        )


@contextlib.contextmanager
def restored(settings: ProofSettings, repository: Repository, backup: Backup, point: str) -> Iterator[Connection]:
    """Give a session in the cluster that a backup and the archived WAL up to a restore point make.

    Raises:
        BackupError: the backup cannot be restored, or the WAL does not lead to the point.
    """
    folder = settings.state_directory / "scratch"
    # What a run left behind that was killed.
    shutil.rmtree(folder, ignore_errors=True)
    data = folder / "data"
    try:
        data.mkdir(mode=0o700, parents=True)
        repository.restore(backup, data, folder / "tablespaces", point)
        with _server(settings, folder, data), contextlib.closing(_session(settings)) as session:
            yield session
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _server(settings: ProofSettings, folder: Path, data: Path) -> Iterator[None]:
    configuration, access, log = (folder / name for name in ("postgresql.conf", "pg_hba.conf", "server.log"))
    configuration.write_text("")
    # The socket's directory belongs to this user alone.
    access.write_text("local all all trust\n")
    paths = {"config_file": configuration, "hba_file": access, "unix_socket_directories": settings.runtime_directory}
    options = [f"--{name}={value}" for name, value in {**_SERVER, **paths}.items()]
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - paths of the unit's and constants
            [settings.postgresql_binaries / "postgres", "-D", data, *options],
            cwd=data,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await(server, settings, log)
        yield
    finally:
        # Nothing of it is kept, so nothing is written any more.
        server.send_signal(signal.SIGQUIT)
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await(server: subprocess.Popen[bytes], settings: ProofSettings, log: Path) -> None:
    away, within = retry_if_exception_type(psycopg2.OperationalError), stop_after_delay(_RECOVERY_SECONDS)
    try:
        for attempt in Retrying(retry=away, stop=within, wait=wait_fixed(_PAUSE_SECONDS)):
            with attempt:
                if server.poll() is not None:
                    raise BackupError(f"the restored backup does not start: {_last_words(log)}")
                _session(settings).close()
    except RetryError:
        said = _last_words(log)
        raise BackupError(f"the restored backup was not recovered within {_RECOVERY_SECONDS} s: {said}") from None


def _session(settings: ProofSettings) -> Connection:
    return connect(settings.runtime_directory, _PORT, settings.database_name)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return " / ".join([line for line in lines if "FATAL" in line or "PANIC" in line][-_LINES_OF_LOG:] or lines[-1:])
