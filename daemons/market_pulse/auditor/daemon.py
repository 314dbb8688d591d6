"""The auditor's loop: one audit, what it found, and a word to systemd."""

import contextlib
import logging
import time
from dataclasses import dataclass, field

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name

from market_pulse import log
from market_pulse.auditor import database, series
from market_pulse.auditor.findings import News, alarms, findings, news, sentence
from market_pulse.auditor.settings import AuditorSettings
from market_pulse.clock import Clock
from market_pulse.errors import StandbyError
from market_pulse.health import GRACE_SECONDS
from market_pulse.keeper import connect, note_run
from market_pulse.notify import Notifier
from market_pulse.signals import Signals

# A deleted bar is to be named within a minute, and a stop soon after the first answer that did not come.
_PAUSE_SECONDS = 10.0
_PAUSE_WITHOUT_DATABASE_SECONDS = 2.0
# What leaves no trace where it happened is looked for this often.
_DEEP_SECONDS = 600.0
_START_SECONDS = 60.0
# Connection lost, no room for another, server going down or starting.
_AWAY = ("08", "53", "57P")
_CONFLICT = "40"
# A statement that took too long, or waited too long for a lock.
_LATE = ("57014", "55P03")
# Each bar that is gone is to be named in the journal, also where it widens a finding.
_NAMES_BARS = ("missing", "history")

_log = logging.getLogger(__name__)


@dataclass
class Auditor:
    """Runs until it is told to stop."""

    settings: AuditorSettings
    clock: Clock
    notifier: Notifier
    _connection: Connection | None = None
    _is_ready: bool = False
    _is_away: bool = False
    _is_deep: bool = False
    _deep_at: float = field(default=-_DEEP_SECONDS)

    def run(self, signals: Signals) -> None:
        """Audit again and again until it is told to stop.

        Raises:
            psycopg2.Error: the database refuses the auditor's work; a restart may mend it, waiting does not.
        """
        try:
            while not signals.stopping:
                self._run_cycle()
                signals.wait(_PAUSE_WITHOUT_DATABASE_SECONDS if self._is_away else _PAUSE_SECONDS)
        finally:
            self.notifier.stopping()
            self._disconnect()
            log.event(_log, logging.INFO, "stopped")

    def _run_cycle(self) -> None:
        try:
            self._tell(self._audit())
        except StandbyError as error:
            # Once it is promoted, the next look finds a primary.
            self._tell(f"idle: {error}, nothing is audited here")
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            self._disconnect()
            if error.pgcode is not None and error.pgcode.startswith(_CONFLICT):
                log.event(_log, logging.WARNING, "audit repeated", reason=_words(error))
            elif error.pgcode in _LATE:
                self._tell_late(error)
            elif error.pgcode is None or error.pgcode.startswith(_AWAY):
                self._tell_away(error)
            else:
                raise

    def _audit(self) -> str:
        """Return the sentence about an audit whose account is committed."""
        if self._connection is None:
            self._connection = self._connected()
        self._is_deep = time.monotonic() - self._deep_at >= _DEEP_SECONDS
        now = self.clock.now()
        # Each bar is asked for once, so that nobody asks any more shows no sooner than an interval, `ready_after` and
        # this later: 100 seconds for minutes.
        grace = self.clock.after(now, GRACE_SECONDS) - now
        with self._connection as connection, connection.cursor() as cursor:
            facts = database.audit(cursor, self.settings.exchange, now, grace, deep=self._is_deep)
            found = findings(facts)
            known = database.known_findings(cursor)
            changed = news(found, known)
            database.keep_findings(cursor, changed)
            said = sentence(facts.tally, alarms(found, known))
            note_run(cursor, "audit", now, said)
            if self._is_deep:
                note_run(cursor, "deep audit", now, said)
        if self._is_deep:
            self._deep_at = time.monotonic()
        _log_news(changed)
        return said

    def _connected(self) -> Connection:
        """Return a session after the series in the database have become those of the settings."""
        connection = connect(self.settings, "market-pulse auditor")
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            connection.set_session(isolation_level="REPEATABLE READ")
            with connection, connection.cursor() as cursor:
                changes = series.changes(database.collected(cursor), series.wanted(self.settings))
                database.change_series(cursor, changes, self.clock.now())
            undo.pop_all()
        for key in changes.ended:
            log.event(_log, logging.INFO, "series ended", symbol=key.symbol, interval=key.interval)
        for key in changes.begun:
            log.event(_log, logging.INFO, "series begun", symbol=key.symbol, interval=key.interval)
        return connection

    def _tell(self, said: str) -> None:
        if self._is_away:
            self._is_away = False
            log.event(_log, logging.INFO, "database answers again")
        if self._is_ready:
            self.notifier.status(said)
        else:
            self.notifier.ready(said)
            self._is_ready = True
        self.notifier.watchdog()

    def _tell_away(self, error: psycopg2.Error) -> None:
        if not self._is_away:
            self._is_away = True
            log.event(_log, logging.WARNING, "database does not answer", reason=_words(error))
        self._tell_degraded("no answer from the database, nothing is audited")

    def _tell_late(self, error: psycopg2.Error) -> None:
        log.event(_log, logging.WARNING, "audit given up", reason=_words(error))
        if self._is_deep:
            # The next one is the short one.
            self._deep_at = time.monotonic()
        self._tell_degraded(f"the last audit did not come to its end: {_words(error)}")

    def _tell_degraded(self, why: str) -> None:
        self.notifier.status(f"degraded: {why}")
        if self._is_ready:
            # A restart of the auditor would not mend the database.
            self.notifier.watchdog()
        else:
            self.notifier.extend_start(_START_SECONDS)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None


def _log_news(changed: News) -> None:
    grown = {name: text for name, text in changed.reworded.items() if name.kind in _NAMES_BARS}
    for name, text in (changed.begun | grown).items():
        log.event(_log, logging.WARNING, "found", kind=name.kind, what=text)
    for name in changed.over:
        log.event(_log, logging.INFO, "resolved", kind=name.kind, subject=name.subject)


def _words(error: psycopg2.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
