"""What every daemon reads from its unit: `MP_*` variables from EnvironmentFile=, secrets from LoadCredential=.

Each daemon declares its own settings as a subclass of `Settings` beside its code; the groups that several share are
here. A field ``topic`` is read from ``MP_TOPIC``; a `SecretStr` field ``vendor_api_key`` from the file
``mp_vendor_api_key`` in ``$CREDENTIALS_DIRECTORY``.
"""

import enum
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BeforeValidator,
    Field,
    FilePath,
    PositiveFloat,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from market_pulse import contract
from market_pulse.errors import SettingsError
from market_pulse.kafka_login import BrokerLogin, Login, Principal
from market_pulse.sources.base import LABELLED_BY_START_SINCE

PREFIX = "MP_"
_ADDRESS = r"^[^\s:,]+:\d+$"


def read_symbols(value: object) -> object:
    """Read symbols from one comma-separated line, and refuse by name what cannot be one."""
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if not contract.SYMBOL.fullmatch(name):
            raise ValueError(f"{name!r} is not a symbol; symbols look like {contract.SYMBOL.pattern}")
    if len(set(names)) < len(names):
        raise ValueError("a symbol stands there twice")
    return names


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
        message = message.removeprefix("Value error, ")
        if not location:
            return message
        field = str(location[0])
        if field in cls.model_fields and cls.model_fields[field].annotation is SecretStr:
            return f"credential {(PREFIX + field).lower()}: {message}"
        return f"{(PREFIX + field).upper()}: {message}"


class KafkaSettings(Settings):
    """Where the bars travel, and as whom: `principal` is the daemon's own, and the password a credential of its unit.

    `kafka_authority` is the file of the authority that vouches for the brokers.
    """

    principal: ClassVar[Principal]

    kafka_authority: FilePath
    kafka_bootstrap_servers: str = Field(pattern=r"^[^\s:,]+:\d+(,[^\s:,]+:\d+)*$")
    kafka_password: SecretStr = Field(min_length=1)
    topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")

    @classmethod
    def password_on_host(cls, credentials: Path) -> SecretStr:
        """Return the password as the playbook has laid it down, under the principal's name and not the field's.

        Raises:
            SettingsError: it is not there.
        """
        path = credentials / f"mp_kafka_{cls.principal}_password"
        try:
            return SecretStr(path.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            raise SettingsError(f"{path} does not exist: is this a host that the playbook has set up?") from None

    @property
    def kafka(self) -> Login:
        """Return the way into Kafka."""
        password = self.kafka_password.get_secret_value()
        return Login(self.kafka_bootstrap_servers, self.kafka_authority, self.principal, password)


class KafkaNodeSettings(Settings):
    """A host of Kafka's as it knows itself, for its probe; a node that is no controller has no listener for them."""

    kafka_authority: FilePath
    kafka_broker_keystore: SecretStr = Field(min_length=1)
    kafka_controller_listener: str | None = Field(default=None, pattern=_ADDRESS)
    kafka_node_id: int = Field(ge=0)
    # The clients read key and certificate from the file.
    credentials_directory: Path = Field(validation_alias=AliasChoices("credentials_directory"))

    @property
    def keystore(self) -> Path:
        """Return the file of the credential."""
        return self.credentials_directory / f"{PREFIX}kafka_broker_keystore".lower()

    def node_login(self, server: str) -> BrokerLogin:
        """Return the node's way in to another, or to itself."""
        return BrokerLogin(server, self.kafka_authority, self.keystore)


class BrokerSettings(KafkaNodeSettings):
    """The broker as its own host knows it: for its probe, and for who sets its topic and its users.

    `kafka_listener` is for clients, `kafka_broker_listener` for brokers and for who has their key.
    """

    kafka_broker_listener: str = Field(pattern=_ADDRESS)
    kafka_listener: str = Field(pattern=_ADDRESS)

    @property
    def broker_login(self) -> BrokerLogin:
        """Return the broker's own way in."""
        return self.node_login(self.kafka_broker_listener)

    def login(self, principal: str, password: str) -> Login:
        """Return a principal's way in."""
        return Login(self.kafka_listener, self.kafka_authority, principal, password)


class DatabaseSettings(Settings):
    """Where the bars are stored; the password is a credential of the process that connects.

    `database_authority` is the file of the authority that vouches for the server: no session is opened without it.
    `database_host` is one host, or, separated by commas, those of which one is the primary, as libpq takes them.
    """

    database_authority: FilePath
    database_host: str
    database_port: int = Field(gt=0, lt=65536)
    database_name: str
    database_user: str


class Plan(enum.StrEnum):
    """What the vendor's key is entitled to; see `market_pulse.sources` for what each plan asks."""

    FREE = "free"
    DELAYED = "delayed"
    PREMIUM = "premium"


class MarketSettings(Settings):
    """What is collected, and what the vendor grants for it: the same for the vendor's stand-in and for who asks it.

    `vendor_calls_per_minute` counts for the paid plans; the free one has its limits by contract.
    """

    symbols: Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_symbols)] = Field(min_length=1)
    exchange: str
    vendor_api_key: SecretStr = Field(min_length=1)
    vendor_plan: Plan
    vendor_calls_per_minute: int = Field(gt=0)


class ClockSettings(Settings):
    """How market time runs against real time: see `market_pulse.clock`."""

    clock_speed: PositiveFloat = 1.0
    clock_real_start: AwareDatetime = datetime(1970, 1, 1, tzinfo=UTC)
    clock_market_start: AwareDatetime = datetime(1970, 1, 1, tzinfo=UTC)

    @model_validator(mode="after")
    def _starts_where_labels_are_starts(self) -> Self:
        is_real_time = self.clock_market_start == self.clock_real_start and self.clock_speed >= 1
        if self.clock_market_start < LABELLED_BY_START_SINCE and not is_real_time:
            raise ValueError(
                f"MP_CLOCK_MARKET_START must be {LABELLED_BY_START_SINCE:%Y-%m-%d} or later: the vendor's intraday bars"
                " of before are labelled by their end, and the simulator's by their start"
            )
        return self
