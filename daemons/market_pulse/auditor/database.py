"""The auditor's side of the database: the series it declares, one audit, and the findings it keeps.

Everything of one audit happens in one transaction with one snapshot, so that what is compared belongs together.
"""

from datetime import datetime, timedelta

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - the driver's class has a function's name

from market_pulse.auditor.facts import Absent, Deleted, Facts, Jump, Name, Pulse, Shortfall, Tally, Unserved
from market_pulse.auditor.findings import Known, News
from market_pulse.auditor.series import Changes, Key, Terms
from market_pulse.contract import Interval
from market_pulse.keeper import rows

# As long as market.sessions_to_audit looks at whatever is not stored.
_OPEN_FOR = timedelta(days=30)
_SERIES = """
SELECT symbol, interval, exchange, extended_hours, ready_after FROM market.series WHERE until IS NULL
"""
# Whoever collects stopped some time before the auditor heard of it: his last answers say when. A refusal, too, says
# that bars were wanted until then.
_END = """
UPDATE market.series SET until = greatest(
    series.since,
    (
        SELECT least(%(now)s, greatest(
            max(answer.covers_until),
            max(answer.asked_at) FILTER (WHERE answer.refusal IS NOT NULL) - series.ready_after
            - coalesce(nullif(series.interval, 'daily'), '0 min')::interval
        ))
        FROM market.answer
        WHERE answer.symbol = series.symbol AND answer.interval = series.interval AND answer.asked_at >= series.since
    )
)
WHERE symbol = %(symbol)s AND interval = %(interval)s AND until IS NULL
"""
_BEGIN = """
INSERT INTO market.series (symbol, interval, since, exchange, extended_hours, ready_after)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT ON CONSTRAINT series_pkey DO UPDATE SET
    until = NULL, exchange = excluded.exchange, extended_hours = excluded.extended_hours,
    ready_after = excluded.ready_after
"""
_CORRECT = """
UPDATE market.series SET ready_after = %s WHERE symbol = %s AND interval = %s AND until IS NULL
"""
# Bars in a row share the start of the run that this difference tells. What has left the database is history.
_DELETED = """
SELECT
    symbol, interval, deleted_by, is_revision, min(bar_time), max(bar_time), count(*), min(deletion_id), max(deleted_at)
FROM (
    SELECT *, bar_time - coalesce(nullif(interval, 'daily'), '1 day')::interval * dense_rank() OVER (
        PARTITION BY is_revision, symbol, interval, deleted_by ORDER BY bar_time
    ) AS start
    FROM market.deletion
    WHERE superseded_at IS NULL AND (
        CASE WHEN is_revision THEN 'bar_revision' ELSE 'bar' END, date_trunc('month', bar_time AT TIME ZONE 'UTC')
    ) NOT IN (SELECT parent, month FROM market.export WHERE dropped_at IS NOT NULL)
) AS placed
GROUP BY is_revision, symbol, interval, deleted_by, start
ORDER BY is_revision, symbol, interval, deleted_by, min(bar_time)
"""
# Of each run, what is left without the bars whose deletion was seen.
_MISSING = """
SELECT symbol, interval, trading_date, min(bar_time), max(bar_time) + step, count(*)
FROM (
    SELECT run.symbol, run.interval, run.trading_date, run.since, step, slot.bar_time,
        slot.bar_time - step * row_number() OVER (
            PARTITION BY run.symbol, run.interval, run.trading_date, run.since ORDER BY slot.bar_time
        ) AS start
    FROM market.absence AS run
    CROSS JOIN LATERAL (SELECT (run.until - run.since) / run.bars AS step) AS length
    CROSS JOIN LATERAL generate_series(run.since, run.until - step, step) AS slot (bar_time)
    WHERE run.reason = 'missing'
        AND date_trunc('month', run.since AT TIME ZONE 'UTC') NOT IN (
            SELECT month FROM market.export WHERE parent = 'bar' AND dropped_at IS NOT NULL
        )
        AND NOT EXISTS (
            SELECT FROM market.deletion
            WHERE deletion.symbol = run.symbol AND deletion.interval = run.interval
                AND deletion.bar_time = slot.bar_time AND NOT deletion.is_revision AND deletion.superseded_at IS NULL
        )
) AS placed
GROUP BY symbol, interval, trading_date, since, start, step
ORDER BY symbol, interval, min(bar_time)
"""
# What repairs did not heal in a month they never will: it stays in the account, and is no alarm any more.
_OUTAGES = """
SELECT symbol, interval, trading_date, since, until, bars FROM market.absence
WHERE reason = 'outage' AND trading_date > %s ORDER BY trading_date, symbol, since
"""
_SHORTFALLS = "SELECT symbol, interval, asked_at, request_id, told, kept FROM market.shortfall ORDER BY 1, 2, 3"
# Of a session of which a usual one stores more than a few bars; so few as one in ten come by no chance.
_UNSERVED = """
SELECT session.symbol, session.interval, session.trading_date, session.stored, session.expected, most.reason
FROM market.completeness AS session
CROSS JOIN LATERAL (
    SELECT coalesce(max(before.stored), session.expected) AS bars FROM market.completeness AS before
    WHERE before.symbol = session.symbol AND before.interval = session.interval
        AND before.trading_date < session.trading_date AND before.trading_date >= session.trading_date - 30
) AS usual
CROSS JOIN LATERAL (
    SELECT kind.reason, kind.bars FROM (VALUES
        ('vendor_missing', session.vendor_missing), ('quota', session.quota),
        ('quarantined', session.quarantined), ('halt_inferred', session.halt_inferred)
    ) AS kind (reason, bars)
    ORDER BY kind.bars DESC, kind.reason LIMIT 1
) AS most
WHERE session.trading_date > %(since)s AND session.pending = 0 AND session.stored * 10 <= session.expected
    AND usual.bars >= least(20, session.expected) AND session.stored * 10 <= usual.bars
    AND session.vendor_missing + session.quota + session.quarantined + session.halt_inferred > usual.bars / 2
ORDER BY session.trading_date, session.interval, session.symbol
"""
_JUMPS = """
SELECT symbol, interval, bar_time, request_id, percent, before_close, after_close FROM market.revision_jump
WHERE asked_at > %s ORDER BY symbol, interval, request_id, bar_time
"""
_CALENDAR = "SELECT max(close) FROM market.session WHERE exchange = %s"
# How often a series trades, in its last session but the current one, else in this one up to its newest bar.
_PULSES = """
SELECT
    series.symbol, series.interval, greatest(series.since, session.open) AS since, series.ready_after,
    latest.bar_time, word.asked_at, word.refusal, usual.traded,
    EXISTS (
        SELECT FROM market.halt WHERE halt.symbol = series.symbol AND halt.since <= %(now)s
        AND coalesce(halt.until, 'infinity') > %(now)s
    ) AS is_halted
FROM market.series
INNER JOIN market.session ON series.exchange = session.exchange AND %(now)s BETWEEN session.open AND session.close
LEFT JOIN market.latest_bar AS latest USING (symbol, interval)
LEFT JOIN LATERAL (
    SELECT answer.asked_at, answer.refusal FROM market.answer
    WHERE answer.symbol = series.symbol AND answer.interval = series.interval AND answer.asked_at <= %(now)s
    ORDER BY answer.asked_at DESC, answer.request_id DESC LIMIT 1
) AS word ON true
LEFT JOIN LATERAL (
    SELECT stored::float / nullif(stored + no_trade, 0) AS traded FROM market.completeness
    WHERE completeness.symbol = series.symbol AND completeness.interval = series.interval
        AND completeness.trading_date < session.trading_date
    ORDER BY completeness.trading_date DESC LIMIT 1
) AS usual ON true
WHERE series.until IS NULL AND series.interval <> 'daily'
ORDER BY series.symbol, series.interval
"""
_TALLY = """
SELECT
    count(DISTINCT symbol), sum(expected - pending), sum(stored), sum(no_trade),
    sum(halt + halt_inferred + quota + outage + vendor_missing + quarantined)
FROM market.completeness WHERE trading_date = (SELECT max(trading_date) FROM market.completeness)
HAVING count(*) > 0
"""
_KNOWN = """
SELECT kind, subject, sentence, acknowledged_at IS NOT NULL FROM market.finding
WHERE resolved_at IS NULL ORDER BY finding_id
"""
_BEGUN = "INSERT INTO market.finding (kind, subject, sentence) VALUES (%s, %s, %s)"
_OVER = "UPDATE market.finding SET resolved_at = now() WHERE kind = %s AND subject = %s AND resolved_at IS NULL"
_REWORDED = """
UPDATE market.finding SET sentence = %s, acknowledged_at = NULL, acknowledged_by = NULL, note = NULL
WHERE kind = %s AND subject = %s AND resolved_at IS NULL
"""


