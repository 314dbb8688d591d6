CREATE TABLE market.lost_range (
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    log_epoch integer NOT NULL,
    topic text NOT NULL,
    from_offset bigint NOT NULL,
    until_offset bigint NOT NULL,
    reason text NOT NULL,
    stored_until timestamptz,
    found_at timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz,
    accepted_by text,
    CONSTRAINT lost_range_pkey PRIMARY KEY (topic_id, partition, log_epoch, from_offset),
    CONSTRAINT range_has_an_order CHECK (until_offset >= from_offset),
    CONSTRAINT whoever_accepts_is_known CHECK ((accepted_at IS NULL) = (accepted_by IS NULL))
);

COMMENT ON TABLE market.lost_range IS
'Records that were lost before they were stored: their bars are to be fetched again from the vendor.';
COMMENT ON COLUMN market.lost_range.log_epoch IS
'The log that begins or that ended with this loss: see stream_position.';
COMMENT ON COLUMN market.lost_range.from_offset IS 'The first record that was not stored.';
COMMENT ON COLUMN market.lost_range.until_offset IS
'Where the consumer went on; from_offset where nothing was skipped, for the log''s stored tail was lost.';
COMMENT ON COLUMN market.lost_range.reason IS 'What the consumer said when it found the loss.';
COMMENT ON COLUMN market.lost_range.stored_until IS
'What was appended to the partition up to then is stored: a bar that is lost was told after it; null for a log that'
' begins with the loss.';
COMMENT ON COLUMN market.lost_range.found_at IS 'When this row was written.';
COMMENT ON COLUMN market.lost_range.accepted_at IS 'When an operator accepted the loss; null until then.';
COMMENT ON COLUMN market.lost_range.accepted_by IS 'The account in which that was done.';

-- What was accepted before this release is what the ledger leaves out between one log and the next.
INSERT INTO market.lost_range (
    topic_id, partition, log_epoch, topic, from_offset, until_offset, reason, stored_until, accepted_at, accepted_by
)
SELECT
    log.topic_id,
    log.partition,
    log.log_epoch,
    position.topic,
    log.past,
    greatest(log.past, coalesce(log.next_first, position.next_offset)) AS until_offset,
    'accepted by a release that did not note what was lost; taken from the ledger' AS reason,
    log.stored_until,
    coalesce(log.next_begun, position.updated_at) AS accepted_at,
    'not noted' AS accepted_by
FROM (
    SELECT
        topic_id,
        partition,
        log_epoch,
        max(until_offset) AS past,
        max(recorded_at) AS stored_until,
        lead(min(from_offset)) OVER account AS next_first,
        lead(min(recorded_at)) OVER account AS next_begun
    FROM market.batch
    GROUP BY topic_id, partition, log_epoch
    WINDOW account AS (PARTITION BY topic_id, partition ORDER BY log_epoch)
) AS log
INNER JOIN market.stream_position AS position
    ON log.topic_id = position.topic_id AND log.partition = position.partition
WHERE log.log_epoch < position.log_epoch;

CREATE OR REPLACE FUNCTION market.accept_position(topic_id uuid, partition integer, next_offset bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    before market.stream_position;
BEGIN
    SELECT * INTO before FROM market.stream_position AS stored
    WHERE stored.topic_id = accept_position.topic_id AND stored.partition = accept_position.partition
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no position is stored for partition % of topic id %',
            accept_position.partition, accept_position.topic_id;
    END IF;
    INSERT INTO market.lost_range (
        topic_id, partition, log_epoch, topic, from_offset, until_offset, reason, stored_until, accepted_at, accepted_by
    )
    VALUES (
        before.topic_id, before.partition, before.log_epoch, before.topic,
        before.next_offset, greatest(before.next_offset, accept_position.next_offset),
        coalesce(before.held, 'accepted while the consumer was not held'), before.updated_at, now(), session_user
    );
    UPDATE market.stream_position AS stored
    SET next_offset = accept_position.next_offset, held = NULL, log_epoch = stored.log_epoch + 1, updated_at = now()
    WHERE stored.topic_id = before.topic_id AND stored.partition = before.partition;
END
$$;

COMMENT ON FUNCTION market.accept_position IS
'Accepts that records of a partition are lost, notes which in market.lost_range, and lets the consumer go on at this'
' offset, in a new epoch of the log.';

CREATE FUNCTION market.accept_loss(topic_id uuid, partition integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE market.lost_range AS lost
    SET accepted_at = now(), accepted_by = session_user
    WHERE lost.topic_id = accept_loss.topic_id AND lost.partition = accept_loss.partition AND lost.accepted_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no loss of partition % of topic id % waits to be accepted',
            accept_loss.partition, accept_loss.topic_id;
    END IF;
END
$$;
COMMENT ON FUNCTION market.accept_loss IS
'Accepts that records of a partition were gone before the consumer''s first start.';
REVOKE EXECUTE ON FUNCTION market.accept_loss FROM public;

GRANT SELECT ON market.lost_range TO market_pulse_monitor;
GRANT INSERT (topic_id, partition, log_epoch, topic, from_offset, until_offset, reason) ON market.lost_range
TO market_pulse_writer;
