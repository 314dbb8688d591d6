"""What the control command reads from the host it runs on."""

import os
from pathlib import Path
from typing import Self

from pydantic import SecretStr, ValidationError

from market_pulse.errors import SettingsError
from market_pulse.settings import ClockSettings, DatabaseSettings, KafkaSettings

CONFIG = Path("/etc/market-pulse")


class CliSettings(KafkaSettings, DatabaseSettings, ClockSettings):
    """The whole pipeline as seen from one host; `database_user` is the monitor account."""

    interval: str
    postgresql_monitor_password: SecretStr

    @classmethod
    def load_host(cls, config: Path = CONFIG) -> Self:
        """Read `cli.env` and the credentials of this host.

        Raises:
            SettingsError: naming what is missing or wrong, or saying that root is needed to read the credentials.
        """
        environment = config / "cli.env"
        if not environment.exists():
            raise SettingsError(f"{environment} does not exist: is this a host that the playbook has set up?")
        credentials = config / "credentials"
        if not os.access(credentials, os.R_OK | os.X_OK):
            raise SettingsError(f"{credentials} is readable by root alone: use sudo")
        try:
            return cls(_env_file=environment, _secrets_dir=credentials)
        except ValidationError as error:
            raise cls.refusal(error) from None