def collected(cursor: Cursor) -> dict[Key, Terms]:
    """Return the series that are collected by the database's account."""
    return {
        Key(symbol, interval): Terms(exchange, extended, ready)
        for symbol, interval, exchange, extended, ready in rows(cursor, _SERIES)
    }


def change_series(cursor: Cursor, changes: Changes, now: datetime) -> None:
    """Begin and correct series from an instant of market time on, and end others where their answers end."""
    for key in changes.ended:
        cursor.execute(_END, {"now": now, "symbol": key.symbol, "interval": key.interval})
    for key, terms in changes.begun.items():
        cursor.execute(_BEGIN, (*key, now, terms.exchange, terms.extended_hours, terms.ready_after))
    for key, terms in changes.corrected.items():
        cursor.execute(_CORRECT, (terms.ready_after, *key))


def audit(cursor: Cursor, exchange: str, now: datetime, grace: timedelta, *, deep: bool) -> Facts:
    """Bring the account of the sessions up to an instant of market time, and return what it says."""
    cursor.execute("SELECT market.audit(%s, %s, %s)", (now, grace, deep))
    tally = rows(cursor, _TALLY)
    return Facts(
        now=now,
        grace=grace,
        exchange=exchange,
        calendar_ends=rows(cursor, _CALENDAR, exchange)[0][0],
        deleted=tuple(Deleted(*row) for row in rows(cursor, _DELETED)),
        missing=tuple(Absent(*row) for row in rows(cursor, _MISSING)),
        outages=tuple(Absent(*row) for row in rows(cursor, _OUTAGES, now.date() - _OPEN_FOR)),
        shortfalls=tuple(Shortfall(*row) for row in rows(cursor, _SHORTFALLS)),
        unserved=_unserved(cursor, now),
        jumps=tuple(Jump(*row) for row in rows(cursor, _JUMPS, now - _OPEN_FOR)),
        pulses=_pulses(cursor, now),
        tally=Tally(*map(int, tally[0])) if tally else Tally(),
    )


