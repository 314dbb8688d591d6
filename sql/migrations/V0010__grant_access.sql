-- The writer adds and revises; it deletes nothing and changes no object.
GRANT USAGE ON SCHEMA market TO market_pulse_writer;
GRANT SELECT, INSERT, UPDATE ON market.bar, market.bar_revision, market.latest_bar, market.stream_position
TO market_pulse_writer;
GRANT SELECT, INSERT ON market.quarantine, market.batch TO market_pulse_writer;

GRANT USAGE ON SCHEMA bi TO bi_reader;
GRANT SELECT ON bi.events_stream TO bi_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA bi GRANT SELECT ON TABLES TO bi_reader;

GRANT USAGE ON SCHEMA market TO market_pulse_monitor;
GRANT SELECT ON market.bar, market.latest_bar, market.stream_position, market.batch TO market_pulse_monitor;
-- The raw key and value may hold anything that anyone sent.
GRANT SELECT (topic_id, partition, log_epoch, record_offset, topic, reason, detail, recorded_at)
ON market.quarantine TO market_pulse_monitor;

REVOKE EXECUTE ON FUNCTION market.accept_position, market.add_month, market.ensure_partitions FROM public;
