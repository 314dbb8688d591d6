"""pgBackRest's repository of one server: what is in it, one backup more, and a restore out of it."""

import enum
import logging
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from market_pulse import log
from market_pulse.errors import BackupError

_PROGRAM = "pgbackrest"
# Of a stanza, as `pgbackrest info` has it: ok, and no backup yet.
_READABLE = (0, 2)

_log = logging.getLogger(__name__)


class Kind(enum.StrEnum):
    """What a backup holds: everything, or what has changed since the last full one, or since the last one at all."""

    FULL = "full"
    DIFFERENTIAL = "diff"
    INCREMENTAL = "incr"


@dataclass(frozen=True)
class Backup:
    """One backup; `size_bytes` is what it takes when it is restored."""

    label: str
    kind: Kind
    started_at: datetime
    finished_at: datetime
    size_bytes: int


class _Times(msgspec.Struct):
    start: int
    stop: int


class _Size(msgspec.Struct):
    size: int


class _Entry(msgspec.Struct):
    label: str
    type: Kind
    timestamp: _Times
    info: _Size


class _Status(msgspec.Struct):
    code: int
    message: str


class _Stanza(msgspec.Struct):
    backup: list[_Entry]
    status: _Status


@dataclass(frozen=True)
class Repository:
    """The repository that pgBackRest's own configuration file names, and the server's name in it."""

    stanza: str

    def backups(self) -> list[Backup]:
        """Return the backups, the newest last.

        Raises:
            BackupError: the repository cannot be read.
        """
        (stanza,) = msgspec.json.decode(self._run("info", "--output=json"), type=list[_Stanza])
        if stanza.status.code not in _READABLE:
            raise BackupError(
                f"the repository has no {self.stanza} ({stanza.status.message}): mount its disk, or deploy again"
            )
        found = [
            Backup(
                entry.label,
                entry.type,
                datetime.fromtimestamp(entry.timestamp.start, UTC),
                datetime.fromtimestamp(entry.timestamp.stop, UTC),
                entry.info.size,
            )
            for entry in stanza.backup
        ]
        return sorted(found, key=lambda backup: (backup.finished_at, backup.label))

    def back_up(self, kind: Kind) -> None:
        """Make a backup, and remove those that need not be kept any more.

        Raises:
            BackupError: it could not be made, or the WAL that belongs to it was not archived.
        """
        self._run("backup", f"--type={kind}")

    def restore(self, backup: Backup, into: Path, tablespaces: Path, point: str) -> None:
        """Lay a backup into an empty directory, to be recovered up to a named restore point when a server starts there.

        Raises:
            BackupError: a part of the backup is missing or damaged, or there is no room.
        """
        self._run(
            "restore",
            f"--set={backup.label}",
            f"--pg1-path={into}",
            f"--tablespace-map-all={tablespaces}",
            "--type=name",
            f"--target={point}",
            "--target-action=promote",
        )

    def _run(self, command: str, *options: str) -> bytes:
        done = subprocess.run(  # noqa: S603 - a constant and an inventory's name
            [_PROGRAM, f"--stanza={self.stanza}", "--log-level-stderr=warn", *options, command],
            capture_output=True,
            check=False,
        )
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode:
            raise BackupError(f"pgbackrest {command} ended with {done.returncode}: {' '.join(said.split())}")
        if said:
            log.event(_log, logging.WARNING, "pgbackrest said", command=command, what=" ".join(said.split()))
        return done.stdout
