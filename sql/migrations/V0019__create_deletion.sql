CREATE TABLE market.deletion (
    deletion_id bigint GENERATED ALWAYS AS IDENTITY,
    is_revision boolean NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    interval text COLLATE "C" NOT NULL,
    bar_time timestamptz NOT NULL,
    is_final boolean NOT NULL,
    fetched_at timestamptz NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_by text NOT NULL DEFAULT session_user,
    superseded_at timestamptz,
    CONSTRAINT deletion_pkey PRIMARY KEY (deletion_id)
);
CREATE INDEX deletion_of_bar ON market.deletion (symbol, interval, bar_time) WHERE superseded_at IS NULL;
CREATE INDEX deletion_recent ON market.deletion (deleted_at);

COMMENT ON TABLE market.deletion IS 'Each row that somebody removed from market.bar or market.bar_revision.';
COMMENT ON COLUMN market.deletion.is_revision IS 'It was removed from market.bar_revision, not from market.bar.';
COMMENT ON COLUMN market.deletion.deleted_by IS 'The account that was logged in.';
COMMENT ON COLUMN market.deletion.superseded_at IS 'When the row was seen to be back.';

-- Whoever deletes cannot write here himself.
CREATE FUNCTION market.note_deletion() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = 'market', 'pg_temp' AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format(
            'INSERT INTO market.deletion (is_revision, symbol, interval, bar_time, is_final, fetched_at, request_id)'
            ' SELECT %L, symbol, interval, bar_time, is_final, fetched_at, request_id FROM %s',
            TG_ARGV[0], TG_RELID::regclass
        );
    ELSE
        INSERT INTO market.deletion (is_revision, symbol, interval, bar_time, is_final, fetched_at, request_id)
        VALUES (
            TG_ARGV[0]::boolean, OLD.symbol, OLD.interval, OLD.bar_time, OLD.is_final, OLD.fetched_at, OLD.request_id
        );
    END IF;
    RETURN NULL;
END
$$;

-- The setting is market.attach_month's, which moves rows from table to table.
CREATE TRIGGER note_deletion AFTER DELETE ON market.bar
FOR EACH ROW WHEN (current_setting('market_pulse.moving_rows', TRUE) IS DISTINCT FROM 'on')
EXECUTE FUNCTION market.note_deletion('false');
CREATE TRIGGER note_deletion AFTER DELETE ON market.bar_revision
FOR EACH ROW WHEN (current_setting('market_pulse.moving_rows', TRUE) IS DISTINCT FROM 'on')
EXECUTE FUNCTION market.note_deletion('true');

-- TRUNCATE is seen by the partitions alone, and no partition inherits what sees it.
CREATE FUNCTION market.watch_truncate(parent regclass, leaf regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER note_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT'
        ' EXECUTE FUNCTION market.note_deletion(%L)',
        leaf, parent = 'market.bar_revision'::regclass
    );
END
$$;

SELECT market.watch_truncate(inhparent, inhrelid) FROM pg_inherits
WHERE inhparent IN ('market.bar'::regclass, 'market.bar_revision'::regclass);

DROP FUNCTION market.ensure_partitions(timestamptz, timestamptz);
DROP FUNCTION market.add_month(regclass, timestamptz);

CREATE FUNCTION market.leaf_of(parent text, month date) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT parent || to_char(month, '"_"YYYY"_"MM') $$;
COMMENT ON FUNCTION market.leaf_of IS 'The name of a month''s partition.';

CREATE FUNCTION market.is_partition(parent text, month date) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM pg_inherits
        WHERE inhrelid = to_regclass(format('market.%I', market.leaf_of(parent, month)))
            AND inhparent = to_regclass(format('market.%I', parent))
    )
$$;
COMMENT ON FUNCTION market.is_partition IS 'Whether a month has a partition of its own.';

-- Months are found, and moved, in the default partitions without a look at all the others.
CREATE INDEX bar_default_time ON market.bar_default (bar_time);
CREATE INDEX bar_revision_default_time ON market.bar_revision_default (bar_time);

