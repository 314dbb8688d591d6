CREATE TABLE market.quarantine (
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    log_epoch integer NOT NULL DEFAULT 0,
    record_offset bigint NOT NULL,
    topic text NOT NULL,
    reason text COLLATE "C" NOT NULL,
    detail text NOT NULL,
    key bytea,
    value bytea,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT quarantine_pkey PRIMARY KEY (topic_id, partition, log_epoch, record_offset),
    CONSTRAINT reason_form CHECK (reason ~ '^[a-z][a-z_]{0,39}$')
);

COMMENT ON TABLE market.quarantine IS 'Records of the topic that are not bars, byte for byte.';
COMMENT ON COLUMN market.quarantine.topic_id IS
'Kafka''s id of the topic: one made again under the same name has another.';
COMMENT ON COLUMN market.quarantine.log_epoch IS 'Which of the partition''s logs: see stream_position.';
COMMENT ON COLUMN market.quarantine.reason IS 'Stable code of the rule that the record breaks.';
COMMENT ON COLUMN market.quarantine.detail IS 'What was wrong and what would be right.';
COMMENT ON COLUMN market.quarantine.key IS 'The record''s key as received.';
COMMENT ON COLUMN market.quarantine.value IS 'The record''s value as received; null is a tombstone.';
