"""What every daemon reads from its unit: `MP_*` variables from EnvironmentFile=, secrets from LoadCredential=.

Each daemon declares its own settings as a subclass of `Settings` beside its code; the groups that several share are
here. A field ``topic`` is read from ``MP_TOPIC``; a `SecretStr` field ``vendor_api_key`` from the file
``mp_vendor_api_key`` in ``$CREDENTIALS_DIRECTORY``.
"""

import os
from datetime import UTC, datetime
from typing import Self

from pydantic import AwareDatetime, Field, PositiveFloat, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from market_pulse.errors import SettingsError

PREFIX = "MP_"


class Settings(BaseSettings):
    """Base of every daemon's settings: frozen, and wrong values are refused by name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True, env_ignore_empty=True)

    @classmethod
    def load(cls) -> Self:
        """Read the settings of this process.

        Raises:
            SettingsError: naming each variable or credential that is missing or wrong, never its value.
        """
        try:
            return cls(_secrets_dir=os.environ.get("CREDENTIALS_DIRECTORY"))
        except ValidationError as error:
            raise cls.refusal(error) from None

    @classmethod
    def refusal(cls, error: ValidationError) -> SettingsError:
        """Return the error that names each variable or credential that is missing or wrong, never its value."""
        return SettingsError("; ".join(cls._sentence(item["loc"], item["msg"]) for item in error.errors()))

    @classmethod
    def _sentence(cls, location: tuple[int | str, ...], message: str) -> str:
        field = str(location[0]) if location else ""
        if field in cls.model_fields and cls.model_fields[field].annotation is SecretStr:
            return f"credential {(PREFIX + field).lower()}: {message}"
        return f"{(PREFIX + field).upper()}: {message}"


class KafkaSettings(Settings):
    """Where the bars travel."""

    kafka_bootstrap_servers: str = Field(pattern=r"^[^\s:,]+:\d+(,[^\s:,]+:\d+)*$")
    topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")


class DatabaseSettings(Settings):
    """Where the bars are stored; the password is a credential of the process that connects."""

    database_host: str
    database_port: int = Field(gt=0, lt=65536)
    database_name: str
    database_user: str


class ClockSettings(Settings):
    """How market time runs against real time: see `market_pulse.clock`."""

    clock_speed: PositiveFloat = 1.0
    clock_real_start: AwareDatetime = datetime(1970, 1, 1, tzinfo=UTC)
    clock_market_start: AwareDatetime = datetime(1970, 1, 1, tzinfo=UTC)
