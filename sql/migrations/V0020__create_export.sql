CREATE TABLE market.export (
    parent text COLLATE "C" NOT NULL,
    month date NOT NULL,
    part integer NOT NULL,
    file text NOT NULL,
    row_count bigint NOT NULL,
    content text COLLATE "C" NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    verified_at timestamptz NOT NULL DEFAULT now(),
    dropped_at timestamptz,
    mark text COLLATE "C",
    CONSTRAINT export_pkey PRIMARY KEY (parent, month, part),
    CONSTRAINT parent_known CHECK (parent IN ('bar', 'bar_revision')),
    CONSTRAINT month_is_its_first_day CHECK (month = date_trunc('month', month))
);
COMMENT ON TABLE market.export IS
'Months that were written to files and read back; the file is the only copy where dropped_at is set.';
COMMENT ON COLUMN market.export.part IS
'A month that got bars after it had been exported is exported again, as its next part.';
COMMENT ON COLUMN market.export.file IS 'In the folder export of the upkeep unit''s state directory.';
COMMENT ON COLUMN market.export.content IS 'Of the rows: see market.content_of.';
COMMENT ON COLUMN market.export.sha256 IS 'Of the file.';
COMMENT ON COLUMN market.export.verified_at IS 'When the file was found to hold exactly the rows of the month.';
COMMENT ON COLUMN market.export.mark IS
'Of the rows when they were last found to be those of the file: see market.mark_of.';
COMMENT ON COLUMN market.export.dropped_at IS 'When the month left the database.';
GRANT SELECT ON market.export TO market_pulse_monitor;
GRANT INSERT (parent, month, part, file, row_count, content, sha256) ON market.export TO market_pulse_keeper;

