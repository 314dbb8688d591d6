"""The vendor's stand-in: Alpha Vantage's HTTP API over an invented market on real exchange sessions.

It is how the product runs with no key and no internet, and what the tests ask instead of the vendor.
"""

import argparse
import logging
import os
import socket
from datetime import date
from pathlib import Path

from market_pulse import log, notify, progress
from market_pulse.clock import MarketClock
from market_pulse.sessions import Sessions
from market_pulse.simulator.api import Terms, VendorApi
from market_pulse.simulator.app import Heartbeat, Simulator, serve
from market_pulse.simulator.market import SimulatedMarket
from market_pulse.simulator.settings import SimulatorSettings

# The market's first day belongs to its definition: prices are counted in sessions from here.
FIRST_DAY = date(2015, 1, 2)

_log = logging.getLogger(__name__)


def build(settings: SimulatorSettings) -> Simulator:
    """Return the simulator that the settings describe."""
    market = SimulatedMarket(settings.simulator_seed, Sessions.load(settings.exchange, FIRST_DAY))
    terms = Terms(
        api_key=settings.vendor_api_key.get_secret_value(),
        symbols=frozenset(settings.symbols),
        plan=settings.vendor_plan,
        calls_per_minute=settings.vendor_calls_per_minute,
    )
    return Simulator(VendorApi(market, terms), MarketClock.from_settings(settings))


def main() -> None:
    """Run the daemon until SIGTERM."""
    parser = argparse.ArgumentParser(prog="market-pulse-simulator", description=__doc__)
    parser.add_argument("--check-config", action="store_true", help="read settings and credentials, then leave")
    checking = parser.parse_args().check_config
    log.setup()
    settings = SimulatorSettings.load()
    simulator = build(settings)
    if checking:
        return
    notifier = notify.from_environment()
    address = (settings.simulator_host, settings.simulator_port)
    runtime = os.environ.get("RUNTIME_DIRECTORY")
    with socket.create_server(address, backlog=128) as listening:
        log.event(_log, logging.INFO, "serving", address=f"{address[0]}:{address[1]}", symbols=len(settings.symbols))
        serve(simulator, listening, Heartbeat(address, notifier, Path(runtime) / progress.NAME if runtime else None))
