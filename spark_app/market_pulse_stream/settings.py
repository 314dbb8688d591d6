"""What the consumer's unit tells it."""

from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, Field, PositiveInt, SecretStr

from market_pulse.kafka_login import Principal
from market_pulse.settings import DatabaseSettings, KafkaSettings


class ConsumerSettings(KafkaSettings, DatabaseSettings):
    """The driver's settings; the executors take the passwords from credentials of their own unit.

    For the sake of the Java part of the driver, its unit has the password for Kafka in a file for Java as well.
    """

    principal: ClassVar[Principal] = Principal.CONSUMER

    postgresql_writer_password: SecretStr = Field(min_length=1)
    max_offsets_per_trigger: PositiveInt
    trigger_milliseconds: PositiveInt
    # Where the master shows itself, if it runs on the same host: its page is open to no other.
    spark_master_ui_port: int | None = Field(default=None, gt=0, lt=65536)
    # systemd names the directories it made for the unit; these two are not ours to prefix.
    runtime_directory: Path = Field(validation_alias=AliasChoices("runtime_directory"))
    state_directory: Path = Field(validation_alias=AliasChoices("state_directory"))

    @property
    def checkpoint(self) -> Path:
        """Return where Spark keeps what it needs while this driver lives."""
        return self.state_directory / "checkpoint"