def known_findings(cursor: Cursor) -> dict[Name, Known]:
    """Return the findings that are not over."""
    return {Name(kind, subject): Known(*rest) for kind, subject, *rest in rows(cursor, _KNOWN)}


def keep_findings(cursor: Cursor, news: News) -> None:
    """Write down what has changed."""
    for name in news.over:
        cursor.execute(_OVER, tuple(name))
    for name, sentence in news.begun.items():
        cursor.execute(_BEGUN, (*name, sentence))
    for name, sentence in news.reworded.items():
        cursor.execute(_REWORDED, (sentence, *name))


def _unserved(cursor: Cursor, now: datetime) -> tuple[Unserved, ...]:
    cursor.execute(_UNSERVED, {"since": now.date() - _OPEN_FOR})
    return tuple(Unserved(*row) for row in cursor.fetchall())


def _pulses(cursor: Cursor, now: datetime) -> tuple[Pulse, ...]:
    cursor.execute(_PULSES, {"now": now})
    return tuple(
        Pulse(
            symbol=symbol,
            interval=interval,
            step=Interval(interval).length,
            since=since,
            ready_after=ready,
            newest_bar=newest,
            asked_at=asked,
            refusal=refusal,
            traded=traded,
            is_halted=halted,
        )
        for symbol, interval, since, ready, newest, asked, refusal, traded, halted in cursor.fetchall()
    )
