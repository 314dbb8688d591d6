"""The SQL of the sink: one transaction per partition and batch, set by set, in this order."""
# ruff: noqa: S608 - put together from the column names of this package, never from data

from market_pulse_stream.decode import BAR_COLUMNS

COLUMNS = ", ".join(BAR_COLUMNS)

# Whoever holds this row is the partition's only writer until commit; a task left over from an earlier run waits here,
# and then finds its records below the position.
LOCK_POSITION = """
SELECT next_offset, log_epoch FROM market.stream_position
WHERE topic_id = %(topic_id)s AND partition = %(partition)s FOR UPDATE
"""

CREATE_STAGING = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS staged_bar ON COMMIT DELETE ROWS AS SELECT {COLUMNS} FROM market.bar WITH NO DATA
"""

COPY_BARS = f"COPY pg_temp.staged_bar ({COLUMNS}) FROM STDIN"

COPY_QUARANTINE = """
COPY market.quarantine (topic_id, partition, log_epoch, record_offset, topic, reason, detail, key, value) FROM STDIN
"""

# One request tells a bar once; should it tell it twice, the greater values stand for both, in whatever order they come.
MERGE_REVISIONS = f"""
INSERT INTO market.bar_revision AS known ({COLUMNS})
SELECT DISTINCT ON (symbol, interval, bar_time, fetched_at, request_id) {COLUMNS}
FROM pg_temp.staged_bar
ORDER BY
    symbol, interval, bar_time, fetched_at, request_id,
    open DESC, high DESC, low DESC, close DESC, volume DESC, is_final DESC
ON CONFLICT ON CONSTRAINT bar_revision_pkey DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, is_final = excluded.is_final, source = excluded.source
WHERE (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.is_final)
    > (known.open, known.high, known.low, known.close, known.volume, known.is_final)
"""

# LATERAL with LIMIT looks every key up by its index, however many partitions and rows the planner believes in.
MERGE_BARS = f"""
WITH winner AS (
    SELECT revision.*
    FROM (SELECT DISTINCT symbol, interval, bar_time FROM pg_temp.staged_bar) AS touched
    CROSS JOIN LATERAL (
        SELECT {COLUMNS}
        FROM market.bar_revision AS candidate
        WHERE candidate.symbol = touched.symbol
            AND candidate.interval = touched.interval
            AND candidate.bar_time = touched.bar_time
        ORDER BY fetched_at DESC, request_id DESC
        LIMIT 1
    ) AS revision
),

compared AS (
    SELECT
        winner.*,
        (winner.open, winner.high, winner.low, winner.close, winner.volume, winner.is_final)
        IS DISTINCT FROM (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.is_final) AS has_new_values,
        (winner.source, winner.request_id, winner.fetched_at)
        IS DISTINCT FROM (bar.source, bar.request_id, bar.fetched_at) AS has_other_origin
    FROM winner
    LEFT JOIN LATERAL (
        SELECT {COLUMNS}
        FROM market.bar AS current
        WHERE current.symbol = winner.symbol
            AND current.interval = winner.interval
            AND current.bar_time = winner.bar_time
        LIMIT 1
    ) AS bar ON true
),

changed AS (
    SELECT {COLUMNS} FROM compared WHERE has_new_values OR has_other_origin
),

merged AS (
    INSERT INTO market.bar ({COLUMNS})
    SELECT {COLUMNS} FROM changed ORDER BY symbol, interval, bar_time
    ON CONFLICT ON CONSTRAINT bar_pkey DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, is_final = excluded.is_final,
        source = excluded.source, request_id = excluded.request_id, fetched_at = excluded.fetched_at
),

latest AS (
    INSERT INTO market.latest_bar AS latest_bar ({COLUMNS})
    SELECT DISTINCT ON (symbol, interval) {COLUMNS} FROM changed ORDER BY symbol, interval, bar_time DESC
    ON CONFLICT ON CONSTRAINT latest_bar_pkey DO UPDATE SET
        bar_time = excluded.bar_time,
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, is_final = excluded.is_final,
        source = excluded.source, request_id = excluded.request_id, fetched_at = excluded.fetched_at
    WHERE latest_bar.bar_time <= excluded.bar_time
)

SELECT
    (SELECT count(*) FROM compared WHERE has_new_values) AS stored,
    count(*) FILTER (
        WHERE (record.open, record.high, record.low, record.close, record.volume, record.is_final)
        = (winner.open, winner.high, winner.low, winner.close, winner.volume, winner.is_final)
    ) AS told_as_stored,
    count(*) AS bars
FROM pg_temp.staged_bar AS record
INNER JOIN winner USING (symbol, interval, bar_time)
"""

WRITE_LEDGER = """
INSERT INTO market.batch (
    run_id, batch_id, topic_id, partition, log_epoch, from_offset, until_offset,
    received, stored, unchanged, superseded, quarantined
)
VALUES (
    %(run_id)s, %(batch_id)s, %(topic_id)s, %(partition)s, %(log_epoch)s, %(from_offset)s, %(until_offset)s,
    %(received)s, %(stored)s, %(unchanged)s, %(superseded)s, %(quarantined)s
)
"""

MOVE_POSITION = """
UPDATE market.stream_position SET next_offset = %(until_offset)s, updated_at = now()
WHERE topic_id = %(topic_id)s AND partition = %(partition)s
"""
