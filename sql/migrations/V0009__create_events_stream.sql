-- Plain types only: some readers' drivers know no timestamptz in a model and no domain, and list no materialized view.
CREATE VIEW bi.events_stream AS
WITH finest AS (
    SELECT DISTINCT ON (latest.symbol)
        latest.symbol,
        latest.interval
    FROM market.latest_bar AS latest
    ORDER BY
        latest.symbol ASC,
        CASE latest.interval WHEN 'daily' THEN INTERVAL '1 day' ELSE latest.interval::INTERVAL END ASC
)

-- The order of the columns is part of the promise.
SELECT -- noqa: ST06
    bar.symbol,
    bar.bar_time AT TIME ZONE 'UTC' AS bar_time,
    bar.open,
    bar.high,
    bar.low,
    bar.close,
    bar.volume
FROM market.bar AS bar
INNER JOIN finest ON bar.symbol = finest.symbol AND bar.interval = finest.interval;

COMMENT ON VIEW bi.events_stream IS 'One series per symbol: its bars of the finest interval collected.';
COMMENT ON COLUMN bi.events_stream.bar_time IS 'Start of the bar, in UTC.';
