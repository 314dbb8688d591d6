"""`market-pulse explain`: asks the database, the calendar and the raw archive about one bar."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names its classes in lower case
from psycopg2.extras import RealDictCursor

from market_pulse.cli.database import connect
from market_pulse.cli.lineage import Answered, Batch, InArchive, Lineage, Rejected, Telling, Values
from market_pulse.cli.moments import Moment
from market_pulse.cli.settings import CREDENTIALS, CliSettings
from market_pulse.clock import MarketClock
from market_pulse.contract import SYMBOL
from market_pulse.producer.archive import Archive
from market_pulse.sessions import Sessions
from market_pulse.sources.answers import parse
from market_pulse.sources.base import RefusedError

_SECONDS = 30
_OF_BAR = "symbol = %(symbol)s AND interval = %(interval)s AND bar_time = %(bar_time)s"
_SERIES = (
    "SELECT DISTINCT symbol FROM market.latest_bar UNION SELECT DISTINCT symbol FROM market.answer ORDER BY symbol"
)
# Bars need not begin at whole multiples of their length: the one that holds the instant is looked for, and in
# quarantine only if there is none.
_START = """
SELECT bar_time FROM (
    SELECT symbol, interval, bar_time, 1 AS rank FROM market.bar
    UNION ALL SELECT symbol, interval, bar_time, 1 FROM market.bar_revision
    UNION ALL SELECT symbol, interval, bar_time, 2 FROM market.quarantine WHERE replay_fate IS NULL
) AS known
WHERE symbol = %(symbol)s AND interval = %(interval)s
    AND bar_time <= %(instant)s AND bar_time > %(instant)s - %(length)s
ORDER BY rank, bar_time DESC LIMIT 1
"""
_BAR = f"SELECT open, high, low, close, volume, is_final, request_id FROM market.bar WHERE {_OF_BAR}"  # noqa: S608 - from the constant above
_TELLINGS = f"""
SELECT open, high, low, close, volume, is_final,
    source, request_id, fetched_at, recorded_at, partition, record_offset
FROM market.bar_revision WHERE {_OF_BAR} ORDER BY fetched_at, request_id
"""  # noqa: S608 - from the constant above
_ANSWER = """
SELECT cause, function, month, asked_at, fetched_at, refusal, sha256, row_count, told FROM market.answer
WHERE request_id = %(request_id)s AND symbol = %(symbol)s AND interval = %(interval)s ORDER BY asked_at LIMIT 1
"""
_BATCH = """
SELECT run_id::text, batch_id, batch.topic_id::text, topic, batch.log_epoch, from_offset, until_offset,
    received, stored, unchanged, superseded, quarantined, answers, stored_at
FROM market.batch LEFT JOIN market.stream_position AS position USING (topic_id, partition)
WHERE recorded_at = %(recorded_at)s AND partition = %(partition)s
    AND from_offset <= %(record_offset)s AND until_offset > %(record_offset)s
"""
_REPLAY = """
SELECT requested_by FROM market.quarantine_replay WHERE recorded_at = %(recorded_at)s AND partition = %(partition)s
"""
_REJECTED = f"""
SELECT topic, partition, record_offset, reason, detail, request_id, recorded_at FROM market.quarantine
WHERE {_OF_BAR} AND replay_fate IS NULL ORDER BY recorded_at, record_offset
"""  # noqa: S608 - from the constant above
# The auditor's reasons are explained where it counts them.
_ABSENCES = """
SELECT reason, since, until, bars, col_description(attrelid, attnum) AS meaning
FROM market.absence LEFT JOIN pg_attribute
    ON attrelid = to_regclass('market.completeness') AND attname = reason
WHERE symbol = %(symbol)s AND interval = %(interval)s AND since <= %(bar_time)s AND until > %(bar_time)s
"""
_LEFT = """
SELECT month, max(dropped_at) AS dropped_at FROM market.export
WHERE parent = 'bar' AND month = date_trunc('month', %(bar_time)s)::date AND dropped_at IS NOT NULL
GROUP BY month
"""
# The auditor's reasons that are the vendor's own word; with any other one its answers do not explain the absence.
_OF_VENDOR = {"no_trade", "halt", "halt_inferred", "vendor_missing"}
# From the first to the last bar that an answer tells, so that it speaks for these, too.
_SILENT = """
SELECT request_id, asked_at FROM market.answer
WHERE symbol = %(symbol)s AND interval = %(interval)s
    AND covers_from <= %(bar_time)s AND covers_until > %(bar_time)s
