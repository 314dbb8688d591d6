"""What the consumer's unit tells it."""

from pathlib import Path

from pydantic import AliasChoices, Field, PositiveInt, SecretStr

from market_pulse.settings import DatabaseSettings, KafkaSettings


class ConsumerSettings(KafkaSettings, DatabaseSettings):
    """The driver's settings; the executors take the password from their own unit's credential of the same name."""

    postgresql_writer_password: SecretStr = Field(min_length=1)
    max_offsets_per_trigger: PositiveInt = 50_000
    trigger_milliseconds: PositiveInt = 1000
    # systemd names the directories it made for the unit; these two are not ours to prefix.
    runtime_directory: Path = Field(validation_alias=AliasChoices("runtime_directory"))
    state_directory: Path = Field(validation_alias=AliasChoices("state_directory"))
