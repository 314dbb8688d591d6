"""`market-pulse verify`: asks the database, the broker and the raw archive whether they say the same."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import psycopg2
from kafka.errors import KafkaError
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names its classes in lower case

from market_pulse.cli import verdicts
from market_pulse.cli.checks import Check, checks
from market_pulse.cli.database import connect
from market_pulse.cli.settings import CREDENTIALS, CliSettings
from market_pulse.cli.verdicts import EXAMPLES, Kept, Outcome, Position, Verdict
from market_pulse.errors import SettingsError, StateError, TopicError
from market_pulse.producer.archive import Archive, Archived
from market_pulse.sessions import Sessions
from market_pulse.topic import Topic, look_up

# A whole database of ten million tellings takes minutes.
_PATIENCE_SECONDS = 3600
_EVER = "infinity"
# Problem by problem, None first, so that the memory that this takes does not grow with what is broken.
_COUNTED = """
SELECT problem, count(*), (sum(count(*)) OVER ())::bigint FROM ({query}) AS judged
GROUP BY problem ORDER BY problem COLLATE "C" NULLS FIRST LIMIT {limit}
"""
_POSITIONS = "SELECT partition, next_offset, held FROM market.stream_position WHERE topic_id = %s"
_ANSWERS = """
SELECT request_id, symbol, interval, fetched_at, sha256 FROM market.answer
WHERE source = %(source)s AND fetched_at >= %(since)s AND fetched_at < %(until)s
"""
_NEWEST = (
    "SELECT symbol, interval, max(asked_at) FROM market.answer WHERE source = %(source)s GROUP BY symbol, interval"
)


@dataclass(frozen=True)
class Span:
    """The time that is verified: a day of the exchange's, in UTC, or, where both ends are None, all there is."""

    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, day: date, exchange: str, now: datetime) -> "Span":
        """Return a day from midnight to midnight where the exchange is.

        Raises:
            ValueError: at `now`, in market time, it has not begun there.
        """
        zone = Sessions.load(exchange, min(day, now.date())).zone
        if day > now.astimezone(zone).date():
            raise ValueError(f"{day} has not begun in {zone.key}: there it is {now.astimezone(zone):%Y-%m-%d %H:%M}")
        since, until = (datetime.combine(date_, time(), zone) for date_ in (day, day + timedelta(days=1)))
        return cls(since.astimezone(UTC), until.astimezone(UTC))

    @property
    def parameters(self) -> dict[str, object]:
        """Return the ends as PostgreSQL is asked for them."""
        return {"since": self.since or f"-{_EVER}", "until": self.until or _EVER}


def outcomes(
    settings: CliSettings, span: Span, archive: Archive | None, *, credentials: Path = CREDENTIALS
) -> Iterator[Outcome]:
    """Yield the outcome of every check as soon as it is known.

    The database is read in one snapshot, so that a consumer at work cannot make it disagree with itself. The broker is
    asked twice around it: where its log begins before, and where it ends after, for between these the consumer may only
    have stored what the later end covers, and retention only removed what the earlier beginning does not.
    """
    before = _topic(settings)
    try:
        connection = connect(settings, seconds=_PATIENCE_SECONDS, credentials=credentials)
    except (psycopg2.Error, SettingsError) as error:
        yield Outcome("database", Verdict.NOT_ASKED, _sentence(error))
        return
    with contextlib.closing(connection):
        connection.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SET work_mem = '64MB'")
            yield _topic_outcome(settings, cursor, before)
            for check in checks(of_one_day=span.since is not None):
                yield _outcome(cursor, check, span)
            yield _archive_outcome(settings, cursor, span, archive)


def _topic(settings: CliSettings) -> Topic | str:
    """Return the topic, or why it cannot be asked."""
    try:
        return look_up(settings.kafka, settings.topic)
    except (KafkaError, TopicError) as error:
        return _sentence(error)


def _topic_outcome(settings: CliSettings, cursor: Cursor, before: Topic | str) -> Outcome:
    if isinstance(before, str):
        return Outcome("topic", Verdict.NOT_ASKED, f"Kafka cannot be asked: {before}")
    cursor.execute(_POSITIONS, (str(before.id),))
    positions = {partition: Position(*rest) for partition, *rest in cursor}
    after = _topic(settings)
    if isinstance(after, str):
        return Outcome("topic", Verdict.NOT_ASKED, f"Kafka cannot be asked: {after}")
    return verdicts.judge_topic(before, after, positions)


def _outcome(cursor: Cursor, check: Check, span: Span) -> Outcome:
    try:
        # A statement that fails must not take the snapshot with it.
        cursor.execute("SAVEPOINT one")
        cursor.execute(_COUNTED.format(query=check.query, limit=EXAMPLES + 1), span.parameters)
        counted = cursor.fetchall()
        figures = ""
        if check.figures:
            cursor.execute(check.figures, span.parameters)
            ((figures,),) = cursor.fetchall()
    except psycopg2.Error as error:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK TO SAVEPOINT one")
        return Outcome(check.name, Verdict.NOT_ASKED, _sentence(error))
    return verdicts.judge(check, counted, figures)


def _archive_outcome(settings: CliSettings, cursor: Cursor, span: Span, archive: Archive | None) -> Outcome:
    if archive is None:
        return Outcome("archive", Verdict.ELSEWHERE, "the raw answers are on the producer's host, not on this one")
    parameters = {**span.parameters, "source": settings.source}
    try:
        cursor.execute(_ANSWERS, parameters)
        stored = {row[0]: Kept(*row) for row in cursor}
        cursor.execute(_NEWEST, parameters)
        newest = {(symbol, interval): fetched_at for symbol, interval, fetched_at in cursor}
    except psycopg2.Error as error:
        return Outcome("archive", Verdict.NOT_ASKED, _sentence(error))
    try:
        oldest = next(archive.entries(), None)
        # Another source's answers are compared by who asks about that source.
        entries = (entry for entry in archive.entries(span.since, span.until) if entry.source == settings.source)
        # What is told a second time carries the old times, so its record may be on its way while later ones are here.
        archived = (_kept(entry) for entry in entries if not entry.is_again or entry.request_id in stored)
        return verdicts.judge_archive(stored, archived, newest, oldest.fetched_at if oldest else None)
    except StateError as error:
        return Outcome("archive", Verdict.FAILED, "the archive is damaged", broken=1, examples=(_sentence(error),))


def _kept(entry: Archived) -> Kept:
    return Kept(entry.request_id, entry.request.symbol, entry.request.interval, entry.fetched_at, entry.sha256)


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
