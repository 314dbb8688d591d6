"""The SQL of the sink: one transaction per part of a task, set by set, in this order.

The same statements fill `market` and any schema that was made like it: see `market_pulse_stream.scratch`.
"""

from dataclasses import dataclass
from functools import cache

from psycopg2.sql import SQL, Composed, Identifier

from market_pulse_stream.decode import ANSWER_COLUMNS, BAR_COLUMNS

MARKET = "market"

# Whoever holds this row is the partition's only writer until commit; a task left over from an earlier run waits here,
# and then finds its records below the position.
_LOCK_POSITION = """
SELECT next_offset, log_epoch FROM {schema}.stream_position
WHERE topic_id = %(topic_id)s AND partition = %(partition)s FOR UPDATE
"""

_CREATE_STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_bar ON COMMIT DELETE ROWS
AS SELECT {bar}, record_offset FROM {schema}.bar_revision WITH NO DATA;
CREATE TEMPORARY TABLE IF NOT EXISTS staged_answer ON COMMIT DELETE ROWS
AS SELECT {answer} FROM {schema}.answer WITH NO DATA
"""

_COPY_BARS = "COPY pg_temp.staged_bar ({bar}, record_offset) FROM STDIN"

_COPY_ANSWERS = "COPY pg_temp.staged_answer ({answer}) FROM STDIN"

# The same record may come twice, after a failure on its way.
_MERGE_ANSWERS = """
INSERT INTO {schema}.answer ({answer})
SELECT {answer} FROM pg_temp.staged_answer
ON CONFLICT ON CONSTRAINT answer_pkey DO NOTHING
"""

_COPY_QUARANTINE = """
COPY {schema}.quarantine (
    topic_id, partition, log_epoch, record_offset, topic, reason, detail, key, value, appended_at
) FROM STDIN
"""

# One request tells a bar once; should it tell it twice, the greater values stand for both, in whatever order they come.
_MERGE_REVISIONS = """
INSERT INTO {schema}.bar_revision AS known ({bar}, partition, record_offset)
SELECT DISTINCT ON (symbol, interval, bar_time, fetched_at, request_id) {bar}, %(partition)s, record_offset
FROM pg_temp.staged_bar
ORDER BY
    symbol, interval, bar_time, fetched_at, request_id,
    open DESC, high DESC, low DESC, close DESC, volume DESC, is_final DESC, record_offset
ON CONFLICT ON CONSTRAINT bar_revision_pkey DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, is_final = excluded.is_final, source = excluded.source
WHERE ({excluded_values}) > ({known_values})
"""

# A leaf that was analysed while it was empty counts as nothing to read, whatever others are writing into it: each key
# would be looked for in all of it. What that costs by the planner's count would have the statements compiled.
_USE_INDEXES = "SET LOCAL enable_seqscan = off; SET LOCAL jit = off"

# Of the tellings of a bar the newest stands, and the stored bar is the newest of those before: what came is compared
# with it alone. LATERAL with LIMIT looks every key up by its index, however many partitions and rows the planner
# believes in. One key has one writer as long as its symbol stays in its partition; should it not, the newer telling
# stands even so.
_MERGE_BARS = """
WITH told AS (
    SELECT {bar}, row_number() OVER (
        PARTITION BY symbol, interval, bar_time
        ORDER BY
            fetched_at DESC, request_id DESC,
            open DESC, high DESC, low DESC, close DESC, volume DESC, is_final DESC
    ) AS place
    FROM pg_temp.staged_bar
),

winner AS (
    SELECT
        {winner},
        kept.symbol IS NULL AS is_newer,
        kept.symbol IS NULL AND coalesce(({told_values}) <> ({stored_values}), true) AS has_new_values,
        kept.symbol IS NULL OR ({told_values}) = ({stored_values}) AS is_as_told
    FROM told
    LEFT JOIN LATERAL (
        SELECT {bar}
        FROM {schema}.bar AS current
        WHERE current.symbol = told.symbol
            AND current.interval = told.interval
            AND current.bar_time = told.bar_time
        LIMIT 1
    ) AS stored ON true
    LEFT JOIN LATERAL (
        SELECT stored.*
        WHERE (stored.fetched_at, stored.request_id, {stored_values})
            >= (told.fetched_at, told.request_id, {told_values})
    ) AS kept ON true
    WHERE told.place = 1
),

