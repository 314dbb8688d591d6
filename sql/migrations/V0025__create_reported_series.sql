-- Bars that came as they were made lie on disk day by day: such an index is next to nothing to keep for the sink, and
-- has the planner know how many days a month has.
CREATE INDEX bar_of_day ON market.bar USING brin (((bar_time AT TIME ZONE 'UTC')::date)) WITH (autosummarize = on);

-- A simulated market runs ahead of the wall clock: how far, the auditor's last run tells. A real one that nobody has
-- audited for a while still ages.
CREATE VIEW market.market_clock AS
SELECT
    CASE
        WHEN
            audit.market_time BETWEEN audit.started_at - '1 minute'::interval
            AND audit.started_at + '1 minute'::interval
            THEN now()
        ELSE coalesce(audit.market_time, now())
    END AS as_of
FROM (VALUES ('audit')) AS wanted (job)
LEFT JOIN market.last_run AS audit ON wanted.job = audit.job;
COMMENT ON VIEW market.market_clock IS
'What time it is in the market, in one row: now, or with a simulator what the auditor''s last run spoke for.';

CREATE INDEX session_of_day ON market.session (trading_date);

-- A deployment has one exchange; what another one left here reaches no further than the day when it was changed.
CREATE VIEW market.reported_session AS
SELECT
    session.exchange,
    session.trading_date,
    session.day_start,
    session.open,
    session.close
FROM market.session AS session
WHERE
    session.exchange = (
        SELECT newest.exchange FROM market.session AS newest
        ORDER BY newest.trading_date DESC, newest.exchange ASC
        LIMIT 1
    );
COMMENT ON VIEW market.reported_session IS 'The calendar of the exchange that reports are about.';

CREATE VIEW market.session_day AS
SELECT
    session.trading_date,
    session.day_start,
    session.open,
    session.close,
    (session.day_start AT TIME ZONE 'UTC')::date + later.days AS utc_date,
    later.days <= (session.close AT TIME ZONE 'UTC')::date - (session.day_start AT TIME ZONE 'UTC')::date
        AS has_regular_hours
FROM market.reported_session AS session
CROSS JOIN (VALUES (0), (1)) AS later (days);
COMMENT ON VIEW market.session_day IS
'The two dates of UTC''s on which each day of the exchange''s lies, and whether its regular session reaches into them.';

CREATE FUNCTION market.step_of(name text) RETURNS interval
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT CASE name WHEN 'daily' THEN '1 day' ELSE name END::interval $$;
COMMENT ON FUNCTION market.step_of IS 'How long a bar of an interval lasts.';

CREATE VIEW market.known_series AS
SELECT
    latest.symbol,
    latest.interval,
    latest.bar_time,
    latest.open,
    latest.high,
    latest.low,
    latest.close,
    latest.volume,
    latest.is_final,
    latest.source,
    latest.fetched_at,
    series.since,
    market.step_of(latest.interval) AS step,
    coalesce(series.ready_after, '0'::interval) AS ready_after,
    series.symbol IS NOT NULL AS is_collected
FROM market.latest_bar AS latest
LEFT JOIN market.series AS series
    ON latest.symbol = series.symbol AND latest.interval = series.interval AND series.until IS NULL;
COMMENT ON VIEW market.known_series IS
'Each series of which there is a bar, collected still or not, with its newest bar.';

CREATE VIEW market.reported_series AS
SELECT DISTINCT ON (known.symbol) known.* -- noqa: AM04
FROM market.known_series AS known
ORDER BY known.symbol ASC, known.step ASC;
COMMENT ON VIEW market.reported_series IS
'The one series of each symbol that reports are made of: the finest interval, so that no volume is counted twice.';

CREATE VIEW market.current_session AS
SELECT
    session.exchange,
    session.trading_date,
    session.day_start,
    session.open,
    session.close,
    clock.as_of,
    lag(session.trading_date) OVER (ORDER BY session.trading_date ASC) AS previous_date
FROM market.reported_session AS session
CROSS JOIN market.market_clock AS clock
WHERE session.day_start BETWEEN clock.as_of - '30 days'::interval AND clock.as_of
ORDER BY session.trading_date DESC
LIMIT 1;
COMMENT ON VIEW market.current_session IS 'The newest day of the calendar that has begun, in one row.';
