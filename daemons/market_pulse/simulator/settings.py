"""What the simulator reads from its unit."""

from pydantic import Field

from market_pulse.settings import ClockSettings, MarketSettings


class SimulatorSettings(MarketSettings, ClockSettings):
    """Where the simulator listens, and which market it invents: another seed is another market."""

    simulator_host: str
    simulator_port: int = Field(gt=0, lt=65536)
    simulator_seed: int
