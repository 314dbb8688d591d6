"""A database with a calendar and series, whose bars, answers and refusals a test chooses."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import psycopg2.extensions
from psycopg2.extras import execute_values

from integration.services.database import Database
from market_pulse.auditor import database as auditor
from market_pulse.auditor.facts import Facts, Name
from market_pulse.auditor.findings import alarms, findings, news
from market_pulse.keeper import note_run
from market_pulse.upkeep import calendar
from market_pulse_stream.decode import BAR_COLUMNS

MINUTE = timedelta(minutes=1)
GRACE = timedelta(seconds=30)
READY = timedelta(seconds=10)
COLUMNS = ", ".join(BAR_COLUMNS)
_BAR = f"INSERT INTO market.{{}} ({COLUMNS}) VALUES %s"
_ANSWER = """
INSERT INTO market.answer (
    symbol, interval, asked_at, request_id, fetched_at, source, cause, function, refusal,
    row_count, told, unusable, covers_from, covers_until
)
VALUES (%s, %s, %s, %s, %s, 'test', %s, 'F', %s, %s, %s, 0, %s, %s)
"""
_numbers = count()

Bars = dict[str, int]


@dataclass
class Audited:
    """An auditor's session in a fresh database, and short ways to say what the vendor told."""

    database: Database
    session: psycopg2.extensions.connection
    interval: str = "1min"

    def calendar(self, now: datetime) -> int:
        with contextlib.closing(self.database.connect("keeper")) as keeper, keeper, keeper.cursor() as cursor:
            return calendar.refresh(cursor, "XNYS", now)

    def series(self, symbol: str, since: datetime, *, extended: bool = False, until: datetime | None = None) -> None:
        insert = "INSERT INTO market.series VALUES (%s, %s, %s, %s, 'XNYS', %s, %s)"
        self.database.query(insert, symbol, self.interval, since, until, extended, READY)

    def store(
        self,
        symbol: str,
        times: Iterable[datetime],
        *,
        request: str = "r0",
        final: bool = True,
        asked: datetime | None = None,
    ) -> list[datetime]:
        """Store bars as one answer told them, and return when they begin."""
        times = list(times)
        rows = [
            (symbol, self.interval, at, 10, 12, 9, 11, 5, final, "test", request, asked or at + timedelta(minutes=2))
            for at in times
        ]
        with contextlib.closing(self.database.connect()) as connection, connection, connection.cursor() as cursor:
            for table in ("bar", "bar_revision"):
                execute_values(cursor, _BAR.format(table), rows)
            cursor.execute(
                "INSERT INTO market.latest_bar SELECT DISTINCT ON (symbol, interval) * FROM market.bar "
                "ORDER BY symbol, interval, bar_time DESC ON CONFLICT ON CONSTRAINT latest_bar_pkey "
                "DO UPDATE SET bar_time = excluded.bar_time, fetched_at = excluded.fetched_at"
            )
        return times

    def answer(
        self,
        symbol: str,
        asked_at: datetime,
        covers: tuple[datetime, datetime] | None = None,
        *,
        refusal: str | None = None,
        told: int = 0,
        rows: int = 0,
        request: str | None = None,
        cause: str = "poll",
    ) -> None:
        since, until = covers or (None, None)
        request = request or f"a{next(_numbers)}"
        values = (symbol, self.interval, asked_at, request, asked_at, cause, refusal, rows, told, since, until)
        self.database.query(_ANSWER, *values)

    def answers(self, symbol: str, starts: list[datetime], length: timedelta) -> None:
        """Let an answer speak for each span of this length, soon after its end."""
        self.database.query(
            "INSERT INTO market.answer SELECT %s, %s, start + %s, start::text, start + %s, 'test', 'poll', 'F',"
            " NULL, NULL, NULL, 0, 0, 0, start, start + %s FROM unnest(%s::timestamptz[]) AS start",
            symbol,
            self.interval,
            length + READY,
            length + READY,
            length,
            starts,
        )

    def audit(self, now: datetime, *, deep: bool = True) -> Facts:
        with self.session, self.session.cursor() as cursor:
            facts = auditor.audit(cursor, "XNYS", now, GRACE, deep=deep)
            note_run(cursor, "audit", now, "")
        return facts

    def findings(self, now: datetime, *, deep: bool = True) -> dict[Name, str]:
        return findings(self.audit(now, deep=deep))

    def alarms(self, now: datetime, *, deep: bool = True) -> list[str]:
        """Keep what is found, as the daemon does, and return what nobody has acknowledged."""
        found = self.findings(now, deep=deep)
        with self.session, self.session.cursor() as cursor:
            known = auditor.known_findings(cursor)
            auditor.keep_findings(cursor, news(found, known))
        return list(alarms(found, known).values())

    def left(self, month: str) -> None:
        """Let a month leave the database for files, as the upkeep does."""
        for table in ("bar", "bar_revision"):
            self.database.query(
                f"SET session_replication_role = replica;"
                f" DELETE FROM market.{table} WHERE date_trunc('month', bar_time) = %s::date;"
                " INSERT INTO market.export VALUES (%s, %s, 1, 'f', 1, '', '', now(), now())",
                month,
                table,
                month,
            )

    def account(self, symbol: str, day: date) -> Bars:
        """Return the counts of a session that are not zero."""
        with contextlib.closing(self.database.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT * FROM market.completeness WHERE symbol = %s AND interval = %s AND trading_date = %s",
                (symbol, self.interval, day),
            )
            row: tuple[Any, ...] | None = cursor.fetchone()
            names = [column.name for column in cursor.description or ()]
        if row is None:
            return {}
        counts = dict(zip(names[3:], row[3:], strict=True))
        assert counts["expected"] == sum(counts.values()) - counts["expected"], counts
        runs = self.database.query(
            "SELECT reason, sum(bars)::int FROM market.absence "
            "WHERE symbol = %s AND interval = %s AND trading_date = %s GROUP BY reason",
            symbol,
            self.interval,
            day,
        )
        absent = {name: bars for name, bars in counts.items() if bars and name not in ("expected", "stored", "pending")}
        assert dict(runs) == absent, "the runs are the counts"
        return {name: bars for name, bars in counts.items() if bars}

    def runs(self, symbol: str) -> list[tuple[Any, ...]]:
        return self.database.query(
            "SELECT to_char(since AT TIME ZONE 'UTC', 'HH24:MI'), bars, reason FROM market.absence "
            "WHERE symbol = %s ORDER BY since",
            symbol,
        )


@contextlib.contextmanager
def audited(database: Database, interval: str = "1min") -> Iterator[Audited]:
    """Give an auditor's session."""
    with contextlib.closing(database.connect("auditor")) as session:
        session.set_session(isolation_level="REPEATABLE READ")
        with session, session.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
        yield Audited(database, session, interval)


def minutes(first: datetime, number: int, step: timedelta = MINUTE) -> list[datetime]:
    """Return the starts of so many bars in a row."""
    return [first + place * step for place in range(number)]


def at(text: str) -> datetime:
    """Return an instant such as ``2026-01-05 14:30``, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# A Monday in winter, and its regular session.
MONDAY = date(2026, 1, 5)
BEFORE, OPEN, CLOSE, EVENING = (at(f"2026-01-05 {time}") for time in ("00:00", "14:30", "21:00", "23:00"))
DAY = (OPEN, CLOSE)


def without(*absent: int) -> list[datetime]:
    """Return the minutes of Monday's session but for these places."""
    return [start for place, start in enumerate(minutes(OPEN, 390)) if place not in absent]
