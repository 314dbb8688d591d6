"""What the two jobs read from their units; both run as the server's own user, and enter by its socket."""

from pathlib import Path

from pydantic import AliasChoices, DirectoryPath, Field

from market_pulse.settings import Settings


class ServerSettings(Settings):
    """The server of this host, by its socket, and its name in pgBackRest's repository."""

    backup_stanza: str = Field(min_length=1)
    database_name: str
    database_port: int = Field(gt=0, lt=65536)
    database_socket: DirectoryPath


class BackupSettings(ServerSettings):
    """The nightly backup; every `backup_full_days` days it is a full one."""

    backup_full_days: int = Field(ge=1)


class ProofSettings(ServerSettings):
    """The restore into a scratch cluster, which lies in `state_directory` and listens in `runtime_directory`."""

    postgresql_binaries: DirectoryPath
    # systemd names the directories that it made for the unit; they are not ours to prefix.
    runtime_directory: Path = Field(validation_alias=AliasChoices("runtime_directory"))
    state_directory: Path = Field(validation_alias=AliasChoices("state_directory"))
