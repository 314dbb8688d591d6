CREATE VIEW bi.completeness AS
SELECT -- noqa: ST06
    account.symbol,
    account.interval,
    account.trading_date,
    account.expected::bigint AS expected,
    account.stored::bigint AS stored,
    account.no_trade::bigint AS no_trade,
    (account.halt + account.halt_inferred)::bigint AS halt,
    account.pending::bigint AS pending,
    (account.quota + account.outage + account.vendor_missing + account.quarantined + account.missing)::bigint AS absent,
    (
        100.0 * account.stored
        / nullif(account.expected - account.pending - account.no_trade - account.halt - account.halt_inferred, 0)
    )::numeric(5, 2) AS completeness_pct
FROM market.completeness AS account;
COMMENT ON VIEW bi.completeness IS
'Fact: what became of the bars that each session should have, one row per symbol, interval and trading date.';
COMMENT ON COLUMN bi.completeness.symbol IS 'Ticker; key of bi.symbol.';
COMMENT ON COLUMN bi.completeness.interval IS 'Length of the bars.';
COMMENT ON COLUMN bi.completeness.trading_date IS 'The exchange''s day; key of bi.date.';
COMMENT ON COLUMN bi.completeness.expected IS 'Bars of the regular session.';
COMMENT ON COLUMN bi.completeness.stored IS 'Of these, bars that are here as final.';
COMMENT ON COLUMN bi.completeness.no_trade IS 'Likewise, bars in which nobody traded, by the vendor''s word.';
COMMENT ON COLUMN bi.completeness.halt IS 'Likewise, bars in which trading was halted.';
COMMENT ON COLUMN bi.completeness.pending IS 'Likewise, bars that are not due yet.';
COMMENT ON COLUMN bi.completeness.absent IS
'Likewise, bars that should be here and are not: not asked for, not answered, refused or gone.';
COMMENT ON COLUMN bi.completeness.completeness_pct IS
'Stored in per cent of stored and absent; null while nothing is due.';

-- The newest day's account is read by its date at once, an older bar's day is looked up for itself.
CREATE VIEW bi.latest_bar AS
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
    greatest(0, extract(EPOCH FROM clock.as_of - series.bar_time - series.step))::bigint AS age_seconds,
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
CROSS JOIN market.market_clock AS clock
LEFT JOIN market.current_session AS today ON TRUE
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
        today.trading_date = account.trading_date
        AND series.symbol = account.symbol AND series.interval = account.interval;
COMMENT ON VIEW bi.latest_bar IS
'The newest bar of each symbol, still forming or not, whatever the hour, and how far it can be relied on.';
COMMENT ON COLUMN bi.latest_bar.symbol IS 'Ticker; the key.';
COMMENT ON COLUMN bi.latest_bar.interval IS 'Length of the bar: 1min, 5min, 15min, 30min, 60min or daily.';
COMMENT ON COLUMN bi.latest_bar.trading_date IS 'The exchange''s day of the bar, or the last one before it.';
COMMENT ON COLUMN bi.latest_bar.ts_utc IS 'Start of the bar, in UTC.';
COMMENT ON COLUMN bi.latest_bar.ts_exchange IS 'Start of the bar, by the exchange''s clock.';
COMMENT ON COLUMN bi.latest_bar.open IS 'First price.';
COMMENT ON COLUMN bi.latest_bar.high IS 'Highest price.';
COMMENT ON COLUMN bi.latest_bar.low IS 'Lowest price.';
COMMENT ON COLUMN bi.latest_bar.close IS 'Last price.';
COMMENT ON COLUMN bi.latest_bar.volume IS 'Shares traded in the bar.';
COMMENT ON COLUMN bi.latest_bar.is_final IS 'The bar had ended when the vendor told these values.';
COMMENT ON COLUMN bi.latest_bar.source IS 'The vendor.';
COMMENT ON COLUMN bi.latest_bar.fetched_utc IS 'When the vendor told these values last, in UTC.';
COMMENT ON COLUMN bi.latest_bar.age_seconds IS 'Seconds of market time since the end of the bar; 0 while it forms.';
COMMENT ON COLUMN bi.latest_bar.is_stale IS
'Show it grey: newer bars are due. The day before is missing; or five minutes after this day''s first bar was due'
' there is none of it; or the session is open and the last five bars, and five minutes, have gone by without one.';
COMMENT ON COLUMN bi.latest_bar.completeness_pct IS
'Completeness of the symbol on the newest day of the calendar, as in bi.completeness.';

CREATE VIEW bi.freshness AS
WITH newest AS (
    SELECT
        count(*) AS symbols,
        count(*) FILTER (WHERE latest.is_stale) AS stale_symbols,
        max(latest.ts_utc) AS ts_utc,
        min(latest.age_seconds) AS age_seconds
    FROM bi.latest_bar AS latest
),

stream AS (
    SELECT max(position.updated_at) AS updated_at FROM market.stream_position AS position
),

