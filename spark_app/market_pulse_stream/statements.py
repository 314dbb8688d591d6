"""The SQL of the sink: one transaction for the parts that come together, statement by statement, in this order.

The same statements fill `market` and any schema that was made like it: see `market_pulse_stream.scratch`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from psycopg2.sql import SQL, Composed, Identifier

from market_pulse_stream.decode import ANSWER_COLUMNS, BAR_COLUMNS

MARKET = "market"
# What two tellings of a bar may tell differently, in the order in which the greater one stands.
_VALUES = ("open", "high", "low", "close", "volume", "is_final")

# Whoever holds these rows is the partitions' only writer until commit; a task left over from an earlier run waits here,
# and then finds its records below the position.
_LOCK_POSITIONS = """
SELECT partition, next_offset, log_epoch FROM {schema}.stream_position
WHERE topic_id = %(topic_id)s AND partition = ANY(%(partitions)s)
ORDER BY partition FOR UPDATE
"""

# A leaf that was analysed while it was empty counts as nothing to read, whatever others are writing into it: each key
# would be looked for in all of it. What that costs by the planner's count would have the statements compiled.
# The rows of a part take some seven megabytes to sort, which would go through files otherwise.
_PREPARE = """
SET LOCAL enable_seqscan = off; SET LOCAL jit = off; SET LOCAL work_mem = '32MB';
CREATE TEMPORARY TABLE IF NOT EXISTS staged_bar ON COMMIT DELETE ROWS
AS SELECT {bar}, partition, record_offset FROM {schema}.bar_revision WITH NO DATA;
CREATE TEMPORARY TABLE IF NOT EXISTS staged_answer ON COMMIT DELETE ROWS
AS SELECT {answer} FROM {schema}.answer WITH NO DATA
"""

_COPY_BARS = "COPY pg_temp.staged_bar ({bar}, partition, record_offset) FROM STDIN"

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
# Of the tellings of a bar the newest stands, and the stored bar is the newest of those before: what came is compared
# with it alone. LATERAL with LIMIT looks every key up by its index, however many partitions and rows the planner
# believes in. One key has one writer as long as its symbol stays in its partition; should it not, the newer telling
# stands even so.
_MERGE_BARS = """
WITH told AS (
    SELECT
        {bar}, partition, record_offset,
        lead(partition) OVER telling IS NULL AS is_greatest,
        lead(partition) OVER tellings IS NULL AS is_newest
    FROM pg_temp.staged_bar
    WINDOW
        tellings AS (
            PARTITION BY symbol, interval, bar_time ORDER BY fetched_at, request_id, {values}, record_offset DESC
        ),
        telling AS (
            PARTITION BY symbol, interval, bar_time, fetched_at, request_id ORDER BY {values}, record_offset DESC
        )
),

revision AS (
    INSERT INTO {schema}.bar_revision AS stored ({bar}, partition, record_offset)
    SELECT {bar}, partition, record_offset FROM told WHERE is_greatest
    ON CONFLICT ON CONSTRAINT bar_revision_pkey DO UPDATE SET {new_values}, source = excluded.source
    WHERE ({excluded_values}) > ({stored_values})
),

winner AS (
    SELECT
        {winner},
        told.partition,
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
    WHERE told.is_newest
),

changed AS (
    SELECT {bar} FROM winner WHERE is_newer
),

merged AS (
    INSERT INTO {schema}.bar AS stored ({bar})
    SELECT {bar} FROM changed
    ON CONFLICT ON CONSTRAINT bar_pkey DO UPDATE SET {new_telling}
    WHERE (stored.fetched_at, stored.request_id, {stored_values})
        < (excluded.fetched_at, excluded.request_id, {excluded_values})
),

latest AS (
    INSERT INTO {schema}.latest_bar AS stored ({bar})
    SELECT DISTINCT ON (symbol, interval) {bar} FROM changed ORDER BY symbol, interval, bar_time DESC
    ON CONFLICT ON CONSTRAINT latest_bar_pkey DO UPDATE SET bar_time = excluded.bar_time, {new_telling}
    WHERE (stored.bar_time, stored.fetched_at, stored.request_id, {stored_values})
        < (excluded.bar_time, excluded.fetched_at, excluded.request_id, {excluded_values})
),

fate AS (
    SELECT partition, has_new_values AS is_stored, is_as_told FROM winner
    UNION ALL
    SELECT told.partition, false AS is_stored, true AS is_as_told
    FROM told
    INNER JOIN winner USING (symbol, interval, bar_time)
    WHERE NOT told.is_newest AND ({told_values}) = ({winner_values})
)

SELECT partition, count(*) FILTER (WHERE is_stored) AS stored, count(*) FILTER (WHERE is_as_told) AS told_as_stored
FROM fate
GROUP BY partition
"""

# The last statement, for it notes when the transaction was about to be committed.
_ACCOUNT = """
UPDATE {schema}.stream_position SET next_offset = %(until_offset)s, leader_epoch = %(leader_epoch)s, updated_at = now()
WHERE topic_id = %(topic_id)s AND partition = %(partition)s;
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

    lock_positions: Composed
    prepare: Composed
    copy_bars: Composed
    copy_answers: Composed
    merge_answers: Composed
    copy_quarantine: Composed
    merge_bars: Composed
    account: Composed


@cache
def statements(schema: str = MARKET) -> Statements:
    """Return the statements that fill this schema, whatever its name."""

    def composed(text: str) -> Composed:
        return SQL(text).format(
            schema=Identifier(schema),
            bar=SQL(", ".join(BAR_COLUMNS)),
            answer=SQL(", ".join(ANSWER_COLUMNS)),
            winner=SQL(", ".join(f"coalesce(kept.{name}, told.{name}) AS {name}" for name in BAR_COLUMNS)),
            values=SQL(", ".join(_VALUES)),
            new_values=SQL(_new(_VALUES)),
            new_telling=SQL(_new((*_VALUES, "source", "request_id", "fetched_at"))),
            **{f"{alias}_values": SQL(_of(alias)) for alias in ("told", "stored", "winner", "excluded")},
        )

    return Statements(
        lock_positions=composed(_LOCK_POSITIONS),
        prepare=composed(_PREPARE),
        copy_bars=composed(_COPY_BARS),
        copy_answers=composed(_COPY_ANSWERS),
        merge_answers=composed(_MERGE_ANSWERS),
        copy_quarantine=composed(_COPY_QUARANTINE),
        merge_bars=composed(_MERGE_BARS),
        account=composed(_ACCOUNT),
    )


def _of(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in _VALUES)


def _new(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in names)
