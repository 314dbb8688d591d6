"""The account of the bars, asked of the database: answers, tellings, bars, rules; see `checks.Check`."""
# ruff: noqa: S608 - put together from the constants of this module, never from data

_KEY = "symbol, interval, bar_time"
_VALUES = ("open", "high", "low", "close", "volume", "is_final")
_COLUMNS = (*_VALUES, "source", "request_id", "fetched_at")
_OF_DAY = "bar_time >= %(since)s AND bar_time < %(until)s"
_DROPPED = "FROM market.export WHERE dropped_at IS NOT NULL"
# The longest answer without a month tells about one of minutes, or all days there are.
_FIRST_TOLD = (
    "CASE interval WHEN 'daily' THEN '-infinity' "
    "ELSE coalesce(to_date(month, 'YYYY-MM'), asked_at - INTERVAL '40 days') END"
)
_BAR = "symbol, interval, to_char(bar_time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI\"Z\"')"


def _row(alias: str) -> str:
    return f"({', '.join(f'{alias}.{column}' for column in _COLUMNS)})"


def _shown(alias: str) -> str:
    return ", ".join(f"{alias}.{column}" for column in _VALUES)


def _looked_up(requests: str, *, of_one_day: bool) -> str:
    # The requests of a day are looked up by an index; all there are, one by one, would take hours.
    return f"request_id IN (SELECT request_id FROM {requests})" if of_one_day else "true"


def told(*, of_one_day: bool) -> str:
    """Of every answer, whether as many of its tellings are stored, or in quarantine, as it told.

    A record that came twice is counted once, and one that was quarantined and became a telling later, as that.
    Of answers that may have told bars of months that were dropped since, it can only be said that they have too many.
    """
    answers = "SELECT request_id, symbol, interval, month, asked_at, told FROM market.answer"
    # UNION ALL would count those twice that are of the day in both ways.
    also_of_day = f"""
    UNION {answers} WHERE request_id IN (SELECT request_id FROM market.bar_revision WHERE {_OF_DAY})"""
    of_asked = _looked_up("asked", of_one_day=of_one_day)
    return f"""
WITH asked AS (
    {answers} WHERE asked_at >= %(since)s AND asked_at < %(until)s {also_of_day if of_one_day else ""}
),

telling AS (
    SELECT request_id, symbol, interval, count(*) AS stored
    FROM market.bar_revision WHERE {of_asked}
    GROUP BY request_id, symbol, interval
),

rejected AS (
    SELECT request_id, symbol, interval, count(DISTINCT digest) AS quarantined
    FROM market.quarantine AS record
    WHERE {of_asked} AND replay_fate IS NULL AND NOT EXISTS (
        SELECT FROM market.bar_revision AS telling
        WHERE (telling.request_id, telling.symbol, telling.interval, telling.bar_time)
            = (record.request_id, record.symbol, record.interval, record.bar_time)
    )
    GROUP BY request_id, symbol, interval
)

SELECT CASE
    WHEN told > coalesce(stored, 0) AND {_FIRST_TOLD} < (SELECT max(month) + INTERVAL '1 month' {_DROPPED})
        THEN NULL
    WHEN told <> coalesce(stored, 0) + coalesce(quarantined, 0)
        THEN concat_ws(' ', 'request', request_id, 'for', symbol, interval, 'asked', asked_at, 'told', told, 'bars:',
            coalesce(stored, 0), 'are stored and', coalesce(quarantined, 0), 'in quarantine')
END AS problem
FROM asked
LEFT JOIN telling USING (request_id, symbol, interval)
LEFT JOIN rejected USING (request_id, symbol, interval)
"""