changed AS (
    SELECT {bar} FROM winner WHERE is_newer
),

merged AS (
    INSERT INTO {schema}.bar AS stored ({bar})
    SELECT {bar} FROM changed
    ON CONFLICT ON CONSTRAINT bar_pkey DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, is_final = excluded.is_final,
        source = excluded.source, request_id = excluded.request_id, fetched_at = excluded.fetched_at
    WHERE (stored.fetched_at, stored.request_id, {stored_values})
        < (excluded.fetched_at, excluded.request_id, {excluded_values})
),

latest AS (
    INSERT INTO {schema}.latest_bar AS stored ({bar})
    SELECT DISTINCT ON (symbol, interval) {bar} FROM changed ORDER BY symbol, interval, bar_time DESC
    ON CONFLICT ON CONSTRAINT latest_bar_pkey DO UPDATE SET
        bar_time = excluded.bar_time,
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, is_final = excluded.is_final,
        source = excluded.source, request_id = excluded.request_id, fetched_at = excluded.fetched_at
    WHERE (stored.bar_time, stored.fetched_at, stored.request_id, {stored_values})
        < (excluded.bar_time, excluded.fetched_at, excluded.request_id, {excluded_values})
)

SELECT
    count(*) FILTER (WHERE has_new_values) AS stored,
    count(*) FILTER (WHERE is_as_told) + (
        SELECT count(*)
        FROM told
        INNER JOIN winner USING (symbol, interval, bar_time)
        WHERE told.place > 1 AND ({told_values}) = ({winner_values})
    ) AS told_as_stored
FROM winner
"""

_MOVE_POSITION = """
UPDATE {schema}.stream_position SET next_offset = %(until_offset)s, leader_epoch = %(leader_epoch)s, updated_at = now()
WHERE topic_id = %(topic_id)s AND partition = %(partition)s
"""

# The last statement, for it notes when the transaction was about to be committed.
_WRITE_LEDGER = """
INSERT INTO {schema}.batch (
    run_id, batch_id, topic_id, partition, log_epoch, from_offset, until_offset,
    received, stored, unchanged, superseded, quarantined, answers, empty
)
VALUES (
    %(run_id)s, %(batch_id)s, %(topic_id)s, %(partition)s, %(log_epoch)s, %(from_offset)s, %(until_offset)s,
    %(received)s, %(stored)s, %(unchanged)s, %(superseded)s, %(quarantined)s, %(answers)s, %(empty)s
)
"""


@dataclass(frozen=True)
class Statements:
    """The sink's statements for one schema."""

    lock_position: Composed
    create_staging: Composed
    copy_bars: Composed
    copy_answers: Composed
    merge_answers: Composed
    copy_quarantine: Composed
    use_indexes: Composed
    merge_revisions: Composed
    merge_bars: Composed
    move_position: Composed
    write_ledger: Composed


@cache
def statements(schema: str = MARKET) -> Statements:
    """Return the statements that fill this schema, whatever its name."""

    def composed(text: str) -> Composed:
        return SQL(text).format(
            schema=Identifier(schema),
            bar=SQL(", ".join(BAR_COLUMNS)),
            answer=SQL(", ".join(ANSWER_COLUMNS)),
            winner=SQL(", ".join(f"coalesce(kept.{name}, told.{name}) AS {name}" for name in BAR_COLUMNS)),
            **{f"{alias}_values": SQL(_values(alias)) for alias in ("told", "stored", "known", "winner", "excluded")},
        )

    return Statements(
        lock_position=composed(_LOCK_POSITION),
        create_staging=composed(_CREATE_STAGING),
        copy_bars=composed(_COPY_BARS),
        copy_answers=composed(_COPY_ANSWERS),
        merge_answers=composed(_MERGE_ANSWERS),
        copy_quarantine=composed(_COPY_QUARANTINE),
        use_indexes=composed(_USE_INDEXES),
        merge_revisions=composed(_MERGE_REVISIONS),
        merge_bars=composed(_MERGE_BARS),
        move_position=composed(_MOVE_POSITION),
        write_ledger=composed(_WRITE_LEDGER),
    )


def _values(alias: str) -> str:
    """Return what two tellings of a bar may tell differently, in the order in which the greater one stands."""
    return ", ".join(f"{alias}.{name}" for name in ("open", "high", "low", "close", "volume", "is_final"))
