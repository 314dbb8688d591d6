-- The day is looked up first and once, so that its accounts are found by the index of days however many days there are;
-- and ages are counted in floating point, which costs less than numeric.
CREATE OR REPLACE VIEW bi.latest_bar AS
WITH clock AS MATERIALIZED (SELECT market_clock.as_of FROM market.market_clock),

today AS MATERIALIZED (SELECT current_session.* FROM market.current_session)

SELECT -- noqa: ST06
    series.symbol,
    series.interval,
    coalesce(past.trading_date, today.trading_date) AS trading_date,
    series.bar_time AT TIME ZONE 'UTC' AS ts_utc,
    coalesce(past.trading_date, today.trading_date)
    + (series.bar_time - coalesce(past.day_start, today.day_start)) AS ts_exchange,
    series.open::numeric(20, 8) AS open,
    series.high::numeric(20, 8) AS high,
    series.low::numeric(20, 8) AS low,
    series.close::numeric(20, 8) AS close,
    series.volume,
    series.is_final,
    series.source,
    series.fetched_at AT TIME ZONE 'UTC' AS fetched_utc,
    greatest(0, date_part('epoch', clock.as_of - series.bar_time - series.step))::bigint AS age_seconds,
    CASE
        WHEN today.trading_date IS NULL THEN TRUE
        -- Nothing of this day is due yet: it is enough to have the day before.
        WHEN
            CASE
                WHEN series.interval = 'daily'
                    THEN clock.as_of < today.close + series.ready_after + '5 minutes'::interval
                ELSE clock.as_of < today.open + series.step + series.ready_after + '5 minutes'::interval
            END
            THEN coalesce(past.trading_date < today.previous_date, FALSE)
        WHEN past.trading_date IS NOT NULL OR series.interval = 'daily' THEN past.trading_date IS NOT NULL
        -- At the day's end a symbol may have its last trade long before the close.
        ELSE
            clock.as_of < today.close
            AND series.bar_time + 5 * series.step + series.ready_after + '5 minutes'::interval < clock.as_of
    END AS is_stale,
    account.completeness_pct
FROM market.reported_series AS series
CROSS JOIN clock
LEFT JOIN today ON TRUE
LEFT JOIN LATERAL (
    SELECT
        session.trading_date,
        session.day_start
    FROM market.reported_session AS session
    WHERE
        (series.bar_time < today.day_start OR today.day_start IS NULL)
        AND session.day_start <= series.bar_time
        AND session.trading_date <= (series.bar_time AT TIME ZONE 'UTC')::date + 1
    ORDER BY session.trading_date DESC
    LIMIT 1
) AS past ON TRUE
LEFT JOIN bi.completeness AS account
    ON
        account.trading_date = (SELECT newest.trading_date FROM today AS newest)
        AND series.symbol = account.symbol AND series.interval = account.interval;
