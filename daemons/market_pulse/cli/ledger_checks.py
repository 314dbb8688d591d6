"""The account of the topic, asked of the database: batches, offsets, positions, quarantine; see `checks.Check`."""
# ruff: noqa: S608 - put together from the constants of this module, never from data

_NO_END = 2**63 - 1
_OF_LOG = "topic_id, partition, log_epoch"
_PLACE = "'topic id', topic_id, 'log epoch', log_epoch, 'partition', partition"
_EQUATION = (
    "received, 'received =', stored, 'stored +', unchanged, 'unchanged +', superseded, 'superseded +', quarantined, "
    "'quarantined;', offsets, 'offsets =', received, 'received +', answers, 'answers +', empty, 'empty'"
)
_SUMS = ", ".join(
    f"coalesce(sum({column}), 0) AS {column}"
    for column in ("received", "stored", "unchanged", "superseded", "quarantined", "answers", "empty")
)
_PIECES = f"""
    SELECT {_OF_LOG}, from_offset, until_offset FROM market.batch
    UNION ALL SELECT {_OF_LOG}, from_offset, until_offset FROM market.lost_range WHERE until_offset > from_offset
"""
_SPAN = f"SELECT {_OF_LOG}, min(from_offset) AS first, max(until_offset) AS past"
_ENDS = f"{_SPAN} FROM ({_PIECES}) AS piece GROUP BY {_OF_LOG}"

# What is in quarantine outside of every batch is looked at, too.
SPANS = f"""
{_SPAN} FROM (
    {_PIECES}
    UNION ALL SELECT {_OF_LOG}, record_offset, record_offset + 1 FROM market.quarantine
) AS piece
GROUP BY {_OF_LOG}
"""

# From the first to the last batch that stored something of the day.
SPANS_OF_DAY = f"""
{_SPAN} FROM market.batch
WHERE recorded_at IN (
    SELECT recorded_at FROM market.bar_revision WHERE bar_time >= %(since)s AND bar_time < %(until)s
    UNION SELECT recorded_at FROM market.answer WHERE asked_at >= %(since)s AND asked_at < %(until)s
)
GROUP BY {_OF_LOG}
"""


def _batches(spans: str) -> str:
    return f"""(
        SELECT batch.*, until_offset - from_offset AS offsets
        FROM market.batch AS batch INNER JOIN ({spans}) AS span USING ({_OF_LOG})
        WHERE from_offset >= first AND until_offset <= past
    ) AS batch"""


def equation(spans: str) -> str:
    """Of every batch, whether it accounts for its records and offsets."""
    return f"""
SELECT CASE
    WHEN received <> stored + unchanged + superseded + quarantined OR offsets <> received + answers + empty
        THEN concat_ws(' ', {_PLACE}, 'offset', from_offset, 'is wrong:', {_EQUATION})
END AS problem
FROM {_batches(spans)}
"""


def totals(spans: str) -> str:
    """Return the equation of all batches together."""
    return f"""
SELECT concat_ws(' ', {_EQUATION})
FROM (SELECT {_SUMS}, coalesce(sum(offsets), 0) AS offsets FROM {_batches(spans)}) AS total
"""


def sequence(spans: str) -> str:
    """Of every batch and lost range, whether it begins where the one before it ends.

    Where an accepted loss began a new log epoch, the same offsets may come again, but none may be left out.
    """
    return f"""
SELECT CASE
    WHEN from_offset > reached
        THEN concat_ws(' ', {_PLACE}, 'offsets', reached, 'to', from_offset - 1, 'are in no batch and no lost range')
    WHEN from_offset < before
        THEN concat_ws(' ', {_PLACE}, 'offsets', from_offset, 'to', before - 1, 'are accounted for twice')
END AS problem
FROM (
    SELECT
        *,
        lag(until_offset) OVER log AS before,
        coalesce(
            lag(until_offset) OVER log,
            max(until_offset) OVER (account ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ) AS reached
    FROM ({_PIECES}) AS piece INNER JOIN ({spans}) AS span USING ({_OF_LOG})
    WHERE from_offset >= first AND until_offset <= past
    WINDOW account AS (PARTITION BY topic_id, partition ORDER BY log_epoch, from_offset),
        log AS (PARTITION BY {_OF_LOG} ORDER BY from_offset)
) AS piece
"""


