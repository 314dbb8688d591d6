"""Asks a source for bars when there are new ones, and delivers each to the topic."""

import argparse
import logging
from datetime import date, timedelta
from pathlib import Path

from market_pulse import log, notify
from market_pulse.clock import Clock, MarketClock
from market_pulse.producer import store
from market_pulse.producer.archive import FOLDER, Archive
from market_pulse.producer.backlog import Backlog
from market_pulse.producer.bars import BarMaker
from market_pulse.producer.budget import Budget
from market_pulse.producer.daemon import Producer
from market_pulse.producer.environment import Environment, Places
from market_pulse.producer.intake import Intake
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.outlook import Outlook
from market_pulse.producer.poller import Poller
from market_pulse.producer.publisher import Publisher
from market_pulse.producer.repairs import Repairs
from market_pulse.producer.schedule import Agenda, Slots
from market_pulse.producer.settings import ProducerSettings, SourceName
from market_pulse.producer.store import Store
from market_pulse.producer.trouble import Troubles
from market_pulse.sessions import Sessions
from market_pulse.signals import Signals
from market_pulse.sources.alphavantage import Account, AlphaVantage
from market_pulse.sources.answers import VENDOR_ZONE
from market_pulse.sources.base import Cadence, Source
from market_pulse.sources.replay import Replay

# Old enough for any bar whose session is asked for.
FIRST_DAY = date(2000, 1, 3)

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


def build_poller(settings: ProducerSettings, memory: Store, archive: Archive, source: Source, clock: Clock) -> Poller:
    """Return what asks a source, takes its answers in and remembers what a process before it did."""
    sessions = Sessions.load(settings.exchange, FIRST_DAY)
    offer = source.offer(settings.symbols, settings.interval)
    settle = timedelta(seconds=settings.settle_seconds)
    slots = None if offer.cadence is Cadence.ONCE else Slots(sessions, offer, settle, extended=settings.extended_hours)
    limits = source.limits()
    # What an answer of a process before brings, and what is missing beside it, are written down together or not at all.
    with memory.transaction():
        outbox = Outbox(memory, settings.outbox_max_bars)
        poller = Poller(
            source=source,
            offer=offer,
            store=memory,
            intake=Intake(archive, outbox, BarMaker(source.name, sessions, settle, offer.lag), slots),
            clock=clock,
            outlook=Outlook(
                agenda=Agenda(slots, ()),
                budget=Budget(memory, limits, VENDOR_ZONE),
                outbox=outbox,
                repairs=Repairs(Backlog(memory), archive, sessions, offer),
                troubles=Troubles(),
                clock=clock,
            ),
        )
        poller.watch(offer)
        poller.recover()
    return poller


def build(settings: ProducerSettings, memory: Store, places: Places, notifier: notify.Notifier) -> Producer:
    """Return the producer that the settings describe."""
    clock = MarketClock.from_settings(settings)
    archive = Archive(places.state / FOLDER, settings.archive_days)
    poller = build_poller(settings, memory, archive, open_source(settings, clock), clock)
    publisher = Publisher(poller.outlook.outbox, settings.kafka, settings.topic)
    environment = Environment(places.configuration, places.runtime, settings) if places.configuration else None
    return Producer(clock, poller, archive, publisher, notifier, places.progress, environment)


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
    places = Places.from_environment()
    notifier = notify.from_environment()
    with Signals(can_reload=True) as signals:
        memory = Store(places.state / store.NAME)
        try:
            producer = build(settings, memory, places, notifier)
            log.event(_log, logging.INFO, "started", source=settings.source, outbox=producer.outbox.waiting)
            producer.run(signals)
        finally:
            memory.close()
