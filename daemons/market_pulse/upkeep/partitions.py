"""Partitions ahead, and of the months that the default partitions hold: each by itself, around who reads and writes."""

import logging
from datetime import date, datetime
from typing import NamedTuple

import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from market_pulse import log
from market_pulse.keeper import rows

# Others hold a table for as long as a report or a batch may take, a minute; the database gives up after half a second.
_PATIENCE_SECONDS = 300
_LONGEST_PAUSE_SECONDS = 10

# The newest first: it is needed soonest. A telling's table comes before its bar's, as in the sink.
_TO_ADD = """
SELECT parent, month FROM market.months_to_add(%s, now() + make_interval(months => %s))
UNION SELECT parent, month FROM market.months_in_default()
ORDER BY month DESC, parent DESC
"""

_log = logging.getLogger(__name__)


class Month(NamedTuple):
    """One month of ``bar`` or ``bar_revision``."""

    parent: str
    month: date

    @property
    def name(self) -> str:
        """Return the name of its partition."""
        return f"{self.parent}_{self.month:%Y_%m}"


def to_add(connection: Connection, since: datetime, months_ahead: int) -> list[tuple[Month, bool]]:
    """Return the months that need a partition, and whether the default partition holds rows of each."""
    with connection, connection.cursor() as cursor:
        months = [Month(*row) for row in rows(cursor, _TO_ADD, since, months_ahead)]
        held = {Month(*row) for row in rows(cursor, "SELECT parent, month FROM market.months_in_default()")}
    return [(month, month in held) for month in months]


def add(connection: Connection, month: Month, *, holds_rows: bool) -> int:
    """Give a month its partition, and return how many rows moved there from the default partition.

    Raises:
        psycopg2.Error: the database refused, or others held the table all the time.
    """
    if holds_rows:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT market.prepare_month(%s, %s)", month)
    for attempt in when_others_let(month):
        with attempt, connection, connection.cursor() as cursor:
            ((moved,),) = rows(cursor, "SELECT market.attach_month(%s, %s)", *month)
    return int(moved)


def when_others_let(month: Month) -> Retrying:
    """Try again, for some minutes, what needs a lock that others hold: whoever reads or writes comes first."""

    def said(state: RetryCallState) -> None:
        log.event(_log, logging.INFO, "others hold the table", month=month.name, attempt=state.attempt_number)

    return Retrying(
        retry=retry_if_exception_type((psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected)),
        stop=stop_after_delay(_PATIENCE_SECONDS),
        wait=wait_random_exponential(max=_LONGEST_PAUSE_SECONDS),
        before_sleep=said,
        reraise=True,
    )