account AS (
    SELECT
        day.trading_date,
        sum(day.expected)::bigint AS expected,
        sum(day.stored)::bigint AS stored,
        sum(day.absent)::bigint AS absent
    FROM bi.completeness AS day
    GROUP BY day.trading_date
)

SELECT -- noqa: ST06
    clock.as_of AT TIME ZONE 'UTC' AS as_of_utc,
    today.trading_date,
    coalesce(clock.as_of >= today.open AND clock.as_of < today.close, FALSE) AS is_market_open,
    newest.symbols,
    newest.stale_symbols,
    newest.ts_utc AS newest_ts_utc,
    newest.age_seconds AS newest_age_seconds,
    stream.updated_at AT TIME ZONE 'UTC' AS stored_utc,
    audit.finished_at AT TIME ZONE 'UTC' AS audited_utc,
    account.expected,
    account.stored,
    account.absent,
    (100.0 * account.stored / nullif(account.stored + account.absent, 0))::numeric(5, 2) AS completeness_pct
FROM market.market_clock AS clock
CROSS JOIN newest
CROSS JOIN stream
LEFT JOIN market.last_run AS audit ON audit.job = 'audit'
LEFT JOIN market.current_session AS today ON TRUE
LEFT JOIN account ON today.trading_date = account.trading_date;
COMMENT ON VIEW bi.freshness IS 'How fresh and how complete the whole is, in one row.';
COMMENT ON COLUMN bi.freshness.as_of_utc IS
'What time it is in the market, in UTC: now, or with a simulator the time of the last audit.';
COMMENT ON COLUMN bi.freshness.trading_date IS 'The newest day of the calendar that has begun.';
COMMENT ON COLUMN bi.freshness.is_market_open IS 'Whether it is within that day''s regular session.';
COMMENT ON COLUMN bi.freshness.symbols IS 'Symbols of which there is a bar.';
COMMENT ON COLUMN bi.freshness.stale_symbols IS 'Of these, those whose newest bar is stale: see bi.latest_bar.';
COMMENT ON COLUMN bi.freshness.newest_ts_utc IS 'Start of the newest bar of all symbols, in UTC.';
COMMENT ON COLUMN bi.freshness.newest_age_seconds IS
'Seconds of market time since a bar of any symbol ended; 0 while one forms.';
COMMENT ON COLUMN bi.freshness.stored_utc IS 'When records of the topic were stored last, by the host''s clock in UTC.';
COMMENT ON COLUMN bi.freshness.audited_utc IS 'When the bars were counted last, by the host''s clock in UTC.';
COMMENT ON COLUMN bi.freshness.expected IS 'Bars of that day''s regular session, of all series.';
COMMENT ON COLUMN bi.freshness.stored IS 'Of these, bars that are here as final.';
COMMENT ON COLUMN bi.freshness.absent IS 'Of these, bars that should be here and are not.';
COMMENT ON COLUMN bi.freshness.completeness_pct IS
'Stored in per cent of stored and absent; null while nothing is due.';

-- A position moves in the transaction that stores what it accounts for, so that whoever sees the one sees the other;
-- a time alone could be overtaken by a transaction that began earlier and is committed later.
CREATE VIEW bi.change_marker AS
WITH stream AS (
    SELECT
        sum(position.next_offset + position.log_epoch)::bigint AS version,
        max(position.updated_at) AS changed_at
    FROM market.stream_position AS position
),

replayed AS (
    SELECT
        count(*) AS version,
        max(replay.stored_at) AS changed_at
    FROM market.quarantine_replay AS replay
),

-- One row also where nothing was ever removed.
removed AS (
    SELECT
        coalesce(max(gone.deletion_id), 0) AS version,
        max(gone.deleted_at) AS changed_at
    FROM market.deletion AS gone
    WHERE gone.deletion_id = (SELECT max(newest.deletion_id) FROM market.deletion AS newest)
)

SELECT
    coalesce(stream.version, 0) + replayed.version + removed.version AS version,
    greatest(stream.changed_at, replayed.changed_at, removed.changed_at) AT TIME ZONE 'UTC' AS changed_utc
FROM stream
CROSS JOIN replayed
CROSS JOIN removed;
COMMENT ON VIEW bi.change_marker IS
'One row that is another one whenever stored bars may be: ask it each second, and the rest only then.';
COMMENT ON COLUMN bi.change_marker.version IS
'Another number whenever records were stored, taken out of quarantine, or removed; its size says nothing.';
COMMENT ON COLUMN bi.change_marker.changed_utc IS 'When that was last, by the host''s clock in UTC.';

COMMENT ON COLUMN bi.events_stream.symbol IS 'Ticker.';
COMMENT ON COLUMN bi.events_stream.open IS 'First price.';
COMMENT ON COLUMN bi.events_stream.high IS 'Highest price.';
COMMENT ON COLUMN bi.events_stream.low IS 'Lowest price.';
COMMENT ON COLUMN bi.events_stream.close IS 'Last price.';
COMMENT ON COLUMN bi.events_stream.volume IS 'Shares traded in the bar.';
