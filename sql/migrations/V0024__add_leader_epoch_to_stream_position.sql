-- What lies below a position is known to be what was stored for as long as its log is led in the same epoch.
ALTER TABLE market.stream_position ADD COLUMN leader_epoch integer;

COMMENT ON COLUMN market.stream_position.leader_epoch IS
'In which epoch the partition was led when the position was last moved; where that epoch ends below the position, the'
' log was cut.';

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
    -- The position may lie anywhere from now on, so no epoch is known of it.
    UPDATE market.stream_position AS stored
    SET
        next_offset = accept_position.next_offset,
        leader_epoch = NULL,
        held = NULL,
        log_epoch = stored.log_epoch + 1,
        updated_at = now()
    WHERE stored.topic_id = before.topic_id AND stored.partition = before.partition;
END
$$;
