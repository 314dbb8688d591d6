"""What the database needs once a day: partitions ahead, the calendar, and old months written to files."""

import argparse
import contextlib
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from market_pulse import log
from market_pulse.clock import MarketClock
from market_pulse.errors import MarketPulseError, StandbyError, UpkeepError
from market_pulse.keeper import connect, note_run
from market_pulse.upkeep import calendar, partitions
from market_pulse.upkeep.export import Exporter
from market_pulse.upkeep.partitions import Month
from market_pulse.upkeep.settings import UpkeepSettings

# At boot the server may still be on its way.
_CONNECT_SECONDS = 60
# A month of bars takes minutes to be counted and written.
_LONG = {"statement_timeout": "2h", "idle_in_transaction_session_timeout": "2h"}
# What one part of the work may end in, and the others go on: the server refuses, a file or a month is unfit.
_TROUBLE = (psycopg2.Error, MarketPulseError, OSError, ValueError)

_log = logging.getLogger(__name__)


def run(settings: UpkeepSettings, connection: Connection) -> str:
    """Do all of it, and return a sentence about it; each part is committed by itself.

    Raises:
        UpkeepError: some of it failed, and all the rest is done.
        psycopg2.Error: the session is lost.
    """
    now = MarketClock.from_settings(settings).now()
    failures: list[str] = []
    made, moved = [], 0
    for month, holds_rows in partitions.to_add(connection, now, settings.months_ahead):
        with _noted(f"partition {month.name}", connection, failures):
            rows = partitions.add(connection, month, holds_rows=holds_rows)
            made.append(month.name)
            moved += rows
            if rows:
                # They came for a month that nobody had made room for.
                log.event(_log, logging.WARNING, "rows moved from the default partition", to=month.name, rows=rows)
    if made:
        log.event(_log, logging.INFO, "partitions made", names=",".join(made))
    days = 0
    with _noted("calendar", connection, failures), connection, connection.cursor() as cursor:
        days = calendar.refresh(cursor, settings.exchange, now)
    if days:
        log.event(_log, logging.INFO, "calendar changed", exchange=settings.exchange, days=days)
    exported = []
    for exporter, month in _to_export(settings, connection, now):
        with _noted(f"export of {month.name}", connection, failures):
            exporter.export(month)
            exported.append(month.name)
    if failures:
        raise UpkeepError(f"{failures[0]} ({len(failures)} parts failed, each has its line above)")
    said = (
        f"{len(made)} partitions made, {moved} rows moved, {days} days of the calendar changed, "
        f"{len(exported)} months dropped"
    )
    with connection, connection.cursor() as cursor:
        note_run(cursor, "upkeep", now, said)
    return said


@contextlib.contextmanager
def _noted(what: str, connection: Connection, failures: list[str]) -> Iterator[None]:
    """Note what a part of the work ends in, so that the parts after it are done all the same."""
    try:
        yield
    except _TROUBLE as error:
        if connection.closed:
            raise
        failures.append(f"{what}: {' '.join(str(error).split())}")
        log.event(_log, logging.ERROR, "failed", what=failures[-1])


def _to_export(settings: UpkeepSettings, connection: Connection, now: datetime) -> list[tuple[Exporter, Month]]:
    if not settings.keep_months:
        return []
    exporter = Exporter(connection, settings.state_directory / "export", months_ago(now, settings.keep_months))
    return [(exporter, month) for month in exporter.months()]


def months_ago(now: datetime, months: int) -> datetime:
    """Return the beginning of the month so many months before this one, in UTC."""
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def main() -> None:
    """Run once; the timer says when."""
    parser = argparse.ArgumentParser(prog="market-pulse-upkeep", description=__doc__)
    parser.add_argument("--check-config", action="store_true", help="read settings and credentials, then leave")
    checking = parser.parse_args().check_config
    log.setup()
    settings = UpkeepSettings.load()
    if checking:
        return
    away = retry_if_exception_type(psycopg2.OperationalError)
    try:
        for attempt in Retrying(retry=away, stop=stop_after_delay(_CONNECT_SECONDS), wait=wait_fixed(2), reraise=True):
            with attempt:
                connection = connect(settings, "market-pulse upkeep", **_LONG)
    except StandbyError as error:
        log.event(_log, logging.INFO, "nothing done", why=error)
        return
    with contextlib.closing(connection):
        log.event(_log, logging.INFO, "done", what=run(settings, connection))
