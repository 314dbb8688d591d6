-- A record stays in quarantine for good, byte for byte; what it was found to be later is said beside it.
ALTER TABLE market.quarantine
ADD COLUMN appended_at timestamptz,
ADD COLUMN replayed_at timestamptz,
ADD COLUMN replay_fate text COLLATE "C",
ADD CONSTRAINT replay_fate_known CHECK (replay_fate IN ('bar', 'answer')),
ADD CONSTRAINT fate_has_its_replay CHECK (replay_fate IS NULL OR replayed_at IS NOT NULL);
COMMENT ON COLUMN market.quarantine.appended_at IS
'When the broker took the record; null for those of before this release.';
COMMENT ON COLUMN market.quarantine.replayed_at IS
'When it was decoded again last, by recorded_at of market.quarantine_replay.';
COMMENT ON COLUMN market.quarantine.replay_fate IS
'What it then was, a bar or an answer, and stored as such; null while it is neither.';

CREATE INDEX quarantine_open ON market.quarantine (reason, recorded_at) WHERE replay_fate IS NULL;

-- A bar that was told before it began, by a clock that was wrong, may be stored later: the contract knows when.
ALTER TABLE market.bar DROP CONSTRAINT bar_not_from_the_future;
ALTER TABLE market.bar_revision DROP CONSTRAINT bar_not_from_the_future;
ALTER TABLE market.latest_bar DROP CONSTRAINT bar_not_from_the_future;

CREATE TABLE market.quarantine_replay (
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    log_epoch integer NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decoded bigint NOT NULL,
    stored bigint NOT NULL,
    unchanged bigint NOT NULL,
    superseded bigint NOT NULL,
    answers bigint NOT NULL,
    still_rejected bigint NOT NULL,
    requested_by text NOT NULL,
    CONSTRAINT quarantine_replay_pkey PRIMARY KEY (topic_id, partition, recorded_at),
    CONSTRAINT decoded_is_accounted_for
    CHECK (decoded = stored + unchanged + superseded + answers + still_rejected)
);

COMMENT ON TABLE market.quarantine_replay IS
'What became of quarantined records that were decoded again: the ledger of such transactions, beside market.batch.';
COMMENT ON COLUMN market.quarantine_replay.log_epoch IS 'Which of the partition''s logs: see stream_position.';
COMMENT ON COLUMN market.quarantine_replay.recorded_at IS
'When the transaction began: recorded_at of all that it stored.';
COMMENT ON COLUMN market.quarantine_replay.stored_at IS 'When it was about to be committed.';
COMMENT ON COLUMN market.quarantine_replay.decoded IS 'Records taken from quarantine and decoded again.';
COMMENT ON COLUMN market.quarantine_replay.stored IS 'Those that inserted a bar or gave it other values.';
COMMENT ON COLUMN market.quarantine_replay.unchanged IS 'Those that told the values that the bar has.';
COMMENT ON COLUMN market.quarantine_replay.superseded IS
'Those that told other values than the bar has, seen earlier.';
COMMENT ON COLUMN market.quarantine_replay.answers IS 'Those that are records of the vendor''s answers.';
COMMENT ON COLUMN market.quarantine_replay.still_rejected IS 'Those that stay in quarantine.';
COMMENT ON COLUMN market.quarantine_replay.requested_by IS 'Who asked for it, on the host where it was asked for.';

-- What was received stays as it was: the writer says what it makes of a record, and changes none.
GRANT UPDATE (reason, detail, replayed_at, replay_fate) ON market.quarantine TO market_pulse_writer;
GRANT SELECT, INSERT ON market.quarantine_replay TO market_pulse_writer;
GRANT SELECT (appended_at, replayed_at, replay_fate) ON market.quarantine TO market_pulse_monitor;
GRANT SELECT ON market.quarantine_replay TO market_pulse_monitor;
