CREATE INDEX answer_recorded ON market.answer (recorded_at);
CREATE INDEX answer_beside_short_polls ON market.answer (symbol, interval, asked_at)
WHERE cause <> 'poll' OR covers_until - covers_from > '2 days'::interval;

-- The newest session is always audited, others when something about them may have changed since `seen`, or when they
-- have another number of bars than the account says: the two before it every time, those of `again` whatever their age.
-- A deep audit takes in all of the last month that is still open, and counts again where bars are missing.
CREATE FUNCTION market.sessions_to_audit(as_of timestamptz, seen timestamptz, deep boolean, again date[])
RETURNS TABLE (symbol text, "interval" text, trading_date date) -- noqa: RF06
LANGUAGE sql STABLE AS $$
    WITH started AS (
        SELECT session.exchange, session.trading_date, session.day_start, session.close,
            row_number() OVER (PARTITION BY session.exchange ORDER BY session.trading_date DESC) AS age
        FROM market.session
        WHERE session.open <= as_of AND session.open > as_of - INTERVAL '30 days'
    ),

    recent AS (
        SELECT * FROM market.completeness WHERE completeness.trading_date > (as_of - INTERVAL '31 days')::date
    ),

    touched AS (
        SELECT word.symbol, word.interval, range_agg(word.span) AS spans
        FROM (
            SELECT answer.symbol, answer.interval, tstzrange(answer.covers_from, answer.covers_until) AS span
            FROM market.answer
            WHERE answer.recorded_at >= seen AND answer.covers_from < answer.covers_until
            UNION ALL
            SELECT deletion.symbol, deletion.interval, tstzrange(deletion.bar_time, deletion.bar_time, '[]')
            FROM market.deletion
            WHERE deletion.deleted_at >= seen
            UNION ALL
            SELECT halt.symbol, series.interval, tstzrange(halt.since, halt.until)
            FROM market.halt INNER JOIN market.series USING (symbol)
            WHERE halt.entered_at >= seen
        ) AS word
        GROUP BY word.symbol, word.interval
    ),

    counted AS (
        SELECT expected.symbol, expected.interval, expected.trading_date, sum(found.bars) AS bars
        FROM market.series_session AS expected CROSS JOIN LATERAL (
            SELECT count(*) AS bars FROM market.bar
            WHERE bar.symbol = expected.symbol AND bar.interval = expected.interval AND bar.is_final
                AND bar.bar_time BETWEEN expected.first_bar AND expected.last_bar
        ) AS found
        WHERE expected.open <= as_of AND expected.trading_date = ANY (
            again || ARRAY(
                SELECT started.trading_date FROM started WHERE started.age IN (2, 3)
                UNION
                SELECT completeness.trading_date FROM market.completeness WHERE deep AND completeness.missing > 0
            )
        )
        GROUP BY expected.symbol, expected.interval, expected.trading_date
    )

    SELECT series.symbol, series.interval, started.trading_date
    FROM market.series INNER JOIN started USING (exchange)
    LEFT JOIN recent USING (symbol, interval, trading_date)
    WHERE started.age = 1
        OR recent.pending > 0
        OR deep AND (
            recent.expected IS NULL
            OR recent.quota + recent.outage + recent.vendor_missing + recent.halt + recent.halt_inferred
            + recent.quarantined > 0
        )
    UNION
    SELECT touched.symbol, touched.interval, started.trading_date
    FROM touched INNER JOIN market.series USING (symbol, interval)
    INNER JOIN started ON series.exchange = started.exchange
        AND touched.spans && tstzrange(started.day_start, started.close)
    UNION
    SELECT counted.symbol, counted.interval, counted.trading_date
    FROM counted
    WHERE counted.bars IS DISTINCT FROM (
        SELECT completeness.stored FROM market.completeness
        WHERE completeness.symbol = counted.symbol AND completeness.interval = counted.interval
            AND completeness.trading_date = counted.trading_date
    )
$$;
COMMENT ON FUNCTION market.sessions_to_audit IS 'The series and sessions that market.audit looks at.';

