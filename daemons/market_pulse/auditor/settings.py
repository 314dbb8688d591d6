"""What the auditor reads from its unit."""

from typing import Annotated

from pydantic import BeforeValidator, Field, NonNegativeFloat, SecretStr
from pydantic_settings import NoDecode

from market_pulse.contract import Interval
from market_pulse.keeper import AccountSettings
from market_pulse.producer.settings import SourceName
from market_pulse.settings import Plan, read_symbols


class AuditorSettings(AccountSettings):
    """What is collected, as the producer is told it, and so which bars are to be expected."""

    source: SourceName
    symbols: Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_symbols)] = Field(min_length=1)
    interval: Interval
    vendor_plan: Plan
    vendor_calls_per_minute: int = Field(gt=0)
    extended_hours: bool
    settle_seconds: NonNegativeFloat
    postgresql_auditor_password: SecretStr = Field(min_length=1)

    @property
    def password(self) -> SecretStr:
        """The auditor's."""
        return self.postgresql_auditor_password
