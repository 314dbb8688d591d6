CREATE VIEW bi.symbol AS
SELECT -- noqa: ST06
    series.symbol,
    (SELECT min(session.exchange) FROM market.reported_session AS session) AS exchange,
    series.interval,
    series.is_collected,
    series.since AT TIME ZONE 'UTC' AS collected_since_utc
FROM market.reported_series AS series;
COMMENT ON VIEW bi.symbol IS 'Dimension: one row per symbol of which there is a bar.';
COMMENT ON COLUMN bi.symbol.symbol IS 'Ticker; the key.';
COMMENT ON COLUMN bi.symbol.exchange IS 'ISO 10383 code of the exchange whose calendar counts.';
COMMENT ON COLUMN bi.symbol.interval IS
'Interval of the bars that bi.bar has of it: 1min, 5min, 15min, 30min, 60min or daily, the finest there is.';
COMMENT ON COLUMN bi.symbol.is_collected IS 'Whether new bars are expected.';
COMMENT ON COLUMN bi.symbol.collected_since_utc IS
'Since when it is collected, in UTC; null where it is not any more. Older bars may come from a backfill.';

-- Without gaps, from the first to the last day of whole years, as a date table must be.
CREATE VIEW bi.date AS
WITH calendar AS (
    SELECT
        session.trading_date,
        session.open,
        session.close,
        session.day_start,
        max(session.close - session.open) OVER (
            ORDER BY session.trading_date ASC ROWS BETWEEN 15 PRECEDING AND 15 FOLLOWING
        ) AS whole_day
    FROM market.reported_session AS session
),

day AS (
    SELECT series.day::date AS date
    FROM generate_series(
        (SELECT date_trunc('year', min(calendar.trading_date)::timestamp) FROM calendar),
        (SELECT date_trunc('year', max(calendar.trading_date)::timestamp) + '1 year'::interval FROM calendar)
        - '1 day'::interval,
        '1 day'::interval
    ) AS series (day)
)

SELECT
    day.date,
    extract(YEAR FROM day.date)::bigint AS year,
    extract(QUARTER FROM day.date)::bigint AS quarter,
    extract(MONTH FROM day.date)::bigint AS month,
    to_char(day.date, 'FMMonth') AS month_name,
    to_char(day.date, 'YYYY-MM') AS year_month,
    extract(WEEK FROM day.date)::bigint AS iso_week,
    extract(DAY FROM day.date)::bigint AS day_of_month,
    extract(ISODOW FROM day.date)::bigint AS day_of_week,
    to_char(day.date, 'FMDay') AS day_name,
    calendar.trading_date IS NOT NULL AS is_trading_day,
    coalesce(calendar.close - calendar.open < calendar.whole_day, FALSE) AS is_half_day,
    calendar.trading_date + (calendar.open - calendar.day_start) AS opens_exchange,
    calendar.trading_date + (calendar.close - calendar.day_start) AS closes_exchange
FROM day
LEFT JOIN calendar ON day.date = calendar.trading_date;
COMMENT ON VIEW bi.date IS
'Date table: every day of the years that the exchange''s calendar knows, without gaps; mark it as the date table.';
COMMENT ON COLUMN bi.date.date IS 'The day; the key, for trading_date of the other views.';
COMMENT ON COLUMN bi.date.year IS 'Year, such as 2026.';
COMMENT ON COLUMN bi.date.quarter IS 'Quarter of the year, 1 to 4.';
COMMENT ON COLUMN bi.date.month IS 'Month of the year, 1 to 12.';
COMMENT ON COLUMN bi.date.month_name IS 'Its English name; sort it by month.';
COMMENT ON COLUMN bi.date.year_month IS 'Year and month, such as 2026-01.';
COMMENT ON COLUMN bi.date.iso_week IS 'Week of the ISO year, 1 to 53.';
COMMENT ON COLUMN bi.date.day_of_month IS 'Day of the month, 1 to 31.';
COMMENT ON COLUMN bi.date.day_of_week IS 'Day of the week, 1 for Monday to 7 for Sunday.';
COMMENT ON COLUMN bi.date.day_name IS 'Its English name; sort it by day_of_week.';
COMMENT ON COLUMN bi.date.is_trading_day IS 'Whether the exchange has a session.';
COMMENT ON COLUMN bi.date.is_half_day IS 'Whether that session is shorter than those of the weeks around it.';
COMMENT ON COLUMN bi.date.opens_exchange IS
'When the regular session begins, by the exchange''s clock; null without one.';
COMMENT ON COLUMN bi.date.closes_exchange IS
'When the regular session ends, by the exchange''s clock; null without one.';
