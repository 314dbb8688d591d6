"""What the producer reads from its unit."""

import enum
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, HttpUrl, NonNegativeFloat, model_validator

from market_pulse.contract import Interval
from market_pulse.kafka_login import Principal
from market_pulse.settings import ClockSettings, KafkaSettings, MarketSettings


class SourceName(enum.StrEnum):
    """Where the bars come from; the value is what every bar carries as its source."""

    ALPHAVANTAGE = "alphavantage"
    SIMULATOR = "simulator"
    REPLAY = "replay"


class ProducerSettings(MarketSettings, KafkaSettings, ClockSettings):
    """Whom to ask, for what, and how much to keep while the broker is away.

    `settle_seconds` is the market time that a bar is given after its end: polls come then, and a bar seen then is
    final. `archive_days` is for how many days of market time the vendor's answers are kept as they came.
    """

    principal: ClassVar[Principal] = Principal.PRODUCER

    source: SourceName
    interval: Interval
    vendor_address: HttpUrl | None = None
    replay_folder: Path | None = None
    extended_hours: bool
    settle_seconds: NonNegativeFloat
    outbox_max_bars: int = Field(gt=0)
    archive_days: int = Field(gt=0)

    @model_validator(mode="after")
    def _fits_the_source(self) -> Self:
        if self.source is SourceName.REPLAY:
            if self.replay_folder is None:
                raise ValueError("MP_REPLAY_FOLDER is missing: the source replay plays a folder")
        elif self.vendor_address is None:
            raise ValueError(f"MP_VENDOR_ADDRESS is missing: the source {self.source} asks over HTTP")
        if self.source is SourceName.ALPHAVANTAGE and self.clock_speed != 1:
            raise ValueError("MP_CLOCK_SPEED must be 1: only the simulator's market runs faster than time")
        return self
