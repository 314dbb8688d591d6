"""Where the unit puts the producer's files, and its environment files read again while it runs."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from market_pulse import progress
from market_pulse.errors import SettingsError
from market_pulse.producer.settings import ProducerSettings

# The unit's EnvironmentFile= lines, in their order; a reload applies what is in the second.
FILES = ("producer.env", "producer-reload.env")
STAMP = "environment-read"


@dataclass(frozen=True)
class Places:
    """The unit's directories; those that are None are a process's without a unit."""

    state: Path
    runtime: Path | None
    configuration: Path | None

    @classmethod
    def from_environment(cls) -> "Places":
        """Return the directories that systemd tells.

        Raises:
            SettingsError: there is none for state, and nothing could be remembered.
        """
        named = ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CONFIGURATION_DIRECTORY")
        state, runtime, configuration = (Path(os.environ[name]) if os.environ.get(name) else None for name in named)
        if state is None:
            raise SettingsError("STATE_DIRECTORY is missing: the unit gives it with StateDirectory=")
        return cls(state, runtime, configuration)

    @property
    def progress(self) -> Path | None:
        """Return the file for `market-pulse status`."""
        return self.runtime and self.runtime / progress.NAME


class FileSettings(ProducerSettings):
    """The producer's settings as they stand in its files, whatever the environment of this process says."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave the environment out."""
        return init_settings, dotenv_settings, file_secret_settings

    @classmethod
    def read(cls, configuration: Path, credentials: Path | None, **given: Any) -> "FileSettings":
        """Read the files of a configuration directory, and the unit's credentials but for those that are given.

        Raises:
            SettingsError: one is missing, or a variable or credential is missing or wrong.
        """
        files = [configuration / name for name in FILES]
        missing = [str(path) for path in files if not path.is_file()]
        if missing:
            raise SettingsError(f"{' and '.join(missing)} cannot be read: the unit's settings are there")
        try:
            return cls(_env_file=files, _secrets_dir=credentials, **given)
        except ValidationError as error:
            raise cls.refusal(error) from None


@dataclass
class Environment:
    """The unit's files against what this process works with.

    A stamp in the runtime directory bears the time of the file that was read last, so that who has changed it can see
    whether the change is known.
    """

    configuration: Path
    runtime: Path | None
    settings: ProducerSettings

    def read_again(self) -> tuple[ProducerSettings, list[str]]:
        """Return the settings as they are in the files now, and the variables that only a restart applies.

        Raises:
            SettingsError: the files are not as they should be; what this process works with stays.
        """
        changed_at = self._file_time()
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        fresh = FileSettings.read(self.configuration, Path(credentials) if credentials else None)
        names = [name for name in type(self.settings).model_fields if name != "symbols"]
        later = [name for name in names if getattr(fresh, name) != getattr(self.settings, name)]
        self.settings = self.settings.model_copy(update={"symbols": fresh.symbols})
        if self.runtime and changed_at is not None:
            stamp = self.runtime / STAMP
            stamp.touch()
            os.utime(stamp, ns=(changed_at, changed_at))
        return self.settings, [f"MP_{name.upper()}" for name in later]

    def _file_time(self) -> int | None:
        # Asked before reading: a change that comes meanwhile is then newer than the stamp.
        path = self.configuration / FILES[1]
        return path.stat().st_mtime_ns if path.is_file() else None
