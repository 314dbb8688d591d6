"""One run of the alerts: look, compare with what was told, tell, remember, note the figures; the timer says when."""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence

from market_pulse import log
from market_pulse.alerts import state
from market_pulse.alerts.channels import Channel, Journal, channels
from market_pulse.alerts.decision import State, Told, news, observe
from market_pulse.alerts.messages import messages
from market_pulse.alerts.settings import AlertSettings
from market_pulse.cli import collect, metrics
from market_pulse.cli.report import Report, assess
from market_pulse.errors import AlertError

_log = logging.getLogger(__name__)


def run(settings: AlertSettings, report: Report, ways: Sequence[Channel]) -> bool:
    """Tell each channel what it does not know yet, and return whether all of them are as they should be.

    What a channel does not take is told at the next run, as it is then.

    Raises:
        OSError: what was told cannot be remembered anywhere, and so is told again.
    """
    memory, now = state.Memory(settings.state_directory, settings.runtime_directory), report.facts.at
    of_pipeline = settings.tells_of_pipeline(report.facts.replication)
    findings = [finding for finding in report.findings if finding.of_host or of_pipeline]
    known = memory.load().without({finding.key for finding in report.findings} - {finding.key for finding in findings})
    lives = observe(known.lives, findings, now, settings.rules, all_asked=not report.facts.unreachable)
    told: dict[str, Mapping[str, Told]] = {}
    all_taken = True
    everybody: list[Channel | Journal] = [Journal(is_alone=not ways), *ways]
    for way in everybody:
        told[way.id] = known.told.get(way.id, {})
        try:
            way.check()
            for message in messages(settings.alert_host, news(lives, told[way.id], now, settings.rules), now):
                way.send(message.title, message.body)
                told[way.id] = message.known_after(told[way.id])
        except AlertError as error:
            log.event(_log, logging.ERROR, "not told, the next run tries again", reason=error)
            all_taken = False
    return memory.save(State(lives, told)) and all_taken


def main() -> None:
    """Run once; the exit code is 1 if a channel did not take what it was to be told, or never will."""
    parser = argparse.ArgumentParser(prog="market-pulse-alerts", description=__doc__)
    parser.add_argument("--check-config", action="store_true", help="read settings and credentials, then leave")
    checking = parser.parse_args().check_config
    log.setup()
    settings = AlertSettings.load()
    if checking:
        return
    report = assess(collect.facts(settings, settings.credentials_directory))
    all_taken = run(settings, report, channels(settings.alert_urls.get_secret_value()))
    metrics.write(settings.runtime_directory / metrics.NAME, report)
    if not all_taken:
        sys.exit(1)
