CREATE TABLE market.batch (
    run_id uuid NOT NULL,
    batch_id bigint NOT NULL,
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    log_epoch integer NOT NULL DEFAULT 0,
    from_offset bigint NOT NULL,
    until_offset bigint NOT NULL,
    received bigint NOT NULL,
    stored bigint NOT NULL,
    unchanged bigint NOT NULL,
    superseded bigint NOT NULL,
    quarantined bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT batch_pkey PRIMARY KEY (topic_id, partition, log_epoch, from_offset),
    CONSTRAINT batch_task_once UNIQUE (run_id, batch_id, topic_id, partition),
    CONSTRAINT batch_not_empty CHECK (until_offset > from_offset),
    CONSTRAINT fates_not_negative CHECK (stored >= 0 AND unchanged >= 0 AND superseded >= 0 AND quarantined >= 0),
    CONSTRAINT received_is_accounted_for CHECK (received = stored + unchanged + superseded + quarantined)
);

COMMENT ON TABLE market.batch IS 'The ledger: what became of the records of each partition of each batch.';
COMMENT ON COLUMN market.batch.run_id IS 'The run of the consumer; batch ids begin again with each.';
COMMENT ON COLUMN market.batch.log_epoch IS 'Which of the partition''s logs: see stream_position.';
COMMENT ON COLUMN market.batch.received IS
'Records from from_offset up to until_offset; fewer where the topic has gaps.';
COMMENT ON COLUMN market.batch.stored IS 'Records that inserted a bar or gave it other values.';
COMMENT ON COLUMN market.batch.unchanged IS 'Records that told the values that the bar has.';
COMMENT ON COLUMN market.batch.superseded IS 'Records that told other values than the bar has, seen earlier.';
COMMENT ON COLUMN market.batch.quarantined IS 'Records that are not bars.';