-- The planner takes each set computed on the way for a single row, and would look through them all for each other's
-- rows; LATERAL stays a loop. What it then believes to be dear it must not compile.
CREATE FUNCTION market.audit_sessions(
    as_of timestamptz, grace interval, seen timestamptz, deep boolean, again date[]
)
RETURNS integer
LANGUAGE plpgsql SET enable_nestloop = 'off' SET jit = 'off' AS $$
DECLARE
    audited integer;
BEGIN
    WITH part AS (
        SELECT series_session.* FROM market.sessions_to_audit(as_of, seen, deep, again) AS work
        INNER JOIN market.series_session USING (symbol, interval, trading_date)
        -- The account of what has left the database is closed.
        WHERE date_trunc('month', series_session.first_bar AT TIME ZONE 'UTC') NOT IN (
            SELECT export.month FROM market.export WHERE export.parent = 'bar' AND export.dropped_at IS NOT NULL
        )
    ),

    scanned AS MATERIALIZED (
        SELECT part.symbol, part.interval, part.trading_date, part.open, part.close, part.step, part.due_after,
            part.bars, part.last_bar, scan.stored, scan.absent
        FROM part CROSS JOIN LATERAL (
            SELECT
                count(bar.bar_time) AS stored,
                array_agg(slot.bar_time) FILTER (WHERE bar.bar_time IS NULL) AS absent
            FROM generate_series(part.first_bar, least(part.last_bar, as_of), part.step) AS slot (bar_time)
            LEFT JOIN (
                SELECT known.bar_time FROM market.bar AS known
                WHERE known.symbol = part.symbol AND known.interval = part.interval AND known.is_final
                    AND known.bar_time BETWEEN part.first_bar AND part.last_bar
            ) AS bar ON slot.bar_time = bar.bar_time
        ) AS scan
    ),

    -- More than one part only where the series was configured anew within the session.
    total AS (
        SELECT symbol, interval, trading_date, sum(bars) AS expected, sum(stored) AS stored, max(last_bar) AS last_bar
        FROM scanned GROUP BY symbol, interval, trading_date
    ),

    absent AS MATERIALIZED (
        SELECT scanned.symbol, scanned.interval, scanned.trading_date, scanned.open, scanned.close, scanned.step,
            slot.bar_time, slot.bar_time + scanned.due_after > as_of - grace AS is_pending
        FROM scanned CROSS JOIN LATERAL unnest(scanned.absent) AS slot (bar_time)
    ),

    concerned AS MATERIALIZED (
        SELECT symbol, interval, trading_date, min(bar_time) AS first_bar, max(bar_time) AS last_bar
        FROM absent WHERE NOT is_pending GROUP BY symbol, interval, trading_date
    ),

    asked AS MATERIALIZED (
        SELECT concerned.symbol, concerned.interval, concerned.trading_date,
            coalesce(spoken.bars, '{}') - (coalesce(lost.bars, '{}') - coalesce(spoken.whole_bars, '{}')) AS covered,
            word.refusal = 'quota' AS is_quota, word.asked_at AS last_asked_at
        FROM concerned CROSS JOIN LATERAL (
            SELECT
                range_agg(tstzrange(answer.covers_from, answer.covers_until)) AS bars,
                -- These told all that they hold, and not just what had not been told before.
                range_agg(tstzrange(answer.covers_from, answer.covers_until)) FILTER (
                    WHERE answer.told >= answer.row_count OR answer.cause <> 'poll' AND answer.told > 0
                ) AS whole_bars
            FROM (
                SELECT * FROM market.answer
                WHERE answer.symbol = concerned.symbol AND answer.interval = concerned.interval
                    AND answer.asked_at BETWEEN concerned.first_bar AND concerned.last_bar + INTERVAL '3 days'
                UNION ALL
                SELECT * FROM market.answer
                WHERE answer.symbol = concerned.symbol AND answer.interval = concerned.interval
                    AND answer.asked_at > concerned.last_bar + INTERVAL '3 days'
                    AND (answer.cause <> 'poll' OR answer.covers_until - answer.covers_from > INTERVAL '2 days')
            ) AS answer
            WHERE answer.covers_from < answer.covers_until
                AND answer.covers_from <= concerned.last_bar AND answer.covers_until > concerned.first_bar
        ) AS spoken
        -- What was told in vain, and is not told again: between the last answer before a loss and the first after it.
        CROSS JOIN LATERAL (
            SELECT range_agg(tstzrange(before.covers_until, after.covers_until)) AS bars
            FROM market.lost_range
            LEFT JOIN LATERAL (
                SELECT answer.covers_until FROM market.answer
                WHERE answer.symbol = concerned.symbol AND answer.interval = concerned.interval
                    AND answer.recorded_at <= lost_range.found_at AND answer.covers_until IS NOT NULL
                ORDER BY answer.recorded_at DESC, answer.asked_at DESC LIMIT 1
            ) AS before ON true
            CROSS JOIN LATERAL (
                SELECT answer.covers_until FROM market.answer
                WHERE answer.symbol = concerned.symbol AND answer.interval = concerned.interval
                    AND answer.recorded_at > lost_range.found_at
                    AND answer.covers_until > coalesce(before.covers_until, '-infinity')
                ORDER BY answer.recorded_at, answer.asked_at LIMIT 1
            ) AS after
            WHERE lost_range.partition = coalesce(
                (
                    SELECT telling.partition FROM market.bar_revision AS telling
                    WHERE telling.symbol = concerned.symbol AND telling.interval = concerned.interval
                    ORDER BY telling.bar_time DESC LIMIT 1
                ),
                lost_range.partition
            )
        ) AS lost
        LEFT JOIN LATERAL (
            SELECT answer.refusal, answer.asked_at FROM market.answer
            WHERE answer.symbol = concerned.symbol AND answer.interval = concerned.interval
                AND answer.asked_at <= as_of
            ORDER BY answer.asked_at DESC, answer.request_id DESC LIMIT 1
        ) AS word ON true
    ),

    in_quarantine AS MATERIALIZED (
        SELECT concerned.symbol, concerned.interval, rejected.bar_time
        FROM concerned CROSS JOIN LATERAL (
            SELECT DISTINCT quarantine.bar_time FROM market.quarantine
            WHERE quarantine.symbol = concerned.symbol AND quarantine.interval = concerned.interval
                AND quarantine.bar_time BETWEEN concerned.first_bar AND concerned.last_bar
                AND quarantine.replay_fate IS NULL
        ) AS rejected
    ),

    -- What the account said before: bars that it counted as stored and that are not there now left no other trace.
    remembered AS MATERIALIZED (
        SELECT total.symbol, total.interval, total.trading_date, before.runs, before.missing,
            account.expected = total.expected AND account.pending = 0 AND account.stored > total.stored AS has_fewer
        FROM total CROSS JOIN LATERAL (
            SELECT completeness.expected, completeness.pending, completeness.stored FROM market.completeness
            WHERE completeness.symbol = total.symbol AND completeness.interval = total.interval
                AND completeness.trading_date = total.trading_date
            LIMIT 1
        ) AS account
        CROSS JOIN LATERAL (
            SELECT
                range_agg(tstzrange(absence.since, absence.until)) AS runs,
                range_agg(tstzrange(absence.since, absence.until)) FILTER (WHERE absence.reason = 'missing') AS missing
            FROM market.absence
            WHERE absence.symbol = total.symbol AND absence.interval = total.interval
                AND absence.trading_date = total.trading_date
        ) AS before
    ),

    -- LATERAL with LIMIT looks every key up by its index.
    judged AS MATERIALIZED (
        SELECT absent.symbol, absent.interval, absent.trading_date, absent.step, absent.bar_time,
            CASE
                WHEN told.found OR removed.found
                    OR absent.bar_time <@ remembered.missing
                    OR remembered.has_fewer AND (absent.bar_time <@ remembered.runs) IS NOT TRUE
                    THEN 'missing'
                WHEN in_quarantine.bar_time IS NOT NULL THEN 'quarantined'
                WHEN absent.is_pending THEN 'pending'
                WHEN absent.bar_time <@ asked.covered THEN CASE WHEN halted.found THEN 'halt' ELSE 'silent' END
                WHEN asked.is_quota AND asked.last_asked_at >= absent.bar_time THEN 'quota'
                ELSE 'outage'
            END AS reason
        FROM absent
        LEFT JOIN asked USING (symbol, interval, trading_date)
        LEFT JOIN in_quarantine USING (symbol, interval, bar_time)
        LEFT JOIN remembered USING (symbol, interval, trading_date)
        LEFT JOIN LATERAL (
            SELECT true AS found FROM market.bar_revision AS telling
            WHERE telling.symbol = absent.symbol AND telling.interval = absent.interval
                AND telling.bar_time = absent.bar_time AND telling.is_final
            LIMIT 1
        ) AS told ON true
        LEFT JOIN LATERAL (
            SELECT true AS found FROM market.deletion
            WHERE deletion.symbol = absent.symbol AND deletion.interval = absent.interval
                AND deletion.bar_time = absent.bar_time AND deletion.is_final AND deletion.superseded_at IS NULL
            LIMIT 1
        ) AS removed ON true
        LEFT JOIN LATERAL (
            SELECT true AS found FROM market.halt
            WHERE halt.symbol = absent.symbol AND CASE absent.interval
                WHEN 'daily' THEN halt.since <= absent.open AND coalesce(halt.until, 'infinity') >= absent.close
                ELSE halt.since < absent.bar_time + absent.step
                    AND coalesce(halt.until, 'infinity') > absent.bar_time
            END
            LIMIT 1
        ) AS halted ON true
    ),

    -- Bars in a row with one reason share the start of the run that this difference tells.
    run AS (
        SELECT symbol, interval, trading_date, reason, step,
            min(bar_time) AS since, max(bar_time) AS last_bar, count(*) AS bars
        FROM (
            SELECT judged.*, judged.bar_time - judged.step * row_number() OVER (
                PARTITION BY judged.symbol, judged.interval, judged.trading_date, judged.reason ORDER BY judged.bar_time
            ) AS start
            FROM judged
        ) AS placed
        GROUP BY symbol, interval, trading_date, reason, step, start
    ),

    explained AS MATERIALIZED (
        SELECT run.symbol, run.interval, run.trading_date, run.since, run.last_bar + run.step AS until, run.bars,
            CASE
                WHEN run.reason <> 'silent' THEN run.reason
                WHEN run.bars = total.expected
                    OR run.last_bar = total.last_bar AND run.bars * run.step >= INTERVAL '30 minutes'
                    THEN 'vendor_missing'
                WHEN run.bars * run.step >= INTERVAL '5 minutes' AND total.stored > 0
                    AND total.stored >= 0.9 * (total.stored + due.absent - run.bars)
                    THEN 'halt_inferred'
                ELSE 'no_trade'
            END AS reason
        FROM run
        INNER JOIN total USING (symbol, interval, trading_date)
        INNER JOIN (
            SELECT symbol, interval, trading_date, count(*) AS absent
            FROM judged WHERE reason <> 'pending' GROUP BY symbol, interval, trading_date
        ) AS due USING (symbol, interval, trading_date)
        WHERE run.reason <> 'pending'
    ),

    counted AS (
        SELECT total.symbol, total.interval, total.trading_date, total.expected, total.stored,
            coalesce(sum(bars) FILTER (WHERE reason = 'no_trade'), 0) AS no_trade,
            coalesce(sum(bars) FILTER (WHERE reason = 'halt'), 0) AS halt,
            coalesce(sum(bars) FILTER (WHERE reason = 'halt_inferred'), 0) AS halt_inferred,
            coalesce(sum(bars) FILTER (WHERE reason = 'quota'), 0) AS quota,
            coalesce(sum(bars) FILTER (WHERE reason = 'outage'), 0) AS outage,
            coalesce(sum(bars) FILTER (WHERE reason = 'vendor_missing'), 0) AS vendor_missing,
            coalesce(sum(bars) FILTER (WHERE reason = 'quarantined'), 0) AS quarantined,
            coalesce(sum(bars) FILTER (WHERE reason = 'missing'), 0) AS missing
        FROM total LEFT JOIN explained USING (symbol, interval, trading_date)
        GROUP BY total.symbol, total.interval, total.trading_date, total.expected, total.stored
    ),

    -- Counted and not inferred from the rest, so that the table's CHECK has something to check.
    waiting AS (
        SELECT symbol, interval, trading_date, sum(bars) AS pending FROM (
            SELECT symbol, interval, trading_date, 1 AS bars FROM judged WHERE reason = 'pending'
            UNION ALL
            SELECT part.symbol, part.interval, part.trading_date, part.bars - count(slot.bar_time)
            FROM part LEFT JOIN LATERAL
                generate_series(part.first_bar, least(part.last_bar, as_of), part.step) AS slot (bar_time) ON true
            GROUP BY part.symbol, part.interval, part.trading_date, part.bars, part.first_bar
        ) AS waiting_bar
        GROUP BY symbol, interval, trading_date
    ),

    gone AS (
        DELETE FROM market.absence WHERE ctid = ANY (ARRAY(
            SELECT old.ctid FROM total CROSS JOIN LATERAL (
                SELECT absence.ctid, absence.since FROM market.absence
                WHERE absence.symbol = total.symbol AND absence.interval = total.interval
                    AND absence.trading_date = total.trading_date
                OFFSET 0
            ) AS old
            WHERE NOT EXISTS (
                SELECT FROM explained
                WHERE explained.symbol = total.symbol AND explained.interval = total.interval
                    AND explained.trading_date = total.trading_date AND explained.since = old.since
            )
        ))
    ),

    noted AS (
        INSERT INTO market.absence AS old (symbol, interval, trading_date, since, until, bars, reason)
        SELECT symbol, interval, trading_date, since, until, bars, reason FROM explained
        ON CONFLICT ON CONSTRAINT absence_pkey DO UPDATE SET
            until = excluded.until, bars = excluded.bars, reason = excluded.reason
        WHERE (old.until, old.bars, old.reason) IS DISTINCT FROM (excluded.until, excluded.bars, excluded.reason)
    ),

    written AS (
        INSERT INTO market.completeness AS old (
            symbol, interval, trading_date, expected, stored, no_trade, halt, halt_inferred,
            quota, outage, vendor_missing, pending, quarantined, missing
        )
        SELECT symbol, interval, trading_date, expected, stored, no_trade, halt, halt_inferred,
            quota, outage, vendor_missing, pending, quarantined, missing
        FROM counted INNER JOIN waiting USING (symbol, interval, trading_date)
        ON CONFLICT ON CONSTRAINT completeness_pkey DO UPDATE SET
            expected = excluded.expected, stored = excluded.stored, no_trade = excluded.no_trade,
            halt = excluded.halt, halt_inferred = excluded.halt_inferred, quota = excluded.quota,
            outage = excluded.outage, vendor_missing = excluded.vendor_missing, pending = excluded.pending,
            quarantined = excluded.quarantined, missing = excluded.missing
        WHERE old.* IS DISTINCT FROM excluded.*
    )

    SELECT count(*) INTO audited FROM total;
    RETURN audited;
END
$$;
COMMENT ON FUNCTION market.audit_sessions IS
'Accounts for the bars of the sessions that are to be audited; returns how many sessions of series these are.';
REVOKE EXECUTE ON FUNCTION market.audit_sessions, market.sessions_to_audit FROM public;
GRANT EXECUTE ON FUNCTION market.audit_sessions, market.sessions_to_audit TO market_pulse_auditor;
GRANT SELECT ON market.export TO market_pulse_auditor;
-- Never the raw key and value.
GRANT SELECT (request_id, symbol, interval, bar_time, replay_fate) ON market.quarantine TO market_pulse_auditor;
