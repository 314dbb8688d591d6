-- Nobody noted when the batches of before this release were committed; when they began is what is known.
UPDATE market.batch SET stored_at = recorded_at;

-- Which transactions were under way at an instant. A clock that was set back must not refuse a batch.
CREATE INDEX batch_under_way ON market.batch
USING gist (tstzrange(recorded_at, greatest(recorded_at, stored_at)));

-- A revision is known from the commit of its transaction on, and carries when that began. Written so that PostgreSQL
-- inlines it and looks a symbol up by the key of market.bar_revision.
CREATE FUNCTION market.bars_as_of(instant timestamptz) RETURNS SETOF market.bar
LANGUAGE sql STABLE AS $$
SELECT DISTINCT ON (revision.symbol, revision.interval, revision.bar_time)
    revision.symbol,
    revision.interval,
    revision.bar_time,
    revision.open,
    revision.high,
    revision.low,
    revision.close,
    revision.volume,
    revision.is_final,
    revision.source,
    revision.request_id,
    revision.fetched_at
FROM market.bar_revision AS revision
WHERE revision.recorded_at <= instant
    AND NOT EXISTS (
        SELECT
        FROM market.batch AS under_way
        WHERE tstzrange(under_way.recorded_at, greatest(under_way.recorded_at, under_way.stored_at)) @> instant
            AND under_way.recorded_at = revision.recorded_at
            AND under_way.partition = revision.partition
    )
    AND NOT EXISTS (
        SELECT
        FROM market.quarantine_replay AS under_way
        WHERE under_way.stored_at > instant
            AND under_way.recorded_at = revision.recorded_at
            AND under_way.partition = revision.partition
    )
ORDER BY
    revision.symbol ASC, revision.interval ASC, revision.bar_time ASC,
    revision.fetched_at DESC, revision.request_id DESC
$$;

COMMENT ON FUNCTION market.bars_as_of IS
'The bars as market.bar showed them to a reader at an instant: SELECT * FROM market.bars_as_of(...) WHERE symbol = ...';

REVOKE EXECUTE ON FUNCTION market.bars_as_of FROM public;
GRANT EXECUTE ON FUNCTION market.bars_as_of TO market_pulse_monitor;
