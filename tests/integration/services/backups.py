"""A cluster whose WAL pgBackRest archives, and the backups' jobs on it; all of it in one temporary directory."""

import contextlib
import os
import pwd
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from integration.services.database import OS_USER, Cluster, Database, Server, cluster
from integration.services.processes import require
from market_pulse.backup import job, proof
from market_pulse.backup.settings import BackupSettings, ProofSettings
from support.repository import group_vars, role_vars
from support.waiting import eventually

STANZA = group_vars("pipeline")["market_pulse_backup_stanza"]
_ROLE = role_vars("postgresql")


@dataclass
class BackedUp:
    """The cluster, its repository, and the jobs; `settings` of PostgreSQL are for every server on it."""

    cluster: Cluster
    settings: dict[str, object] = field(default_factory=dict)
    server: Server = field(init=False)
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def repository(self) -> Path:
        """Return where the backups are."""
        return self.cluster.directory / "repository"

    @property
    def state(self) -> Path:
        """Return the state directory of the proof."""
        return self.cluster.directory / "state"

    def start(self) -> None:
        """Start a server on the cluster."""
        self.server = self._running.enter_context(self.cluster.served(**self.settings))

    def stop(self) -> None:
        """Stop it, as systemd would."""
        self._running.close()

    def await_archived(self) -> None:
        """Wait until every segment that is full has been archived."""
        status = self.cluster.data / "pg_wal" / "archive_status"
        eventually(lambda: not [*status.glob("*.ready")], within=60, what="the archived WAL")

    def back_up(self, database: Database) -> None:
        """Run the nightly job."""
        self._as_owner(lambda: job.run(BackupSettings(**self._reached(database), backup_full_days=7)))

    def prove(self, database: Database) -> tuple[str, str]:
        """Run the proof, and return the verdict and the sentence that it leaves in the database."""
        settings = ProofSettings(
            **self._reached(database),
            postgresql_binaries=self.cluster.binaries,
            runtime_directory=self.cluster.directory,
            state_directory=self.state,
        )
        self._as_owner(lambda: proof.run(settings))
        newest = "SELECT verdict, sentence FROM market.restore_proof ORDER BY finished_at DESC LIMIT 1"
        ((verdict, sentence),) = database.query(newest)
        return verdict, sentence

    def _reached(self, database: Database) -> Mapping[str, object]:
        return {
            "backup_stanza": STANZA,
            "database_name": database.name,
            "database_port": self.cluster.port,
            "database_socket": self.cluster.directory,
        }

    def _as_owner(self, work: Callable[[], object]) -> None:
        """Do it in a process of the cluster's owner; not by an interpreter of its own, which it might not be let to."""
        said = self.cluster.directory / "said"
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0, said.read_text()
            return
        try:
            if OS_USER is not None:
                user = pwd.getpwnam(OS_USER)
                os.initgroups(OS_USER, user.pw_gid)
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
            os.chdir(self.cluster.directory)
            work()
        except BaseException:  # noqa: BLE001 - the parent fails with it
            said.write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)


@contextlib.contextmanager
def backed_up_cluster() -> Iterator[BackedUp]:
    """Run a cluster with a repository, configured as the role does, and remove both when the block ends."""
    require(Path("/usr/bin/pgbackrest"), say="install Debian's pgbackrest package (make test does, by apt)")
    with cluster() as made:
        backed_up = BackedUp(made)
        configuration = made.directory / "pgbackrest.conf"
        options = _ROLE["_postgresql_backups"] | {
            "archive-push-queue-max": "64MiB",
            # What these tests break stays broken.
            "job-retry": 0,
            "lock-path": made.directory / "lock",
            "repo1-path": backed_up.repository,
            "repo1-retention-full": 14,
        }
        server = {"pg1-path": made.data, "pg1-port": made.port, "pg1-socket-path": made.directory}
        assert server.keys() == _ROLE["_postgresql_backed_up"].keys()
        configuration.write_text(
            "".join(
                f"[{section}]\n" + "".join(f"{name}={value}\n" for name, value in values.items())
                for section, values in (("global", options), (STANZA, server))
            )
        )
        configuration.chmod(0o644)
        os.environ["PGBACKREST_CONFIG"] = str(configuration)
        made.run("mkdir", "-m", "0750", backed_up.repository, backed_up.state)
        push = _ROLE["_postgresql_settings"]["archive_command"]
        push = push.replace("{{ _postgresql_pgbackrest }}", "pgbackrest")
        push = push.replace("{{ market_pulse_backup_stanza }}", STANZA)
        backed_up.settings = {"archive_mode": "on", "archive_command": push}
        try:
            backed_up.start()
            made.run("pgbackrest", f"--stanza={STANZA}", "stanza-create")
            yield backed_up
        finally:
            backed_up.stop()
            del os.environ["PGBACKREST_CONFIG"]
