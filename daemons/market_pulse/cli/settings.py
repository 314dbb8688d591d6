"""What the control command reads from the host it runs on."""

import os
from pathlib import Path
from typing import ClassVar, Self

from pydantic import ValidationError

from market_pulse.errors import SettingsError
from market_pulse.kafka_login import Principal
from market_pulse.producer.archive import FOLDER
from market_pulse.settings import ClockSettings, DatabaseSettings, KafkaSettings

CONFIG = Path("/etc/market-pulse")
CREDENTIALS = CONFIG / "credentials"
# Directories of the producer's and the consumer's, as their units have systemd make them.
PRODUCER_STATE = Path("/var/lib/market-pulse/producer")
PRODUCER_RUNTIME = Path("/run/market-pulse-producer")
CONSUMER_RUNTIME = Path("/run/market-pulse-consumer")
RAW_ANSWERS = PRODUCER_STATE / FOLDER
# The upkeep's.
EXPORTED = Path("/var/lib/market-pulse/upkeep/export")


class CliSettings(KafkaSettings, DatabaseSettings, ClockSettings):
    """The whole pipeline as seen from one host; `database_user` is the monitor account.

    `interval`, `exchange` and `source` are what the producer collects.
    """

    principal: ClassVar[Principal] = Principal.MONITOR

    interval: str
    exchange: str
    source: str

    @classmethod
    def load_host(cls, config: Path = CONFIG) -> Self:
        """Read `cli.env` of this host.

        Raises:
            SettingsError: naming what is missing or wrong, or saying that root is needed to read the credentials.
        """
        environment = config / "cli.env"
        if not environment.exists():
            raise SettingsError(f"{environment} does not exist: is this a host that the playbook has set up?")
        credentials = config / CREDENTIALS.name
        if not os.access(credentials, os.R_OK | os.X_OK):
            raise SettingsError(f"{credentials} is readable by root alone: use sudo")
        try:
            return cls(_env_file=environment, kafka_password=cls.password_on_host(credentials))
        except ValidationError as error:
            raise cls.refusal(error) from None
