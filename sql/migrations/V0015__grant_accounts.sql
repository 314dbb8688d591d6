-- The keeper reads everything, the tables of later releases too: it exports the partitions one by one, and makes
-- tables like these. It writes where it made the schema itself, and what the daily upkeep writes.
GRANT USAGE ON SCHEMA market TO market_pulse_keeper;
GRANT SELECT ON ALL TABLES IN SCHEMA market TO market_pulse_keeper;
ALTER DEFAULT PRIVILEGES IN SCHEMA market GRANT SELECT ON TABLES TO market_pulse_keeper;

-- The auditor runs all the time, so it reads what it compares and nothing else.
GRANT USAGE ON SCHEMA market TO market_pulse_auditor;
GRANT SELECT ON market.bar, market.bar_revision, market.latest_bar, market.answer, market.lost_range
TO market_pulse_auditor;

-- Readers see a bar when it is final: what still forms would be in their reports as a wrong number.
CREATE OR REPLACE VIEW bi.events_stream AS
WITH finest AS (
    SELECT DISTINCT ON (latest.symbol)
        latest.symbol,
        latest.interval
    FROM market.latest_bar AS latest
    ORDER BY
        latest.symbol ASC,
        CASE latest.interval WHEN 'daily' THEN INTERVAL '1 day' ELSE latest.interval::INTERVAL END ASC
)

SELECT -- noqa: ST06
    bar.symbol,
    bar.bar_time AT TIME ZONE 'UTC' AS bar_time,
    bar.open,
    bar.high,
    bar.low,
    bar.close,
    bar.volume
FROM market.bar AS bar
INNER JOIN finest ON bar.symbol = finest.symbol AND bar.interval = finest.interval
WHERE bar.is_final;

COMMENT ON VIEW bi.events_stream IS 'One series per symbol: its final bars of the finest interval collected.';
