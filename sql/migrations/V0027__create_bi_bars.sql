-- The date by UTC finds the bars of some days and joins those of many; the session's bounds reach the partition, with a
-- symbol its key, too. Midnight and a time since then make the exchange's clock, as no session begins on the day on
-- which clocks are changed. A price has, by the bar's contract, twelve digits before the point and eight after it.
CREATE VIEW bi.bar AS
SELECT -- noqa: ST06
    bar.symbol,
    bar.interval,
    session.trading_date,
    bar.bar_time AT TIME ZONE 'UTC' AS ts_utc,
    session.trading_date + (bar.bar_time - session.day_start) AS ts_exchange,
    bar.open::numeric(20, 8) AS open,
    bar.high::numeric(20, 8) AS high,
    bar.low::numeric(20, 8) AS low,
    bar.close::numeric(20, 8) AS close,
    bar.volume,
    bar.is_final,
    bar.source,
    bar.fetched_at AT TIME ZONE 'UTC' AS fetched_utc,
    (
        100.0 * account.stored
        / nullif(account.expected - account.pending - account.no_trade - account.halt - account.halt_inferred, 0)
    )::numeric(5, 2) AS completeness_pct
FROM market.reported_series AS series
INNER JOIN market.bar AS bar ON series.symbol = bar.symbol AND series.interval = bar.interval
INNER JOIN market.session_day AS session
    ON
        (bar.bar_time AT TIME ZONE 'UTC')::date = session.utc_date AND session.has_regular_hours
        AND bar.bar_time >= session.day_start AND bar.bar_time < session.close
LEFT JOIN market.completeness AS account
    ON
        bar.symbol = account.symbol AND bar.interval = account.interval
        AND session.trading_date = account.trading_date
WHERE bar.is_final AND bar.bar_time + series.step > session.open;
COMMENT ON VIEW bi.bar IS
'Fact: final bars of the regular session, one series per symbol. Filter by symbol and trading_date, for speed.';
COMMENT ON COLUMN bi.bar.symbol IS 'Ticker; key of bi.symbol.';
COMMENT ON COLUMN bi.bar.interval IS 'Length of the bar: 1min, 5min, 15min, 30min, 60min or daily.';
COMMENT ON COLUMN bi.bar.trading_date IS 'The exchange''s day that the bar belongs to; key of bi.date.';
COMMENT ON COLUMN bi.bar.ts_utc IS 'Start of the bar, in UTC.';
COMMENT ON COLUMN bi.bar.ts_exchange IS 'Start of the bar, by the exchange''s clock; a daily bar''s is midnight.';
COMMENT ON COLUMN bi.bar.open IS 'First price.';
COMMENT ON COLUMN bi.bar.high IS 'Highest price.';
COMMENT ON COLUMN bi.bar.low IS 'Lowest price.';
COMMENT ON COLUMN bi.bar.close IS 'Last price.';
COMMENT ON COLUMN bi.bar.volume IS 'Shares traded in the bar.';
COMMENT ON COLUMN bi.bar.is_final IS 'The bar had ended when the vendor told these values: true here.';
COMMENT ON COLUMN bi.bar.source IS 'The vendor.';
COMMENT ON COLUMN bi.bar.fetched_utc IS 'When the vendor told these values last, in UTC.';
COMMENT ON COLUMN bi.bar.completeness_pct IS
'Completeness of the symbol on that day, as in bi.completeness; null where nobody counted.';

CREATE VIEW bi.bar_all AS
SELECT -- noqa: ST06
    bar.symbol,
    bar.interval,
    session.trading_date,
    bar.bar_time AT TIME ZONE 'UTC' AS ts_utc,
    session.trading_date + (bar.bar_time - session.day_start) AS ts_exchange,
    bar.open::numeric(20, 8) AS open,
    bar.high::numeric(20, 8) AS high,
    bar.low::numeric(20, 8) AS low,
    bar.close::numeric(20, 8) AS close,
    bar.volume,
    bar.is_final,
    coalesce(bar.bar_time > session.open - series.step AND bar.bar_time < session.close, FALSE) AS is_regular_session,
    bar.source,
    bar.fetched_at AT TIME ZONE 'UTC' AS fetched_utc
FROM market.known_series AS series
INNER JOIN market.bar AS bar ON series.symbol = bar.symbol AND series.interval = bar.interval
LEFT JOIN market.session_day AS session
    ON
        (bar.bar_time AT TIME ZONE 'UTC')::date = session.utc_date
        AND bar.bar_time >= session.day_start AND bar.bar_time < session.day_start + '1 day'::interval;