ORDER BY asked_at DESC LIMIT 1
"""

_Rows = Callable[..., list[dict[str, Any]]]


def lineage_of(  # noqa: PLR0913 - what is asked, and whom
    settings: CliSettings,
    sessions: Sessions,
    symbol: str,
    moment: Moment,
    archive: Archive | None,
    *,
    credentials: Path = CREDENTIALS,
) -> Lineage:
    """Return where a bar comes from, or why it is not there; `archive` is None on a host that has none.

    Raises:
        ValueError: the symbol is none, or none of which anything is stored.
        MarketPulseError: a credential is not on this host, or the archive is damaged.
        psycopg2.Error: the database cannot be asked.
    """
    if not SYMBOL.fullmatch(symbol):
        raise ValueError(f"{symbol!r} is no symbol; symbols look like {SYMBOL.pattern}")
    with contextlib.closing(connect(settings, seconds=_SECONDS, credentials=credentials)) as connection:
        rows = _asking(connection)
        known = [row["symbol"] for row in rows(_SERIES)]
        if symbol not in known:
            raise ValueError(f"nothing is stored of {symbol}; there are {', '.join(known) or 'no symbols yet'}")
        asked: dict[str, Any] = {"symbol": symbol, "interval": moment.interval.value, "instant": moment.instant}
        start = next(iter(rows(_START, **asked, length=moment.interval.length)), None)
        asked["bar_time"] = start["bar_time"] if start else moment.instant
        bar = next(iter(rows(_BAR, **asked)), None)
        told_by = bar.pop("request_id") if bar else None
        tellings = tuple(_telling(rows, asked, telling, archive) for telling in rows(_TELLINGS, **asked))
        rejected = tuple(Rejected(**row) for row in rows(_REJECTED, **asked))
        absent: tuple[str, ...] = ()
        if not bar:
            unexpected = moment.unexpected(sessions, MarketClock.from_settings(settings).now())
            absent = tuple(_absence(rows, asked, unexpected, was_told=bool(tellings), is_rejected=bool(rejected)))
        return Lineage(
            symbol=symbol,
            interval=moment.interval.value,
            bar_time=asked["bar_time"],
            reading=moment.reading,
            zone=sessions.zone.key,
            bar=Values(**bar) if bar else None,
            told_by=told_by,
            tellings=tellings,
            rejected=rejected,
            absent_because=absent,
        )


def _asking(connection: Connection) -> _Rows:
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)

    def rows(query: str, **parameters: object) -> list[dict[str, Any]]:
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(query, parameters)
            return [dict(row) for row in cursor.fetchall()]

    return rows


def _telling(rows: _Rows, asked: dict[str, Any], row: dict[str, Any], archive: Archive | None) -> Telling:
    values = Values(**{name: row.pop(name) for name in Values.__dataclass_fields__})
    answer = next(iter(rows(_ANSWER, **asked, request_id=row["request_id"])), None)
    batch = next(iter(rows(_BATCH, **row)), None)
    replay = None if batch else next(iter(rows(_REPLAY, **row)), None)
    return Telling(
        values=values,
        **row,
        answer=Answered(**answer) if answer else None,
        batch=Batch(**batch) if batch else None,
        replayed_by=replay["requested_by"] if replay else None,
        archive=_archived(archive, row["request_id"], asked["bar_time"]) if archive else None,
    )


def _archived(archive: Archive, request_id: str, bar_time: datetime) -> InArchive | None:
    located = archive.locate(request_id)
    if located is None:
        return None
    path, entry = located
    try:
        series = parse(entry.body, entry.request, entry.fetched_at).rows
    except RefusedError:
        series = ()
    row = next((row for row in series if row.bar_time == bar_time), None)
    told = {name: text for name, text in row._asdict().items() if name != "bar_time"} if row else None
    return InArchive(str(path), told)


def _absence(
    rows: _Rows, asked: dict[str, Any], unexpected: str | None, *, was_told: bool, is_rejected: bool
) -> Iterator[str]:
    """Yield why a bar is not stored; that the vendor lacks it is concluded only where nothing says otherwise."""
    if unexpected:
        yield unexpected
    left = rows(_LEFT, **asked)
    for export in left:
        month = f"{export['month']:%Y-%m}"
        yield (
            f"{month} has left the database on {export['dropped_at']:%Y-%m-%d}: market-pulse exported {month}, on the "
            "database's host, prints its bars"
        )
    absences = rows(_ABSENCES, **asked)
    for absence in absences:
        span = f"{absence['bars']} bars from {absence['since']:%Y-%m-%dT%H:%MZ} to {absence['until']:%Y-%m-%dT%H:%MZ}"
        yield f"the auditor's reason is {absence['reason']}, for {span}: {absence['meaning'] or 'not explained'}"
    if was_told:
        yield "it was told, as is shown below, and is not there any more"
    if is_rejected:
        yield "what told it is in quarantine"
    silent = rows(_SILENT, **asked)
    if left or was_told or is_rejected or {absence["reason"] for absence in absences} - _OF_VENDOR:
        return
    for answer in silent:
        yield (
            f"request {answer['request_id']}, asked {answer['asked_at']:%Y-%m-%dT%H:%MZ}, speaks for this bar and does "
            "not hold it: the vendor does not have it"
        )
    if not silent and not unexpected:
        yield "no answer of the vendor speaks for this bar yet"