CREATE FUNCTION market.months_in_default() RETURNS TABLE (parent text, month date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = 'market', 'pg_temp' SET timezone = 'UTC' AS $$
    WITH RECURSIVE held (parent, month) AS (
        SELECT 'bar'::text, date_trunc('month', min(bar_time)) FROM market.bar_default
        UNION ALL
        SELECT 'bar_revision'::text, date_trunc('month', min(bar_time)) FROM market.bar_revision_default
        UNION ALL
        SELECT
            held.parent,
            CASE held.parent
                WHEN 'bar' THEN (
                    SELECT date_trunc('month', min(bar_time)) FROM market.bar_default
                    WHERE bar_time >= held.month + INTERVAL '1 month'
                )
                ELSE (
                    SELECT date_trunc('month', min(bar_time)) FROM market.bar_revision_default
                    WHERE bar_time >= held.month + INTERVAL '1 month'
                )
            END
        FROM held
        WHERE held.month IS NOT NULL
    )

    SELECT held.parent, held.month::date FROM held WHERE held.month IS NOT NULL
$$;
COMMENT ON FUNCTION market.months_in_default IS 'The months of which the default partitions hold rows.';

CREATE FUNCTION market.months_to_add(since timestamptz, until timestamptz) RETURNS TABLE (parent text, month date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = 'market', 'pg_temp' SET timezone = 'UTC' AS $$
    SELECT parents.parent, months.month::date
    FROM (VALUES ('bar'), ('bar_revision')) AS parents (parent)
    CROSS JOIN generate_series(date_trunc('month', since), until, INTERVAL '1 month') AS months (month)
    WHERE NOT market.is_partition(parents.parent, months.month::date)
    ORDER BY months.month DESC, parents.parent DESC
$$;
COMMENT ON FUNCTION market.months_to_add IS 'The months of a span that have no partition of their own.';

-- The copy locks nothing that anybody waits for. Its comment is the oldest transaction that it may not have seen.
CREATE FUNCTION market.prepare_month(parent text, month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = 'market', 'pg_temp' SET timezone = 'UTC' AS $$
DECLARE
    leaf CONSTANT text := market.leaf_of(parent, month);
    unseen CONSTANT xid8 := pg_snapshot_xmin(pg_current_snapshot());
BEGIN
    IF parent NOT IN ('bar', 'bar_revision') OR market.is_partition(parent, month) THEN
        RAISE EXCEPTION '% has a partition of its own, or cannot have one', leaf;
    END IF;
    -- A run that was cut short leaves what is no partition yet.
    EXECUTE format('DROP TABLE IF EXISTS market.%I', leaf);
    EXECUTE format('CREATE TABLE market.%I (LIKE market.%I INCLUDING ALL)', leaf, parent);
    EXECUTE format(
        'INSERT INTO market.%I SELECT * FROM market.%I WHERE bar_time >= %L AND bar_time < %L',
        leaf, parent || '_default', month, month + INTERVAL '1 month'
    );
    EXECUTE format('COMMENT ON TABLE market.%I IS %L', leaf, unseen);
END
$$;
COMMENT ON FUNCTION market.prepare_month IS
'Copies what the default partition holds of a month, so that market.attach_month has little left to do.';

-- Whoever comes later waits for these locks, so they are not waited for long themselves: a report may hold them for its
-- length. The parent is locked first: who waits for the default partition alone has planned without the new one, writes
-- into the wrong one, which is refused, and reads too little.
CREATE FUNCTION market.attach_month(parent text, month date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = 'market', 'pg_temp' SET timezone = 'UTC' SET lock_timeout = '500ms' AS $$
DECLARE
    leaf CONSTANT text := market.leaf_of(parent, month);
    rest CONSTANT text := parent || '_default';
    until CONSTANT timestamp := month + INTERVAL '1 month';
    key CONSTANT text := CASE parent
        WHEN 'bar' THEN 'symbol, interval, bar_time'
        ELSE 'symbol, interval, bar_time, fetched_at, request_id'
    END;
    of_month CONSTANT text := format('bar_time >= %L AND bar_time < %L', month, until);
    uncopied text := of_month;
    moved bigint;
    arrived bigint;
BEGIN
    IF parent NOT IN ('bar', 'bar_revision') OR month <> date_trunc('month', month) THEN
        RAISE EXCEPTION '% cannot be a partition', leaf;
    END IF;
    IF market.is_partition(parent, month) THEN
        RETURN 0;
    END IF;
    IF to_regclass(format('market.%I', leaf)) IS NULL THEN
        EXECUTE format('CREATE TABLE market.%I (LIKE market.%I INCLUDING ALL)', leaf, parent);
    ELSE
        uncopied := of_month || format(
            ' AND age(xmin) <= age(%L::xid)', obj_description(format('market.%I', leaf)::regclass, 'pg_class')
        );
    END IF;
    EXECUTE format('LOCK TABLE ONLY market.%I IN ACCESS EXCLUSIVE MODE', parent);
    EXECUTE format('LOCK TABLE market.%I IN ACCESS EXCLUSIVE MODE', rest);
    EXECUTE format(
        'DELETE FROM market.%I WHERE (%s) IN (SELECT %s FROM market.%I WHERE %s)', leaf, key, key, rest, uncopied
    );
    EXECUTE format('INSERT INTO market.%I SELECT * FROM market.%I WHERE %s', leaf, rest, uncopied);
    PERFORM set_config('market_pulse.moving_rows', 'on', true);
    EXECUTE format('DELETE FROM market.%I WHERE %s', rest, of_month);
    GET DIAGNOSTICS moved = ROW_COUNT;
    PERFORM set_config('market_pulse.moving_rows', 'off', true);
    EXECUTE format('SELECT count(*) FROM market.%I', leaf) INTO arrived;
    IF arrived <> moved THEN
        RAISE EXCEPTION '% rows of % were deleted while they were copied: they are copied again next time',
            arrived - moved, leaf;
    END IF;
    EXECUTE format(
        'ALTER TABLE market.%I ATTACH PARTITION market.%I FOR VALUES FROM (%L) TO (%L)', parent, leaf, month, until
    );
    EXECUTE format('COMMENT ON TABLE market.%I IS NULL', leaf);
    PERFORM market.watch_truncate(format('market.%I', parent)::regclass, format('market.%I', leaf)::regclass);
    RETURN moved;
END
$$;
COMMENT ON FUNCTION market.attach_month IS
'Gives a month its partition, with what the default partition holds of it; returns how many rows these are.';

CREATE FUNCTION market.ensure_partitions(since timestamptz, until timestamptz) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    missing record;
BEGIN
    FOR missing IN
        SELECT parent, month FROM market.months_to_add(since, until)
        UNION SELECT parent, month FROM market.months_in_default()
        ORDER BY month, parent DESC
    LOOP
        PERFORM market.attach_month(missing.parent, missing.month);
        RETURN NEXT market.leaf_of(missing.parent, missing.month);
    END LOOP;
END
$$;
COMMENT ON FUNCTION market.ensure_partitions IS
'Makes the monthly partitions of a span, and of every month that the default partitions hold, all in one transaction; '
'market-pulse-upkeep makes them one by one.';

REVOKE EXECUTE ON FUNCTION market.note_deletion, market.watch_truncate, market.prepare_month, market.attach_month,
market.ensure_partitions, market.months_in_default FROM public;
GRANT EXECUTE ON FUNCTION market.months_in_default TO market_pulse_keeper, market_pulse_monitor;
GRANT EXECUTE ON FUNCTION market.prepare_month, market.attach_month TO market_pulse_keeper;
GRANT SELECT ON market.deletion TO market_pulse_monitor;
GRANT SELECT, UPDATE (superseded_at) ON market.deletion TO market_pulse_auditor;
