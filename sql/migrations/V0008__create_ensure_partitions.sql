-- A month's partition is filled from the default partition before it is attached: PostgreSQL refuses to attach a
-- partition while the default one holds rows of its range.
CREATE FUNCTION market.add_month(parent regclass, month timestamptz) RETURNS text
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    parent_name CONSTANT text := (SELECT relname FROM pg_class WHERE oid = parent);
    partition_name CONSTANT text := parent_name || to_char(month, '"_"YYYY"_"MM');
    until CONSTANT timestamptz := month + INTERVAL '1 month';
BEGIN
    IF to_regclass(format('market.%I', partition_name)) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE TABLE market.%I (LIKE %s INCLUDING ALL)', partition_name, parent);
    EXECUTE format('LOCK TABLE market.%I IN ACCESS EXCLUSIVE MODE', parent_name || '_default');
    EXECUTE format(
        'WITH moved AS (DELETE FROM market.%I WHERE bar_time >= %L AND bar_time < %L RETURNING *)'
        ' INSERT INTO market.%I SELECT * FROM moved',
        parent_name || '_default', month, until, partition_name
    );
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION market.%I FOR VALUES FROM (%L) TO (%L)', parent, partition_name, month, until
    );
    RETURN partition_name;
END
$$;

CREATE FUNCTION market.ensure_partitions(since timestamptz, until timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    parent regclass;
    month timestamptz;
    created text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['market.bar', 'market.bar_revision']::regclass[] LOOP
        FOR month IN EXECUTE format(
            'SELECT generate_series(date_trunc(''month'', $1), $2, INTERVAL ''1 month'')'
            ' UNION SELECT date_trunc(''month'', bar_time) FROM %s_default ORDER BY 1', parent
        ) USING since, until LOOP
            created := market.add_month(parent, month);
            IF created IS NOT NULL THEN
                RETURN NEXT created;
            END IF;
        END LOOP;
    END LOOP;
END
$$;

COMMENT ON FUNCTION market.ensure_partitions IS
'Makes the monthly partitions of a span, and of every month that the default partitions hold; returns the new ones.';