def origins(*, of_one_day: bool) -> str:
    """Of every request that told a bar, whether its answer is stored.

    An answer's record follows its bars, so the answer of the newest ones may still be on its way; it is not when a
    later one of the same series is stored. Tellings without an offset are of a release that stored no answers.
    """
    return f"""
WITH request AS (
    SELECT symbol, interval, source, request_id, count(*) AS tellings, min(bar_time) AS first,
        max(recorded_at) AS recorded_at
    FROM market.bar_revision
    WHERE {_OF_DAY} AND (record_offset IS NOT NULL OR recorded_at > (SELECT min(recorded_at) FROM market.answer))
    GROUP BY symbol, interval, source, request_id
),

answer AS (
    SELECT DISTINCT symbol, interval, request_id, true AS is_stored
    FROM market.answer WHERE {_looked_up("request", of_one_day=of_one_day)}
),

newest AS (
    SELECT symbol, interval, source, max(recorded_at) AS newest_at FROM market.answer GROUP BY symbol, interval, source
)

SELECT CASE
    WHEN is_stored IS NULL AND newest_at > recorded_at
        THEN concat_ws(' ', 'request', request_id, 'told', tellings, 'bars of', symbol, interval, 'from', first,
            'and its answer is not stored, while later ones are')
END AS problem
FROM request
LEFT JOIN answer USING (symbol, interval, request_id)
LEFT JOIN newest USING (symbol, interval, source)
"""


BARS = f"""
SELECT CASE
    WHEN (bar.symbol IS NULL OR telling.symbol IS NULL)
        AND date_trunc('month', bar_time AT TIME ZONE 'UTC') IN (SELECT month {_DROPPED})
        THEN NULL
    WHEN telling.symbol IS NULL THEN concat_ws(' ', {_BAR}, 'is a bar that no request has told')
    WHEN bar.symbol IS NULL THEN concat_ws(' ', {_BAR}, 'was told by request', telling.request_id, 'and is no bar')
    WHEN {_row("bar")} IS DISTINCT FROM {_row("telling")}
        THEN concat_ws(' ', {_BAR}, 'is', {_shown("bar")}, 'by request', bar.request_id, 'and its newest telling',
            {_shown("telling")}, 'by request', telling.request_id)
END AS problem
FROM (SELECT * FROM market.bar WHERE {_OF_DAY}) AS bar
FULL JOIN (
    SELECT DISTINCT ON ({_KEY}) * FROM market.bar_revision WHERE {_OF_DAY}
    ORDER BY {_KEY}, fetched_at DESC, request_id DESC
) AS telling USING ({_KEY})
"""

LATEST = f"""
SELECT CASE
    WHEN bar.bar_time IS NULL AND date_trunc('month', latest.bar_time AT TIME ZONE 'UTC') IN (SELECT month {_DROPPED})
        THEN NULL
    WHEN bar.bar_time IS NULL THEN concat_ws(' ', series.symbol, series.interval, 'has a latest bar and no bar')
    WHEN latest.bar_time IS NULL THEN concat_ws(' ', series.symbol, series.interval, 'has bars and no latest one')
    WHEN latest.bar_time <> bar.bar_time OR {_row("latest")} IS DISTINCT FROM {_row("bar")}
        THEN concat_ws(' ', series.symbol, series.interval, 'has as the latest bar', latest.bar_time,
            {_shown("latest")}, 'and as the newest', bar.bar_time, {_shown("bar")})
END AS problem
FROM (
    SELECT symbol, interval FROM market.latest_bar
    UNION SELECT symbol, interval FROM market.bar WHERE {_OF_DAY}
) AS series
LEFT JOIN market.latest_bar AS latest USING (symbol, interval)
LEFT JOIN LATERAL (
    SELECT * FROM market.bar
    WHERE (bar.symbol, bar.interval) = (series.symbol, series.interval) ORDER BY bar_time DESC LIMIT 1
) AS bar ON true
"""

# Each table has the rules of its own, so what was dropped from one shows by the others.
RULES = """
SELECT CASE
    WHEN tables < 3 THEN concat_ws(' ', conname, 'is a rule of', tables, 'of the tables bar, bar_revision, latest_bar')
    WHEN NOT valid THEN concat_ws(' ', conname, 'has not been checked for the rows before it')
END AS problem
FROM (
    SELECT conname, count(DISTINCT root) AS tables, bool_and(convalidated) AS valid
    FROM unnest(ARRAY['market.bar', 'market.bar_revision', 'market.latest_bar']::regclass[]) AS root
    CROSS JOIN LATERAL (SELECT root AS relid UNION SELECT relid FROM pg_partition_tree(root)) AS tree
    INNER JOIN pg_constraint ON conrelid = tree.relid
    WHERE contype = 'c'
    GROUP BY conname
) AS rule
"""