# After an accepted loss the position's epoch may have no batch yet.
POSITIONS = f"""
SELECT CASE
    WHEN next_offset IS NULL
        THEN concat_ws(' ', {_PLACE}, 'has batches up to offset', past, 'and no position')
    WHEN log_epoch > epoch_of_position OR (log_epoch = epoch_of_position AND past <> next_offset)
        THEN concat_ws(' ', {_PLACE}, 'the ledger ends at offset', past, 'and the position is', next_offset)
END AS problem
FROM (
    SELECT DISTINCT ON (topic_id, partition) * FROM ({_ENDS}) AS span ORDER BY topic_id, partition, log_epoch DESC
) AS ledger
FULL JOIN (
    SELECT topic_id, partition, log_epoch AS epoch_of_position, next_offset FROM market.stream_position
) AS position USING (topic_id, partition)
"""

# What was given up is the operator's word; what the consumer found gone is nobody's yet.
LOSSES = "SELECT CASE WHEN accepted_at IS NULL THEN reason END AS problem FROM market.lost_range"


def quarantine(spans: str) -> str:
    """Of every batch, whether what it quarantined is there; and of what is there, whether it is of a batch."""
    return f"""
SELECT CASE
    WHEN quarantined IS NULL
        THEN concat_ws(' ', {_PLACE}, 'has', found, 'records in quarantine outside of every batch, first offset', first)
    WHEN quarantined <> coalesce(found, 0)
        THEN concat_ws(' ', {_PLACE}, 'offset', from_offset, 'counts', quarantined, 'in quarantine, of which',
            coalesce(found, 0), 'are there')
END AS problem
FROM (SELECT {_OF_LOG}, from_offset, quarantined FROM {_batches(spans)}) AS counted
FULL JOIN (
    SELECT {_OF_LOG}, from_offset, count(*) AS found, min(record_offset) AS first
    FROM (
        SELECT {_OF_LOG}, record_offset FROM market.quarantine INNER JOIN ({spans}) AS span USING ({_OF_LOG})
        WHERE record_offset >= first AND record_offset < past
    ) AS record
    LEFT JOIN LATERAL (
        SELECT from_offset, until_offset FROM market.batch
        WHERE (batch.topic_id, batch.partition, batch.log_epoch) = (record.topic_id, record.partition, record.log_epoch)
            AND batch.from_offset <= record.record_offset
        ORDER BY from_offset DESC LIMIT 1
    ) AS batch ON until_offset > record_offset
    GROUP BY {_OF_LOG}, from_offset
) AS kept USING ({_OF_LOG}, from_offset)
WHERE quarantined > 0 OR found > 0
"""


# The same answer may come twice, after a failure on its way, and is stored once.
ANSWERS = """
SELECT CASE
    WHEN counted IS NULL OR counted < stored
        THEN concat_ws(' ', stored, 'answers about', symbol, 'and others, recorded', recorded_at,
            'where the ledger counts', coalesce(counted, 0))
END AS problem
FROM (
    SELECT recorded_at, count(*) AS stored, min(symbol) AS symbol FROM market.answer
    WHERE asked_at >= %(since)s AND asked_at < %(until)s
    GROUP BY recorded_at
) AS answer
LEFT JOIN (
    SELECT recorded_at, sum(answers) AS counted FROM (
        SELECT recorded_at, answers FROM market.batch
        UNION ALL SELECT recorded_at, answers FROM market.quarantine_replay
    ) AS account
    GROUP BY recorded_at
) AS account USING (recorded_at)
"""

# The same telling may come twice, too. What is replayed from quarantine keeps its offset.
TELLINGS = f"""
SELECT CASE
    WHEN batches <> 1
        THEN concat_ws(' ', tellings, 'tellings of', symbol, 'and others, partition', partition, 'offsets', first, 'to',
            last, 'recorded', recorded_at, 'are of', batches, 'batches')
    WHEN tellings > counted
        THEN concat_ws(' ', tellings, 'tellings of', symbol, 'and others, partition', partition, 'offsets', first, 'to',
            last, 'recorded', recorded_at, 'are of a batch of', counted)
END AS problem
FROM (
    SELECT partition, recorded_at, tellings, symbol, first, last,
        count(*) FILTER (WHERE from_offset <= first AND until_offset > last) AS batches, sum(bars) AS counted
    FROM (
        SELECT partition, recorded_at, count(*) AS tellings, min(symbol) AS symbol,
            min(record_offset) AS first, max(record_offset) AS last
        FROM market.bar_revision
        WHERE bar_time >= %(since)s AND bar_time < %(until)s AND record_offset IS NOT NULL
        GROUP BY partition, recorded_at
    ) AS telling
    LEFT JOIN (
        SELECT partition, recorded_at, from_offset, until_offset, stored + unchanged + superseded AS bars
        FROM market.batch
        UNION ALL
        SELECT partition, recorded_at, 0, {_NO_END}, stored + unchanged + superseded
        FROM market.quarantine_replay
    ) AS account USING (partition, recorded_at)
    GROUP BY partition, recorded_at, tellings, symbol, first, last
) AS transaction
"""
