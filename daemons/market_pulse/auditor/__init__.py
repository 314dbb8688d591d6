"""Accounts for every bar that a session should have, and names what nothing explains."""

import argparse
import logging

from market_pulse import log, notify
from market_pulse.auditor.daemon import Auditor
from market_pulse.auditor.settings import AuditorSettings
from market_pulse.clock import MarketClock
from market_pulse.signals import Signals

_log = logging.getLogger(__name__)


def main() -> None:
    """Run the daemon until SIGTERM."""
    parser = argparse.ArgumentParser(prog="market-pulse-auditor", description=__doc__)
    parser.add_argument("--check-config", action="store_true", help="read settings and credentials, then leave")
    checking = parser.parse_args().check_config
    log.setup()
    settings = AuditorSettings.load()
    if checking:
        return
    notifier = notify.from_environment()
    with Signals() as signals:
        log.event(_log, logging.INFO, "started", source=settings.source, symbols=len(settings.symbols))
        Auditor(settings, MarketClock.from_settings(settings), notifier).run(signals)
