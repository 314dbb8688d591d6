"""What the web daemon reads from its unit."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AliasChoices, BeforeValidator, Field, IPvAnyAddress, SecretStr, model_validator
from pydantic_settings import NoDecode

from market_pulse.contract import Interval
from market_pulse.kafka_login import Principal
from market_pulse.settings import PREFIX, ClockSettings, DatabaseSettings, KafkaSettings

# Typed once by each reader, and guessed by nobody.
FEWEST_TOKEN_LETTERS = 24


def _read_names(value: object) -> object:
    return [name.strip().lower() for name in value.split(",")] if isinstance(value, str) else value


class WebSettings(DatabaseSettings, KafkaSettings, ClockSettings):
    """Where the pages are, and what they look at.

    `web_host` is the address of the market's page; the Kafka page is on loopback, whatever it is. Elsewhere than on
    loopback readers need TLS and the token. `web_names` are the names that a browser may know this host by.
    """

    principal: ClassVar[Principal] = Principal.WEB

    exchange: str
    interval: Interval
    postgresql_web_password: SecretStr = Field(min_length=1)
    web_host: IPvAnyAddress
    web_port: int = Field(gt=0, lt=65536)
    web_kafka_port: int = Field(gt=0, lt=65536)
    web_names: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_names)] = ()
    # Key and certificate in one file, and what readers type; of no use on loopback.
    web_keystore: SecretStr = SecretStr("")
    web_token: SecretStr = SecretStr("")
    credentials_directory: Path = Field(validation_alias=AliasChoices("credentials_directory"))

    @property
    def is_open(self) -> bool:
        """Tell whether others than this host reach the market's page."""
        return not self.web_host.is_loopback

    @property
    def keystore(self) -> Path | None:
        """Return the file of the key and the certificate that the market's page is served by, if it is."""
        return self.credentials_directory / f"{PREFIX}web_keystore".lower() if self.is_open else None

    @property
    def token(self) -> str | None:
        """Return what readers of the market's page prove themselves by, if they have to."""
        return self.web_token.get_secret_value().strip() if self.is_open else None

    @model_validator(mode="after")
    def _is_closed_without_a_lock(self) -> Self:
        if not self.is_open:
            return self
        lacking = [] if self.web_keystore.get_secret_value().strip() else ["mp_web_keystore (key and certificate)"]
        if len(self.web_token.get_secret_value().strip()) < FEWEST_TOKEN_LETTERS:
            lacking.append(f"mp_web_token (at least {FEWEST_TOKEN_LETTERS} letters)")
        if lacking:
            raise ValueError(
                f"MP_WEB_HOST is {self.web_host}, which others reach: that takes the credentials {', '.join(lacking)}; "
                "without them it must be 127.0.0.1"
            )
        return self
