-- Only where the vendor answered that nobody traded is the price still the one before; a bar that was halted, or is not
-- here for another reason, has none and ends what is carried on, and so does the session.
CREATE VIEW bi.bar_filled AS
SELECT -- noqa: ST06
    part.symbol,
    part.interval,
    part.trading_date,
    slot.bar_time AT TIME ZONE 'UTC' AS ts_utc,
    part.trading_date + (slot.bar_time - session.day_start) AS ts_exchange,
    CASE WHEN slot.reason IS NULL THEN slot.open ELSE slot.carried END::numeric(20, 8) AS open,
    CASE WHEN slot.reason IS NULL THEN slot.high ELSE slot.carried END::numeric(20, 8) AS high,
    CASE WHEN slot.reason IS NULL THEN slot.low ELSE slot.carried END::numeric(20, 8) AS low,
    CASE WHEN slot.reason IS NULL THEN slot.close ELSE slot.carried END::numeric(20, 8) AS close,
    CASE WHEN slot.reason IS NULL THEN slot.volume WHEN slot.carried IS NOT NULL THEN 0 END AS volume,
    slot.reason IS NOT NULL AND slot.carried IS NOT NULL AS is_filled,
    slot.reason AS absent_reason
FROM market.reported_series AS series
INNER JOIN market.series_session AS part ON series.symbol = part.symbol AND series.interval = part.interval
INNER JOIN market.reported_session AS session ON part.trading_date = session.trading_date
CROSS JOIN LATERAL ( -- noqa: ST05
    WITH bar AS (
        SELECT known.*
        FROM market.bar AS known
        WHERE
            known.symbol = part.symbol AND known.interval = part.interval AND known.is_final
            AND known.bar_time BETWEEN part.first_bar AND part.last_bar
    ),

    -- A bar begins a run, and whatever is absent and is not a bar without trade ends it.
    run AS (
        SELECT
            grid.bar_time,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            CASE WHEN bar.bar_time IS NULL THEN absence.reason END AS reason,
            count(*) FILTER (WHERE bar.bar_time IS NOT NULL OR absence.reason <> 'no_trade')
                OVER (ORDER BY grid.bar_time ASC) AS run_number
        FROM generate_series(part.first_bar, part.last_bar, part.step) AS grid (bar_time)
        LEFT JOIN bar ON grid.bar_time = bar.bar_time
        LEFT JOIN market.absence AS absence
            ON
                part.symbol = absence.symbol AND part.interval = absence.interval
                AND part.trading_date = absence.trading_date
                AND grid.bar_time >= absence.since AND grid.bar_time < absence.until
        WHERE bar.bar_time IS NOT NULL OR absence.reason IS NOT NULL
    )

    SELECT
        run.*,
        CASE
            WHEN run.reason = 'no_trade'
                THEN first_value(run.close) OVER (PARTITION BY run.run_number ORDER BY run.bar_time ASC)
        END AS carried
    FROM run
) AS slot;
COMMENT ON VIEW bi.bar_filled IS
'bi.bar with a row for each expected bar that is not here, and why. Filter by symbol and trading_date.';
COMMENT ON COLUMN bi.bar_filled.symbol IS 'Ticker; key of bi.symbol.';
COMMENT ON COLUMN bi.bar_filled.interval IS 'Length of the bar.';
COMMENT ON COLUMN bi.bar_filled.trading_date IS 'The exchange''s day that the bar belongs to; key of bi.date.';
COMMENT ON COLUMN bi.bar_filled.ts_utc IS 'Start of the bar, in UTC.';
COMMENT ON COLUMN bi.bar_filled.ts_exchange IS 'Start of the bar, by the exchange''s clock.';
COMMENT ON COLUMN bi.bar_filled.open IS 'First price; of a filled bar the last price of the session before it.';
COMMENT ON COLUMN bi.bar_filled.high IS 'Highest price, likewise.';
COMMENT ON COLUMN bi.bar_filled.low IS 'Lowest price, likewise.';
COMMENT ON COLUMN bi.bar_filled.close IS 'Last price, likewise.';
COMMENT ON COLUMN bi.bar_filled.volume IS 'Shares traded in the bar; 0 in a filled one, null where nothing is known.';
COMMENT ON COLUMN bi.bar_filled.is_filled IS
'Nobody traded, by the vendor''s word, so that the last price of the same session stands; never over a halt or a gap.';
COMMENT ON COLUMN bi.bar_filled.absent_reason IS
'Why the bar is not here: no_trade, halt, halt_inferred, quota, outage, vendor_missing, quarantined or missing;'
' null for one that is.';
