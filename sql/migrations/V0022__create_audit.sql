CREATE TABLE market.shortfall (
    symbol text COLLATE "C" NOT NULL,
    interval text COLLATE "C" NOT NULL,
    asked_at timestamptz NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    told integer NOT NULL,
    kept integer NOT NULL,
    CONSTRAINT shortfall_pkey PRIMARY KEY (symbol, interval, asked_at, request_id),
    CONSTRAINT kept_fewer CHECK (kept < told)
);
COMMENT ON TABLE market.shortfall IS 'Answers of the last 30 days of which fewer bars are kept than they told.';
COMMENT ON COLUMN market.shortfall.kept IS 'Its tellings in market.bar_revision and market.quarantine.';
GRANT SELECT ON market.shortfall TO market_pulse_monitor;
GRANT SELECT, INSERT, UPDATE, DELETE ON market.shortfall TO market_pulse_auditor;

CREATE TABLE market.revision_jump (
    symbol text COLLATE "C" NOT NULL,
    interval text COLLATE "C" NOT NULL,
    bar_time timestamptz NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    asked_at timestamptz NOT NULL,
    percent numeric NOT NULL,
    before_close numeric NOT NULL,
    after_close numeric NOT NULL,
    CONSTRAINT revision_jump_pkey PRIMARY KEY (symbol, interval, bar_time, request_id)
);
CREATE INDEX revision_jump_asked ON market.revision_jump (asked_at);
COMMENT ON TABLE market.revision_jump IS
'Tellings that change a price of a final bar by more than half a percent; an alarm until acknowledged, for 30 days.';
COMMENT ON COLUMN market.revision_jump.request_id IS 'The request that told it otherwise than the request before.';
COMMENT ON COLUMN market.revision_jump.percent IS 'Of the price that changed most: open, high, low or close.';
GRANT SELECT ON market.revision_jump TO market_pulse_monitor;
GRANT SELECT, INSERT ON market.revision_jump TO market_pulse_auditor;

CREATE TABLE market.audit_round (
    only_one boolean NOT NULL DEFAULT true,
    reached date NOT NULL,
    CONSTRAINT audit_round_pkey PRIMARY KEY (only_one),
    CONSTRAINT only_one_row CHECK (only_one)
) WITH (fillfactor = 50);
INSERT INTO market.audit_round (reached) VALUES ('-infinity');
COMMENT ON TABLE market.audit_round IS 'Deep audits count the bars of every session again, by and by, within a day.';
COMMENT ON COLUMN market.audit_round.reached IS 'The last trading date that was counted again.';
GRANT SELECT, UPDATE ON market.audit_round TO market_pulse_auditor;

-- A hundredth of all trading dates, where deep audits come 144 times a day.
CREATE FUNCTION market.dates_to_count(as_of timestamptz, reached date) RETURNS SETOF date
LANGUAGE sql STABLE AS $$
    WITH kept AS (
        SELECT DISTINCT session.trading_date
        FROM market.session INNER JOIN (
            SELECT series.exchange, min(series.since) AS since FROM market.series GROUP BY series.exchange
        ) AS collected USING (exchange)
        WHERE session.close > collected.since AND session.open <= as_of
    )

    SELECT kept.trading_date FROM kept
    WHERE kept.trading_date > reached
    ORDER BY kept.trading_date
    LIMIT (SELECT ceil(count(*) / 100.0) FROM kept)
$$;
COMMENT ON FUNCTION market.dates_to_count IS 'The next trading dates after one whose bars are to be counted again.';

