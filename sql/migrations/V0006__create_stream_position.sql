CREATE TABLE market.stream_position (
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    topic text NOT NULL,
    next_offset bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stream_position_pkey PRIMARY KEY (topic_id, partition),
    CONSTRAINT next_offset_not_negative CHECK (next_offset >= 0)
) WITH (fillfactor = 50);

COMMENT ON TABLE market.stream_position IS
'Up to where each partition is stored; moved together with what it accounts for.';
COMMENT ON COLUMN market.stream_position.next_offset IS 'Records below are stored; the next one to store is this.';