COMMENT ON VIEW bi.bar_all IS
'Every stored bar: all intervals, all hours, those that still form. Choose one interval, or volumes count twice.';
COMMENT ON COLUMN bi.bar_all.symbol IS 'Ticker; key of bi.symbol.';
COMMENT ON COLUMN bi.bar_all.interval IS 'Length of the bar: 1min, 5min, 15min, 30min, 60min or daily.';
COMMENT ON COLUMN bi.bar_all.trading_date IS
'The exchange''s day that the bar began on; null on a day that its calendar has no session on.';
COMMENT ON COLUMN bi.bar_all.ts_utc IS 'Start of the bar, in UTC.';
COMMENT ON COLUMN bi.bar_all.ts_exchange IS 'Start of the bar, by the exchange''s clock; null as trading_date is.';
COMMENT ON COLUMN bi.bar_all.open IS 'First price.';
COMMENT ON COLUMN bi.bar_all.high IS 'Highest price.';
COMMENT ON COLUMN bi.bar_all.low IS 'Lowest price.';
COMMENT ON COLUMN bi.bar_all.close IS 'Last price.';
COMMENT ON COLUMN bi.bar_all.volume IS 'Shares traded in the bar.';
COMMENT ON COLUMN bi.bar_all.is_final IS 'The bar had ended when the vendor told these values.';
COMMENT ON COLUMN bi.bar_all.is_regular_session IS 'The bar overlaps the regular session.';
COMMENT ON COLUMN bi.bar_all.source IS 'The vendor.';
COMMENT ON COLUMN bi.bar_all.fetched_utc IS 'When the vendor told these values last, in UTC.';

-- Counted before it is known which series is reported, so that one pass is made over the bars and nothing is sorted.
-- The first and the last bar are looked up by the key when somebody asks for their prices.
CREATE VIEW bi.day_bar AS
WITH day AS (
    SELECT
        bar.symbol,
        bar.interval,
        session.trading_date,
        min(bar.bar_time) AS first_bar,
        max(bar.bar_time) AS last_bar,
        max(bar.high) AS high,
        min(bar.low) AS low,
        sum(bar.volume) AS volume,
        count(*) AS bars
    FROM market.bar AS bar
    INNER JOIN market.session_day AS session
        ON
            (bar.bar_time AT TIME ZONE 'UTC')::date = session.utc_date AND session.has_regular_hours
            AND bar.bar_time >= session.day_start AND bar.bar_time < session.close
    WHERE bar.is_final AND bar.bar_time + market.step_of(bar.interval) > session.open
    GROUP BY bar.symbol, bar.interval, session.trading_date
)

SELECT -- noqa: ST06
    day.symbol,
    day.trading_date,
    (
        SELECT bar.open
        FROM market.bar AS bar
        WHERE bar.symbol = day.symbol AND bar.interval = day.interval AND bar.bar_time = day.first_bar
    )::numeric(20, 8) AS open,
    day.high::numeric(20, 8) AS high,
    day.low::numeric(20, 8) AS low,
    (
        SELECT bar.close
        FROM market.bar AS bar
        WHERE bar.symbol = day.symbol AND bar.interval = day.interval AND bar.bar_time = day.last_bar
    )::numeric(20, 8) AS close,
    day.volume::bigint AS volume,
    day.bars,
    coalesce(account.pending = 0, TRUE) AS is_final,
    (
        100.0 * account.stored
        / nullif(account.expected - account.pending - account.no_trade - account.halt - account.halt_inferred, 0)
    )::numeric(5, 2) AS completeness_pct
FROM day
INNER JOIN market.reported_series AS series ON day.symbol = series.symbol AND day.interval = series.interval
LEFT JOIN market.completeness AS account
    ON
        day.symbol = account.symbol AND day.interval = account.interval
        AND day.trading_date = account.trading_date;
COMMENT ON VIEW bi.day_bar IS 'Fact: bi.bar by day, one row per symbol and trading date.';
COMMENT ON COLUMN bi.day_bar.symbol IS 'Ticker; key of bi.symbol.';
COMMENT ON COLUMN bi.day_bar.trading_date IS 'The exchange''s day; key of bi.date.';
COMMENT ON COLUMN bi.day_bar.open IS 'First price of the day''s first bar.';
COMMENT ON COLUMN bi.day_bar.high IS 'Highest price of its bars.';
COMMENT ON COLUMN bi.day_bar.low IS 'Lowest price of its bars.';
COMMENT ON COLUMN bi.day_bar.close IS 'Last price of the day''s last bar.';
COMMENT ON COLUMN bi.day_bar.volume IS 'Shares traded in its bars.';
COMMENT ON COLUMN bi.day_bar.bars IS 'How many bars it is made of.';
COMMENT ON COLUMN bi.day_bar.is_final IS 'No bar of that day is still to come.';
COMMENT ON COLUMN bi.day_bar.completeness_pct IS
'Completeness of the symbol on that day, as in bi.completeness; null where nobody counted.';
