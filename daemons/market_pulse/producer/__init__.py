"""Asks a source for bars when there are new ones, and delivers each to the topic."""

import argparse
import logging
import os
from datetime import date, timedelta
from pathlib import Path

from market_pulse import log, notify, progress
from market_pulse.clock import Clock, MarketClock
from market_pulse.errors import SettingsError
from market_pulse.producer import store
from market_pulse.producer.bars import BarMaker
from market_pulse.producer.budget import Budget
from market_pulse.producer.daemon import Producer
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.poller import Poller
from market_pulse.producer.publisher import Publisher
from market_pulse.producer.schedule import Agenda, Slots
from market_pulse.producer.settings import ProducerSettings, SourceName
from market_pulse.producer.signals import StopFlag
from market_pulse.producer.store import Store
from market_pulse.sessions import Sessions
from market_pulse.sources.alphavantage import Account, AlphaVantage
from market_pulse.sources.answers import VENDOR_ZONE
from market_pulse.sources.base import Cadence, Source
from market_pulse.sources.replay import Replay

# Old enough for any bar whose session is asked for.
_FIRST_DAY = date(2000, 1, 3)

_log = logging.getLogger(__name__)


def open_source(settings: ProducerSettings, clock: Clock) -> Source:
    """Return the source that the settings name.

    Raises:
        SettingsError: the folder to replay holds nothing that can be played.
    """
    if settings.source is SourceName.REPLAY:
        return Replay(settings.replay_folder or Path())
    account = Account(
        api_key=settings.vendor_api_key.get_secret_value(),
        plan=settings.vendor_plan,
        calls_per_minute=settings.vendor_calls_per_minute,
        extended=settings.extended_hours,
    )
    return AlphaVantage(settings.source.value, str(settings.vendor_address), account, clock)


def build(settings: ProducerSettings, memory: Store, notifier: notify.Notifier, progress_file: Path | None) -> Producer:
    """Return the producer that the settings describe."""
    clock = MarketClock.from_settings(settings)
    sessions = Sessions.load(settings.exchange, _FIRST_DAY)
    source = open_source(settings, clock)
    offer = source.offer(settings.symbols, settings.interval)
    settle = timedelta(seconds=settings.settle_seconds)
    slots = None if offer.cadence is Cadence.ONCE else Slots(sessions, offer, settle, extended=settings.extended_hours)
    outbox = Outbox(memory, settings.outbox_max_bars)
    agenda = Agenda(slots, offer.requests)
    poller = Poller(
        source=source,
        agenda=agenda,
        budget=Budget(memory, source.limits(), VENDOR_ZONE),
        outbox=outbox,
        maker=BarMaker(source.name, sessions, settle, offer.lag),
        clock=clock,
        long_answers=offer.long_answers,
    )
    poller.remember()
    publisher = Publisher(outbox, settings.kafka_bootstrap_servers, settings.topic)
    return Producer(clock, sessions, poller, outbox, publisher, notifier, progress_file)


def main() -> None:
    """Run the daemon until SIGTERM."""
    parser = argparse.ArgumentParser(prog="market-pulse-producer", description=__doc__)
    parser.add_argument("--check-config", action="store_true", help="read settings and credentials, then leave")
    checking = parser.parse_args().check_config
    log.setup()
    settings = ProducerSettings.load()
    if checking:
        open_source(settings, MarketClock.from_settings(settings))
        return
    state, runtime = os.environ.get("STATE_DIRECTORY"), os.environ.get("RUNTIME_DIRECTORY")
    if not state:
        raise SettingsError("STATE_DIRECTORY is missing: the unit gives it with StateDirectory=")
    notifier = notify.from_environment()
    with StopFlag() as stop:
        memory = Store(Path(state) / store.NAME)
        try:
            producer = build(settings, memory, notifier, Path(runtime) / progress.NAME if runtime else None)
            log.event(_log, logging.INFO, "started", source=settings.source, outbox=producer.outbox.waiting)
            producer.run(stop)
        finally:
            memory.close()
