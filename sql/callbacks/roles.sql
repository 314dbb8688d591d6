-- The accounts and what each may do at all. Roles belong to the cluster, so this runs before every set of migrations
-- and can run again; passwords are set by the schema role of Ansible and never stand here.
DO $$
DECLARE
    role_name text;
    table_name regclass;
    function_name regprocedure;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[
        'market_pulse_owner', 'market_pulse_writer', 'market_pulse_keeper', 'market_pulse_auditor', 'bi_reader',
        'market_pulse_monitor', 'market_pulse_replicator', 'market_pulse_web'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I', role_name);
        END IF;
    END LOOP;
    EXECUTE format('ALTER DATABASE %I OWNER TO market_pulse_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I'
        ' TO market_pulse_writer, market_pulse_keeper, market_pulse_auditor, bi_reader, market_pulse_monitor,'
        ' market_pulse_web',
        current_database()
    );
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO market_pulse_writer, market_pulse_keeper', current_database());
    -- market-pulse replay and rebuild fill schemas of the keeper's own with what the stored bars are compared with.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO market_pulse_keeper', current_database());
    -- Partitions that a superuser made in an earlier release.
    FOR table_name IN
        SELECT oid::regclass FROM pg_class
        WHERE relnamespace = to_regnamespace('market') AND relkind IN ('r', 'p')
            AND relowner <> 'market_pulse_owner'::regrole
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO market_pulse_owner', table_name);
    END LOOP;
    -- That a topic has one consumer is such a lock: whoever may take it could keep the consumer out.
    FOR function_name IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_(xact_)?lock'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function_name);
    END LOOP;
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_try_advisory_lock(integer, integer) TO market_pulse_writer;
END
$$;

ALTER ROLE market_pulse_owner NOLOGIN;

ALTER ROLE market_pulse_writer LOGIN CONNECTION LIMIT 40;
ALTER ROLE market_pulse_writer SET search_path = 'market';

-- Exporting a month takes longer than a minute, and says so itself.
ALTER ROLE market_pulse_keeper LOGIN CONNECTION LIMIT 5;
ALTER ROLE market_pulse_keeper SET search_path = 'market';
ALTER ROLE market_pulse_keeper SET statement_timeout = '60s';
ALTER ROLE market_pulse_keeper SET lock_timeout = '5s';
ALTER ROLE market_pulse_keeper SET idle_in_transaction_session_timeout = '60s';

ALTER ROLE market_pulse_auditor LOGIN CONNECTION LIMIT 5;
ALTER ROLE market_pulse_auditor SET search_path = 'market';
ALTER ROLE market_pulse_auditor SET statement_timeout = '60s';
ALTER ROLE market_pulse_auditor SET lock_timeout = '5s';
ALTER ROLE market_pulse_auditor SET idle_in_transaction_session_timeout = '60s';

-- The worst report may cost one minute of one backend, and never an open transaction that holds vacuum back.
ALTER ROLE bi_reader LOGIN CONNECTION LIMIT 20;
ALTER ROLE bi_reader SET search_path = 'bi';
ALTER ROLE bi_reader SET default_transaction_read_only = 'on';
ALTER ROLE bi_reader SET statement_timeout = '60s';
ALTER ROLE bi_reader SET lock_timeout = '5s';
ALTER ROLE bi_reader SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE bi_reader SET idle_session_timeout = '8h';
ALTER ROLE bi_reader SET work_mem = '32MB';

ALTER ROLE market_pulse_monitor LOGIN CONNECTION LIMIT 5;
ALTER ROLE market_pulse_monitor SET search_path = 'market';
ALTER ROLE market_pulse_monitor SET default_transaction_read_only = 'on';
ALTER ROLE market_pulse_monitor SET statement_timeout = '10s';
ALTER ROLE market_pulse_monitor SET lock_timeout = '2s';
ALTER ROLE market_pulse_monitor SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE market_pulse_monitor SET idle_session_timeout = '5min';
-- Which WAL waits to be archived; pg_monitor may look at much more.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_archive_statusdir() TO market_pulse_monitor;

-- It copies the whole server for a standby, and enters no database: pg_hba.conf lets it in for nothing else.
ALTER ROLE market_pulse_replicator LOGIN REPLICATION CONNECTION LIMIT 10;

-- A page asks for a chart at a time; what takes longer nobody waits for.
ALTER ROLE market_pulse_web LOGIN CONNECTION LIMIT 10;
ALTER ROLE market_pulse_web SET search_path = 'market';
ALTER ROLE market_pulse_web SET default_transaction_read_only = 'on';
ALTER ROLE market_pulse_web SET statement_timeout = '5s';
ALTER ROLE market_pulse_web SET lock_timeout = '2s';
ALTER ROLE market_pulse_web SET idle_in_transaction_session_timeout = '10s';
