CREATE TABLE market.session (
    exchange text COLLATE "C" NOT NULL,
    trading_date date NOT NULL,
    day_start timestamptz NOT NULL,
    early_open timestamptz NOT NULL,
    open timestamptz NOT NULL,
    close timestamptz NOT NULL,
    late_close timestamptz NOT NULL,
    CONSTRAINT session_pkey PRIMARY KEY (exchange, trading_date),
    CONSTRAINT session_in_order CHECK (
        day_start <= early_open AND early_open <= open AND open < close AND close <= late_close
    )
);

COMMENT ON TABLE market.session IS
'The exchanges'' calendar: one row per day on which there is trading; what is not here is closed.';
COMMENT ON COLUMN market.session.exchange IS 'Its ISO 10383 code.';
COMMENT ON COLUMN market.session.day_start IS 'Midnight where the exchange is, with which its daily bar is labelled.';
COMMENT ON COLUMN market.session.early_open IS 'When trading before the regular session begins.';
COMMENT ON COLUMN market.session.close IS 'When the regular session ends, earlier on a half day.';
COMMENT ON COLUMN market.session.late_close IS 'When trading after the regular session ends.';

CREATE TABLE market.closure (
    exchange text COLLATE "C" NOT NULL,
    trading_date date NOT NULL,
    closes_at timestamptz,
    note text NOT NULL,
    entered_by text NOT NULL DEFAULT session_user,
    entered_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT closure_pkey PRIMARY KEY (exchange, trading_date)
);

COMMENT ON TABLE market.closure IS
'Days on which an exchange stays closed or closes early that this release''s calendar does not know; entered by hand.';
COMMENT ON COLUMN market.closure.closes_at IS 'When the regular session ends; null if there is none.';
COMMENT ON COLUMN market.closure.note IS 'What it is, or where it was announced.';

CREATE TABLE market.halt (
    symbol text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    note text NOT NULL,
    entered_by text NOT NULL DEFAULT session_user,
    entered_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT halt_pkey PRIMARY KEY (symbol, since),
    CONSTRAINT halt_in_order CHECK (since < until)
);

COMMENT ON TABLE market.halt IS 'Trading halts as they are known; entered by hand.';
COMMENT ON COLUMN market.halt.until IS 'When trading went on; null for a halt that still lasts.';
COMMENT ON COLUMN market.halt.note IS 'What it was, or where it was announced.';

CREATE FUNCTION market.note_halt() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.entered_at := now();
    RETURN NEW;
END
$$;
-- A halt that is corrected is looked at like a new one.
CREATE TRIGGER note_halt BEFORE UPDATE ON market.halt FOR EACH ROW EXECUTE FUNCTION market.note_halt();
REVOKE EXECUTE ON FUNCTION market.note_halt FROM public;

CREATE TABLE market.series (
    symbol text COLLATE "C" NOT NULL,
    interval text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    exchange text COLLATE "C" NOT NULL,
    extended_hours boolean NOT NULL,
    ready_after interval NOT NULL,
    CONSTRAINT series_pkey PRIMARY KEY (symbol, interval, since),
    CONSTRAINT symbol_form CHECK (symbol ~ '^[A-Z0-9][A-Z0-9.-]{0,14}$'),
    CONSTRAINT interval_known CHECK (interval IN ('1min', '5min', '15min', '30min', '60min', 'daily')),
    CONSTRAINT series_in_order CHECK (since <= until)
);
CREATE UNIQUE INDEX series_collected_once ON market.series (symbol, interval) WHERE until IS NULL;

COMMENT ON TABLE market.series IS 'What is collected, since when and until when, in market time.';
COMMENT ON COLUMN market.series.since IS 'Bars that begin earlier are not expected, and welcome.';
COMMENT ON COLUMN market.series.until IS 'Bars that begin then or later are not expected; null while it is collected.';
COMMENT ON COLUMN market.series.extended_hours IS
'Whether the vendor is asked for the hours around the session, too, and so counts its bars from their beginning.';
COMMENT ON COLUMN market.series.ready_after IS
'How long after the end of a bar, for a daily one after the close, its answer should be here.';

CREATE FUNCTION market.bars_between(since timestamptz, until timestamptz, step interval) RETURNS double precision
LANGUAGE sql IMMUTABLE AS 'SELECT (extract(epoch FROM until - since) / extract(epoch FROM step))::double precision';
COMMENT ON FUNCTION market.bars_between IS 'How many bars fit between two instants, the rest as a fraction.';

-- A bar belongs to the session whose regular hours it overlaps; which bars those are follows from where the vendor
-- begins to count, as in market_pulse.simulator.market.
CREATE VIEW market.series_session AS
WITH paired AS (
    SELECT
        series.symbol,
        series.interval,
        series.since,
        series.until,
        series.ready_after,
        session.trading_date,
        session.day_start,
        session.open,
        session.close,
        series.interval = 'daily' AS is_daily,
        coalesce(nullif(series.interval, 'daily'), '1 day')::interval AS step,
        CASE WHEN series.extended_hours THEN session.early_open ELSE session.open END AS counted_from
    FROM market.series
    INNER JOIN market.session ON series.exchange = session.exchange
),

placed AS (
    SELECT
        paired.*,
        CASE
            WHEN paired.is_daily THEN paired.day_start
            ELSE date_bin(paired.step, paired.open, paired.counted_from)
        END AS origin
    FROM paired
),

bounded AS (
    SELECT
        placed.*,
        CASE
            -- A day's bar is collected after its close.
            WHEN placed.is_daily THEN (placed.since > placed.close)::integer
            ELSE greatest(0, ceil(market.bars_between(placed.origin, placed.since, placed.step)))
        END AS first_slot,
        CASE
            WHEN placed.is_daily THEN -(placed.until IS NOT NULL AND placed.until < placed.close)::integer
            ELSE ceil(market.bars_between(placed.origin, least(placed.close, placed.until), placed.step)) - 1
        END AS last_slot
    FROM placed
)

SELECT
    bounded.symbol,
    bounded.interval,
    bounded.trading_date,
    bounded.open,
    bounded.close,
    bounded.step,
    -- From the start of a bar to when it should be here.
    CASE WHEN bounded.is_daily THEN bounded.close - bounded.day_start ELSE bounded.step END
    + bounded.ready_after AS due_after,
    bounded.origin + bounded.first_slot * bounded.step AS first_bar,
    bounded.origin + bounded.last_slot * bounded.step AS last_bar,
    (bounded.last_slot - bounded.first_slot + 1)::integer AS bars
FROM bounded
WHERE bounded.first_slot <= bounded.last_slot;

COMMENT ON VIEW market.series_session IS 'Which bars of each series are expected of each session.';

GRANT SELECT ON market.session, market.closure, market.halt, market.series, market.series_session
TO market_pulse_monitor;
GRANT INSERT, UPDATE, DELETE ON market.session TO market_pulse_keeper;
GRANT SELECT ON market.session, market.halt, market.series, market.series_session TO market_pulse_auditor;
GRANT INSERT, UPDATE ON market.series TO market_pulse_auditor;
