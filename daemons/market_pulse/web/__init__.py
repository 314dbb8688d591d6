"""Shows the market in a browser, live, and the state of Kafka to its operator; reads everything, changes nothing."""

import argparse
import asyncio
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from market_pulse import log, notify, progress
from market_pulse.clock import MarketClock
from market_pulse.sessions import Sessions
from market_pulse.web import app, console
from market_pulse.web.feed import Feed
from market_pulse.web.guard import Guard
from market_pulse.web.hub import Hub
from market_pulse.web.live import Live
from market_pulse.web.server import Heart, Listener, serve
from market_pulse.web.sessions import Database
from market_pulse.web.settings import WebSettings
from market_pulse.web.view import View

# What the calendar has to know of the past: the session that is not over.
_CALENDAR = timedelta(days=30)
_LOOPBACK = "127.0.0.1"

_log = logging.getLogger(__name__)


async def run(settings: WebSettings, sessions: Sessions, notifier: notify.Notifier, report: Path | None) -> None:
    """Run the daemon in this event loop until SIGTERM."""
    hub, questions, clock = Hub(), Database(settings), MarketClock.from_settings(settings)
    feed = Feed(settings, questions, sessions.zone, hub)
    view = View(questions, hub, feed, sessions, settings.interval, clock.now)
    market = app.market(view, Live(hub, questions, sessions.zone))
    names = (str(settings.web_host), *settings.web_names)
    listeners = [
        Listener(Guard(market, names, settings.token), (str(settings.web_host), settings.web_port), settings.keystore),
        Listener(Guard(console.application(settings, questions), (), None), (_LOOPBACK, settings.web_kafka_port)),
    ]
    for listener in listeners:
        log.event(_log, logging.INFO, "serving", address=":".join(map(str, listener.address)))
    try:
        await serve(listeners, feed, Heart(listeners, feed, hub, notifier, report))
    finally:
        questions.close()


def main() -> None:
    """Run the daemon until SIGTERM."""
    parser = argparse.ArgumentParser(prog="market-pulse-web", description=__doc__)
    parser.add_argument("--check-config", action="store_true", help="read settings and credentials, then leave")
    checking = parser.parse_args().check_config
    log.setup()
    settings = WebSettings.load()
    if checking:
        return
    notifier = notify.from_environment()
    clock = MarketClock.from_settings(settings)
    sessions = Sessions.load(settings.exchange, min(clock.now(), datetime.now(UTC)).date() - _CALENDAR)
    runtime = os.environ.get("RUNTIME_DIRECTORY")
    asyncio.run(run(settings, sessions, notifier, Path(runtime) / progress.NAME if runtime else None))
