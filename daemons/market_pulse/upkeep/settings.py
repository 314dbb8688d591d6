"""What the upkeep reads from its unit."""

from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, NonNegativeInt, model_validator

from market_pulse.keeper import KeeperSettings

# The auditor looks back for a month, and vendors correct what is younger.
_FEWEST_MONTHS = 2


class UpkeepSettings(KeeperSettings):
    """How far the database looks ahead and back; `keep_months` 0 keeps everything for ever."""

    keep_months: NonNegativeInt
    months_ahead: int = Field(ge=2)
    # systemd names the directory that it made for the unit; it is not ours to prefix.
    state_directory: Path = Field(validation_alias=AliasChoices("state_directory"))

    @model_validator(mode="after")
    def _keeps_what_is_audited(self) -> Self:
        if 0 < self.keep_months < _FEWEST_MONTHS:
            raise ValueError(f"MP_KEEP_MONTHS must be 0, for ever, or at least {_FEWEST_MONTHS}")
        return self
