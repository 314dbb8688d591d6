CREATE TABLE market.completeness (
    symbol text COLLATE "C" NOT NULL,
    interval text COLLATE "C" NOT NULL,
    trading_date date NOT NULL,
    expected integer NOT NULL,
    stored integer NOT NULL,
    no_trade integer NOT NULL,
    halt integer NOT NULL,
    halt_inferred integer NOT NULL,
    quota integer NOT NULL,
    outage integer NOT NULL,
    vendor_missing integer NOT NULL,
    pending integer NOT NULL,
    quarantined integer NOT NULL,
    missing integer NOT NULL,
    CONSTRAINT completeness_pkey PRIMARY KEY (symbol, interval, trading_date),
    CONSTRAINT fates_not_negative CHECK (
        least(
            stored, no_trade, halt, halt_inferred, quota, outage, vendor_missing, pending, quarantined, missing
        ) >= 0
    ),
    CONSTRAINT expected_is_accounted_for CHECK (
        expected = stored + no_trade + halt + halt_inferred + quota + outage + vendor_missing
        + pending + quarantined + missing
    )
) WITH (fillfactor = 50);

COMMENT ON TABLE market.completeness IS 'What became of the bars that each session should have: one row per series.';
COMMENT ON COLUMN market.completeness.expected IS 'Bars that overlap the regular session; see market.series_session.';
COMMENT ON COLUMN market.completeness.stored IS 'Of these, bars that are stored as final.';
COMMENT ON COLUMN market.completeness.no_trade IS 'The vendor answered and has no such bar: nobody traded.';
COMMENT ON COLUMN market.completeness.halt IS 'Likewise, during a halt in market.halt.';
COMMENT ON COLUMN market.completeness.halt_inferred IS
'Likewise, for at least five minutes of a series that otherwise trades all the time.';
COMMENT ON COLUMN market.completeness.vendor_missing IS
'Likewise, for the whole session or at least its last half hour: the vendor may have stopped, not the trading.';
COMMENT ON COLUMN market.completeness.quota IS 'Not asked for, because the calls of the day are used up.';
COMMENT ON COLUMN market.completeness.outage IS
'Due, and no answer speaks for it; or one does that left out what had been told, and that is in a market.lost_range.';
COMMENT ON COLUMN market.completeness.pending IS 'Not due yet.';
COMMENT ON COLUMN market.completeness.quarantined IS 'Told by the vendor, and in market.quarantine.';
COMMENT ON COLUMN market.completeness.missing IS 'Told by the vendor, stored, and gone: nothing explains it.';

-- No index on a count that changes with every bar: it would be written as often.
CREATE INDEX completeness_of_day ON market.completeness (trading_date);
CREATE INDEX completeness_missing ON market.completeness (trading_date) WHERE missing > 0;

CREATE TABLE market.absence (
    symbol text COLLATE "C" NOT NULL,
    interval text COLLATE "C" NOT NULL,
    trading_date date NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    bars integer NOT NULL,
    reason text COLLATE "C" NOT NULL,
    CONSTRAINT absence_pkey PRIMARY KEY (symbol, interval, trading_date, since),
    CONSTRAINT absence_in_order CHECK (since < until AND bars > 0),
    CONSTRAINT reason_known CHECK (
        reason IN (
            'no_trade', 'halt', 'halt_inferred', 'quota', 'outage', 'vendor_missing', 'quarantined', 'missing'
        )
    )
);

COMMENT ON TABLE market.absence IS 'Expected bars that are due and not stored, run by run, with the reason.';
COMMENT ON COLUMN market.absence.since IS 'Start of the first bar.';
COMMENT ON COLUMN market.absence.until IS 'End of the last bar.';
COMMENT ON COLUMN market.absence.reason IS 'As the columns of market.completeness are named and explained.';
CREATE INDEX absence_unexplained ON market.absence (reason, trading_date)
WHERE reason IN ('quota', 'outage', 'missing');

CREATE TABLE market.finding (
    finding_id bigint GENERATED ALWAYS AS IDENTITY,
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    sentence text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    note text,
    CONSTRAINT finding_pkey PRIMARY KEY (finding_id),
    CONSTRAINT acknowledged_with_a_reason CHECK (
        num_nulls(acknowledged_at, acknowledged_by, note) IN (0, 3) AND note <> ''
    )
);
CREATE UNIQUE INDEX finding_open_once ON market.finding (kind, subject) WHERE resolved_at IS NULL;

COMMENT ON TABLE market.finding IS 'What the auditor found, and when it was over.';
COMMENT ON COLUMN market.finding.kind IS 'Stable code of the rule.';
COMMENT ON COLUMN market.finding.subject IS 'What it is about, so that the same finding is not told twice.';
COMMENT ON COLUMN market.finding.acknowledged_at IS
'Since when it is no alarm any more though its cause is there; null again as soon as its sentence changes.';
COMMENT ON COLUMN market.finding.note IS 'Why whoever acknowledged it did.';

CREATE FUNCTION market.acknowledge_finding(finding_id bigint, note text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE market.finding AS open
    SET acknowledged_at = now(), acknowledged_by = session_user, note = acknowledge_finding.note
    WHERE open.finding_id = acknowledge_finding.finding_id AND open.resolved_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no open finding has the number %', acknowledge_finding.finding_id;
    END IF;
END
$$;
COMMENT ON FUNCTION market.acknowledge_finding IS
'Accepts what a finding says, and why: it is no alarm from then on, unless it grows.';
REVOKE EXECUTE ON FUNCTION market.acknowledge_finding FROM public;

CREATE TABLE market.last_run (
    job text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    market_time timestamptz NOT NULL,
    sentence text NOT NULL,
    CONSTRAINT last_run_pkey PRIMARY KEY (job)
) WITH (fillfactor = 50);

COMMENT ON TABLE market.last_run IS 'When the keeper''s jobs succeeded last.';
COMMENT ON COLUMN market.last_run.market_time IS 'The instant of market time that the job spoke for.';

GRANT SELECT ON market.completeness, market.absence, market.finding, market.last_run TO market_pulse_monitor;
GRANT SELECT, INSERT, UPDATE ON market.finding, market.last_run TO market_pulse_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON market.completeness, market.absence TO market_pulse_auditor;
GRANT INSERT, UPDATE ON market.last_run TO market_pulse_keeper;
