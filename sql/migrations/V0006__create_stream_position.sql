CREATE TABLE market.stream_position (
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    topic text NOT NULL,
    next_offset bigint NOT NULL,
    log_epoch integer NOT NULL DEFAULT 0,
    held text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stream_position_pkey PRIMARY KEY (topic_id, partition),
    CONSTRAINT next_offset_not_negative CHECK (next_offset >= 0)
) WITH (fillfactor = 50);

COMMENT ON TABLE market.stream_position IS
'Up to where each partition is stored; moved together with what it accounts for.';
COMMENT ON COLUMN market.stream_position.next_offset IS 'Records below are stored; the next one to store is this.';
COMMENT ON COLUMN market.stream_position.log_epoch IS
'Counts the breaks in the partition''s log that were accepted: after one, the same offsets may be other records.';
COMMENT ON COLUMN market.stream_position.held IS
'What the log lost; the consumer does not start until market.accept_position is called.';

-- The account of the log before stays as it is; that of the log from here on has offsets of its own.
CREATE FUNCTION market.accept_position(topic_id uuid, partition integer, next_offset bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE market.stream_position AS stored
    SET next_offset = accept_position.next_offset, held = NULL, log_epoch = stored.log_epoch + 1, updated_at = now()
    WHERE stored.topic_id = accept_position.topic_id AND stored.partition = accept_position.partition;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no position is stored for partition % of topic id %',
            accept_position.partition, accept_position.topic_id;
    END IF;
END
$$;

COMMENT ON FUNCTION market.accept_position IS
'Accepts that records of a partition are lost: the consumer goes on at this offset, in a new epoch of the log.';
