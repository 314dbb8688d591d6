"""What the alerts read from their unit."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from market_pulse.alerts.decision import Rules
from market_pulse.alerts.quiet import QuietHours
from market_pulse.cli.replication import Replication
from market_pulse.cli.settings import CliSettings


def _read(value: object) -> object:
    return QuietHours.read(value) if isinstance(value, str) else value


class AlertSettings(CliSettings):
    """What `market-pulse status` reads, and whom to tell of it.

    `alert_of_pipeline` is true on the database's hosts, of which the primary's tells what every host sees; the others
    tell of themselves. `alert_address` is this host's, as the database's clients know it.
    `alert_urls` holds one URL a line.
    """

    alert_after_seconds: float = Field(ge=0)
    alert_address: str
    alert_host: str
    alert_of_pipeline: bool
    alert_quiet_hours: Annotated[QuietHours | None, NoDecode, BeforeValidator(_read)] = None
    alert_urls: SecretStr = SecretStr("")
    postgresql_monitor_password: SecretStr = Field(min_length=1)
    # systemd names the directories that it made for the unit; they are not ours to prefix.
    runtime_directory: Path = Field(validation_alias=AliasChoices("runtime_directory"))
    state_directory: Path = Field(validation_alias=AliasChoices("state_directory"))
    credentials_directory: Path = Field(validation_alias=AliasChoices("credentials_directory"))

    def tells_of_pipeline(self, replication: Replication | None) -> bool:
        """Tell whether this host is the one that tells what every host sees."""
        return self.alert_of_pipeline and (replication is None or replication.primary == self.alert_address)

    @property
    def rules(self) -> Rules:
        """When who is told."""
        return Rules(timedelta(seconds=self.alert_after_seconds), quiet=self.alert_quiet_hours)
