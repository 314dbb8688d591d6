"""The producer's loop: due polls, into the outbox, to the topic, and a word to systemd."""

import logging
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from market_pulse import health, log, progress
from market_pulse.clock import Clock
from market_pulse.errors import SettingsError
from market_pulse.notify import Notifier
from market_pulse.producer.archive import Archive
from market_pulse.producer.environment import Environment
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.poller import Poller, Round
from market_pulse.producer.publisher import Publisher
from market_pulse.producer.statement import budget_facts
from market_pulse.signals import Signals

if TYPE_CHECKING:
    from pydantic import JsonValue

_PUBLISH_SECONDS = 2.0
_LAST_PUBLISH_SECONDS = 1.5
# How long the loop rests: never so long that the watchdog would miss it, and briefly while bars are on their way.
_LONGEST_PAUSE_SECONDS = 5.0
_PAUSE_WITH_BARS_WAITING_SECONDS = 0.2
_START_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass
class Producer:
    """Runs until it is told to stop."""

    clock: Clock
    poller: Poller
    archive: Archive
    publisher: Publisher
    notifier: Notifier
    progress_file: Path | None
    environment: Environment | None
    _is_ready: bool = False
    _was_full: bool = False
    _pruned_on: date | None = None

    @property
    def outbox(self) -> Outbox:
        """Return what waits for the broker."""
        return self.poller.outlook.outbox

    def run(self, signals: Signals) -> None:
        """Go round until told to stop, then send what can be sent at once; the rest stays in the outbox."""
        try:
            # The files may have changed since systemd read them.
            self._read_environment()
            while not signals.stopping:
                if signals.take_reload():
                    self._reload()
                self._run_cycle(signals)
                signals.wait(self._pause())
        finally:
            self._shut_down()

    def _run_cycle(self, signals: Signals) -> None:
        polled = self.poller.round(lambda: signals.stopping)
        self._prune()
        self.publisher.connect()
        confirmed = self.publisher.round(0.0 if signals.stopping else _PUBLISH_SECONDS)
        self._tell(polled, confirmed)
        facts = self._facts()
        verdict = health.producer(facts)
        self._write_progress(facts, verdict)
        if self._is_ready:
            self.notifier.status(verdict.sentence)
        elif polled.answers or self.publisher.connected:
            self.notifier.ready(verdict.sentence)
            self._is_ready = True
        else:
            self.notifier.status(verdict.sentence)
            self.notifier.extend_start(_START_SECONDS)
        if verdict.healthy:
            self.notifier.watchdog()

    def _reload(self) -> None:
        if self._is_ready:
            self.notifier.reloading()
        self._read_environment()
        if self._is_ready:
            self.notifier.ready(health.producer(self._facts()).sentence)

    def _read_environment(self) -> None:
        """Take over the symbols that the unit's files name by now; with files that are wrong everything stays."""
        if self.environment is None:
            return
        before = self.environment.settings.symbols
        try:
            settings, later = self.environment.read_again()
        except SettingsError as error:
            log.event(_log, logging.ERROR, "settings refused, the symbols stay", reason=str(error))
            return
        if later:
            log.event(_log, logging.WARNING, "needs a restart", changed=",".join(later))
        if settings.symbols != before:
            self.poller.watch(self.poller.source.offer(settings.symbols, settings.interval))
            added, removed = (set(settings.symbols) - set(before), set(before) - set(settings.symbols))
            names = {"added": ",".join(sorted(added)), "removed": ",".join(sorted(removed))}
            log.event(_log, logging.INFO, "symbols changed", **names)

    def _prune(self) -> None:
        """Drop the oldest answers, once a day."""
        now = self.clock.now()
        if self._pruned_on != now.date():
            self._pruned_on = now.date()
            self.archive.prune(now)

    def _shut_down(self) -> None:
        self.notifier.stopping()
        if self.publisher.connected:
            self.publisher.round(_LAST_PUBLISH_SECONDS)
        self.publisher.close()
        log.event(_log, logging.INFO, "stopped", outbox=self.outbox.waiting)

    def _pause(self) -> float:
        """Return for how many real seconds there is nothing to do."""
        if self.outbox.waiting and self.publisher.connected:
            return _PAUSE_WITH_BARS_WAITING_SECONDS
        now = self.clock.now()
        next_at = None if self.outbox.full else self.poller.outlook.next_at(now)
        until_poll = _LONGEST_PAUSE_SECONDS if next_at is None else self.clock.real_seconds(now, next_at)
        longest = 1.0 if self.outbox.waiting else _LONGEST_PAUSE_SECONDS
        return max(0.0, min(until_poll, longest))

    def _tell(self, polled: Round, confirmed: int) -> None:
        if polled.fresh or confirmed:
            facts = {"polled": polled.answers, "fresh": polled.fresh, "confirmed": confirmed}
            newest = {"last_bar": f"{polled.last_bar:%Y-%m-%dT%H:%MZ}"} if polled.last_bar else {}
            log.event(_log, logging.INFO, "bars", **facts, outbox=self.outbox.waiting, **newest)
        if self.outbox.full != self._was_full:
            self._was_full = self.outbox.full
            level = logging.ERROR if self._was_full else logging.INFO
            log.event(_log, level, "outbox full, polling stops" if self._was_full else "outbox has room again")

    def _facts(self) -> health.ProducerFacts:
        now = self.clock.now()
        look = self.poller.outlook
        slots, budget, sessions = look.agenda.slots, look.budget, look.repairs.sessions
        return health.ProducerFacts(
            exchange=sessions.name,
            zone=sessions.zone,
            now=now,
            symbols=len({request.symbol for request in look.agenda.requests}),
            waiting=self.outbox.waiting,
            outbox_full=self.outbox.full,
            unconfirmed_seconds=self.publisher.unconfirmed_seconds,
            broker_away_seconds=self.publisher.away_seconds,
            broker_refusal=self.publisher.refusal,
            vendor_trouble=self.poller.trouble,
            opens_at=slots.opens_at(now) if slots else None,
            calls_left=budget.left(now),
            calls_reset_at=budget.renewed_at(now),
            next_poll_at=look.next_at(now),
        )

    def _write_progress(self, facts: health.ProducerFacts, verdict: health.Verdict) -> None:
        if self.progress_file is None:
            return
        last_bars: dict[str, JsonValue] = {name: at.isoformat() for name, at in sorted(self.poller.last_bars.items())}
        progress.write(
            self.progress_file,
            {
                "state": health.producer_state(facts),
                "sentence": verdict.sentence,
                "market_time": _text(facts.now),
                "next_poll_at": _text(facts.next_poll_at),
                "calls_left": facts.calls_left,
                "budget": budget_facts(self.poller.outlook, facts.now),
                "outbox": facts.waiting,
                "last_bars": last_bars,
            },
        )


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