-- Each row as text with its fields parted by U+001F: numbers without trailing zeros, times in microseconds since 1970.
-- Its SHA-256 begins with two whole numbers; their sums over all rows do not depend on the order of the rows.
-- market_pulse.upkeep.content says the same of a file.
CREATE FUNCTION market.content_of(
    parent text, month date, OUT row_count bigint, OUT content text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = 'market', 'pg_temp' SET timezone = 'UTC' AS $$
DECLARE
    extra CONSTANT text := CASE parent
        WHEN 'bar_revision' THEN ', (extract(epoch from recorded_at) * 1000000)::bigint'
            ', coalesce(partition::text, ''''), coalesce(record_offset::text, '''')'
        ELSE ''
    END;
BEGIN
    EXECUTE format(
        $query$
        SELECT count(*), coalesce(sum(('x' || left(digest, 16))::bit(64)::bigint), 0)::text
            || ' ' || coalesce(sum(('x' || substr(digest, 17, 16))::bit(64)::bigint), 0)::text
        FROM %I CROSS JOIN LATERAL encode(sha256(convert_to(concat_ws(
            U&'\001F', symbol, interval, (extract(epoch from bar_time) * 1000000)::bigint,
            trim_scale(open), trim_scale(high), trim_scale(low), trim_scale(close), volume, is_final,
            source, request_id, (extract(epoch from fetched_at) * 1000000)::bigint %s
        ), 'UTF8')), 'hex') AS digest
        $query$,
        market.leaf_of(parent, month), extra
    ) INTO row_count, content;
END
$$;
COMMENT ON FUNCTION market.content_of IS
'How many rows a month of market.bar or market.bar_revision has, and what they hold.';

-- What was written since has a later transaction and so a greater sum, what was deleted has left the count.
CREATE FUNCTION market.mark_of(parent text, month date) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = 'market', 'pg_temp' AS $$
DECLARE
    mark text;
BEGIN
    EXECUTE format(
        $query$SELECT count(*) || ' ' || coalesce(sum(xmin::text::bigint), 0) FROM %I$query$,
        market.leaf_of(parent, month)
    ) INTO mark;
    RETURN mark;
END
$$;
COMMENT ON FUNCTION market.mark_of IS
'What changes with every change of a month''s rows, and is sooner read than they are.';

-- A file is the only copy of its rows, so the newest bar's month and the one before it stay whatever the edge.
CREATE FUNCTION market.months_before(edge timestamptz) RETURNS TABLE (parent text, month date)
LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
    SELECT parent.relname, to_date(right(leaf.relname, 7), 'YYYY_MM')
    FROM pg_inherits
    INNER JOIN pg_class AS parent ON pg_inherits.inhparent = parent.oid
    INNER JOIN pg_class AS leaf ON pg_inherits.inhrelid = leaf.oid
    CROSS JOIN (SELECT max(bar_time) AS bar_time FROM market.latest_bar) AS newest
    WHERE parent.oid IN ('market.bar'::regclass, 'market.bar_revision'::regclass)
        AND leaf.relname ~ '_[0-9]{4}_[0-9]{2}$'
        AND to_date(right(leaf.relname, 7), 'YYYY_MM') + INTERVAL '1 month' <= edge
        AND to_date(right(leaf.relname, 7), 'YYYY_MM') + INTERVAL '2 months' <= date_trunc('month', newest.bar_time)
    ORDER BY 2, 1
$$;
COMMENT ON FUNCTION market.months_before IS
'The months with a partition of their own that end no later than an instant, and may be dropped.';

CREATE FUNCTION market.verify_export(parent text, month date, part integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = 'market', 'pg_temp' SET timezone = 'UTC' AS $$
BEGIN
    UPDATE market.export SET mark = found.mark, verified_at = now()
    FROM (
        SELECT stored.row_count, stored.content, market.mark_of(verify_export.parent, verify_export.month) AS mark
        FROM market.content_of(verify_export.parent, verify_export.month) AS stored
    ) AS found
    WHERE export.parent = verify_export.parent AND export.month = verify_export.month
        AND export.part = verify_export.part AND export.dropped_at IS NULL
        AND (export.row_count, export.content) = (found.row_count, found.content);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'part % of % is not what the month holds', part, market.leaf_of(parent, month)
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END
$$;
COMMENT ON FUNCTION market.verify_export IS
'Compares a month with the account of its file, for as long as it takes; nobody waits for it.';

-- A revision of that month waits while its rows are counted, which takes a moment; whoever reads waits for the last
-- step alone, and not long.
CREATE FUNCTION market.drop_month(parent text, month date, part integer, edge timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = 'market', 'pg_temp' SET timezone = 'UTC' SET lock_timeout = '500ms' AS $$
DECLARE
    leaf CONSTANT text := market.leaf_of(parent, month);
    verified CONSTANT text := CASE WHEN part IS NULL THEN '0 0' ELSE (
        SELECT export.mark FROM market.export
        WHERE export.parent = drop_month.parent AND export.month = drop_month.month AND export.part = drop_month.part
            AND export.dropped_at IS NULL
    ) END;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'market.drop_month looks at the rows under its lock: BEGIN ISOLATION LEVEL READ COMMITTED';
    END IF;
    IF (parent, month) NOT IN (SELECT months.parent, months.month FROM market.months_before(edge) AS months) THEN
        RAISE EXCEPTION '% is not a month that may be dropped', leaf;
    END IF;
    EXECUTE format('LOCK TABLE market.%I IN SHARE MODE', leaf);
    IF market.mark_of(parent, month) IS DISTINCT FROM verified THEN
        RAISE EXCEPTION '% is not what part % was verified to be: nothing is dropped', leaf, part
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('ALTER TABLE market.%I DETACH PARTITION market.%I', parent, leaf);
    EXECUTE format('DROP TABLE market.%I', leaf);
    UPDATE market.export SET dropped_at = now()
    WHERE export.parent = drop_month.parent AND export.month = drop_month.month AND export.part = drop_month.part;
END
$$;
COMMENT ON FUNCTION market.drop_month IS
'Drops a month that ended before the edge and whose rows are those of its verified part; without a part, an empty one.';

REVOKE EXECUTE ON FUNCTION market.content_of, market.mark_of, market.verify_export, market.drop_month FROM public;
GRANT EXECUTE ON FUNCTION market.content_of, market.verify_export, market.drop_month TO market_pulse_keeper;