CREATE FUNCTION market.audit(as_of timestamptz, grace interval, deep boolean DEFAULT true) RETURNS integer
LANGUAGE plpgsql SET enable_nestloop = 'off' SET jit = 'off' AS $$
DECLARE
    -- A transaction that began before the last audit may have been committed after it.
    seen CONSTANT timestamptz := coalesce(
        (SELECT started_at - INTERVAL '1 minute' FROM market.last_run WHERE job = 'audit'), '-infinity'
    );
    again CONSTANT date [] := ARRAY(
        SELECT market.dates_to_count(as_of, audit_round.reached) FROM market.audit_round WHERE deep
    );
    audited integer;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'market.audit needs one snapshot of all tables: BEGIN ISOLATION LEVEL REPEATABLE READ';
    END IF;

    UPDATE market.deletion AS gone SET superseded_at = now()
    WHERE gone.superseded_at IS NULL AND CASE
        WHEN gone.is_revision THEN EXISTS (
            SELECT FROM market.bar_revision AS back
            WHERE back.symbol = gone.symbol AND back.interval = gone.interval AND back.bar_time = gone.bar_time
                AND back.fetched_at = gone.fetched_at AND back.request_id = gone.request_id
        )
        ELSE EXISTS (
            SELECT FROM market.bar AS back
            WHERE back.symbol = gone.symbol AND back.interval = gone.interval AND back.bar_time = gone.bar_time
                AND back.is_final >= gone.is_final
        )
    END;

    audited := market.audit_sessions(as_of, grace, seen, deep, again);
    IF deep THEN
        -- After the last date it begins anew.
        UPDATE market.audit_round SET reached = coalesce(again[cardinality(again)], '-infinity');

        -- A session that turned out to be none, or that a series had ended before, has no account.
        WITH unexpected AS (
            SELECT completeness.symbol, completeness.interval, completeness.trading_date, completeness.ctid
            FROM market.completeness
            LEFT JOIN (
                SELECT series_session.*, true AS is_expected FROM market.series_session
                WHERE series_session.open > as_of - INTERVAL '31 days'
            ) AS session USING (symbol, interval, trading_date)
            WHERE completeness.trading_date > (as_of - INTERVAL '30 days')::date AND session.is_expected IS NULL
        ),

        gone AS (
            DELETE FROM market.absence WHERE ctid = ANY (ARRAY(
                SELECT old.ctid FROM unexpected CROSS JOIN LATERAL (
                    SELECT absence.ctid FROM market.absence
                    WHERE absence.symbol = unexpected.symbol AND absence.interval = unexpected.interval
                        AND absence.trading_date = unexpected.trading_date
                    OFFSET 0
                ) AS old
            ))
        )

        DELETE FROM market.completeness WHERE ctid = ANY (ARRAY(SELECT unexpected.ctid FROM unexpected));
    END IF;

    WITH asked AS (
        SELECT answer.* FROM market.answer
        WHERE answer.recorded_at >= seen AND answer.asked_at >= as_of - INTERVAL '30 days'
        UNION
        SELECT answer.* FROM market.answer
        WHERE deep AND answer.asked_at BETWEEN as_of - INTERVAL '3 days' AND as_of
        UNION
        SELECT answer.* FROM market.shortfall CROSS JOIN LATERAL (
            SELECT * FROM market.answer
            WHERE answer.symbol = shortfall.symbol AND answer.interval = shortfall.interval
                AND answer.asked_at = shortfall.asked_at AND answer.request_id = shortfall.request_id
            LIMIT 1
        ) AS answer
    ),

    due AS (
        SELECT asked.symbol, asked.interval, asked.asked_at, asked.request_id, asked.told,
            coalesce(
                asked.covers_from, to_date(asked.month, 'YYYY-MM'),
                CASE WHEN asked.interval <> 'daily' THEN asked.asked_at - INTERVAL '40 days' END, '-infinity'
            ) - INTERVAL '1 hour' AS since
        FROM asked WHERE asked.told > 0
    ),

    -- The history of years is not read for the sake of a backfill: of its answers each is looked up by its id.
    series AS (
        SELECT symbol, interval, min(since) AS since
        FROM due WHERE interval = 'daily' OR since >= as_of - INTERVAL '8 days'
        GROUP BY symbol, interval
    ),

    telling AS (
        SELECT series.symbol, series.interval, by_request.request_id, by_request.kept
        FROM series CROSS JOIN LATERAL (
            SELECT revision.request_id, count(*) AS kept FROM market.bar_revision AS revision
            WHERE revision.symbol = series.symbol AND revision.interval = series.interval
                AND revision.bar_time >= series.since
            GROUP BY revision.request_id
        ) AS by_request
    ),

    short AS (
        SELECT due.symbol, due.interval, due.asked_at, due.request_id, due.told
        FROM due LEFT JOIN telling USING (symbol, interval, request_id)
        WHERE coalesce(telling.kept, 0) < due.told AND due.since >= coalesce(
            (
                SELECT max(export.month) + INTERVAL '1 month' FROM market.export
                WHERE export.parent = 'bar_revision' AND export.dropped_at IS NOT NULL
            ),
            '-infinity'
        )
    ),

    -- A short answer of a symbol that hardly trades may reach further back than was looked. What reaches into a month
    -- that has left the database may have told bars of it.
    counted AS MATERIALIZED (
        SELECT short.symbol, short.interval, short.asked_at, short.request_id, short.told,
            in_history.kept + in_quarantine.kept AS kept
        FROM short CROSS JOIN LATERAL (
            SELECT count(*) AS kept FROM market.bar_revision AS revision
            WHERE revision.symbol = short.symbol AND revision.interval = short.interval
                AND revision.request_id = short.request_id
        ) AS in_history
        CROSS JOIN LATERAL (
            SELECT count(*) AS kept FROM market.quarantine
            WHERE quarantine.request_id = short.request_id AND quarantine.replay_fate IS NULL
        ) AS in_quarantine
    ),

    mended AS (
        DELETE FROM market.shortfall AS old
        WHERE old.asked_at < as_of - INTERVAL '30 days' OR NOT EXISTS (
            SELECT FROM counted
            WHERE counted.kept < counted.told AND (counted.symbol, counted.interval, counted.asked_at, counted.request_id)
                = (old.symbol, old.interval, old.asked_at, old.request_id)
        )
    )

    INSERT INTO market.shortfall AS old (symbol, interval, asked_at, request_id, told, kept)
    SELECT symbol, interval, asked_at, request_id, told, kept FROM counted
    WHERE kept < told AND asked_at >= as_of - INTERVAL '30 days'
    ON CONFLICT ON CONSTRAINT shortfall_pkey DO UPDATE SET told = excluded.told, kept = excluded.kept
    WHERE (old.told, old.kept) IS DISTINCT FROM (excluded.told, excluded.kept);

    -- What an answer tells is looked up by its id, and of each bar the telling before it.
    INSERT INTO market.revision_jump (
        symbol, interval, bar_time, request_id, asked_at, percent, before_close, after_close
    )
    SELECT answer.symbol, answer.interval, telling.bar_time, telling.request_id, answer.asked_at,
        round(100 * jump.share, 2), before.close, telling.close
    FROM market.answer
    CROSS JOIN LATERAL (
        SELECT * FROM market.bar_revision AS revision
        WHERE revision.request_id = answer.request_id AND revision.symbol = answer.symbol
            AND revision.interval = answer.interval AND revision.is_final
            AND revision.bar_time < answer.asked_at
            AND revision.bar_time >= coalesce(answer.covers_from, '-infinity') - INTERVAL '1 day'
        OFFSET 0
    ) AS telling
    CROSS JOIN LATERAL (
        SELECT * FROM market.bar_revision AS revision
        WHERE revision.symbol = telling.symbol AND revision.interval = telling.interval
            AND revision.bar_time = telling.bar_time
            AND (revision.fetched_at, revision.request_id) < (telling.fetched_at, telling.request_id)
        ORDER BY revision.fetched_at DESC, revision.request_id DESC LIMIT 1
    ) AS before
    CROSS JOIN LATERAL (
        SELECT max(abs(price.after / price.before - 1)) AS share FROM (VALUES
            (before.open, telling.open), (before.high, telling.high),
            (before.low, telling.low), (before.close, telling.close)
        ) AS price (before, after)
    ) AS jump
    WHERE answer.recorded_at >= seen AND answer.asked_at >= as_of - INTERVAL '30 days' AND answer.told > 0
        AND before.is_final AND jump.share > 0.005
    ON CONFLICT ON CONSTRAINT revision_jump_pkey DO NOTHING;

    RETURN audited;
END
$$;
COMMENT ON FUNCTION market.audit IS
'Accounts for the bars that sessions should have, as of an instant of market time; returns how many it looked at.';
REVOKE EXECUTE ON FUNCTION market.audit FROM public;
GRANT EXECUTE ON FUNCTION market.audit TO market_pulse_auditor;
