CREATE TABLE market.answer (
    symbol text COLLATE "C" NOT NULL,
    interval text COLLATE "C" NOT NULL,
    asked_at timestamptz NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    fetched_at timestamptz NOT NULL,
    source text COLLATE "C" NOT NULL,
    cause text COLLATE "C" NOT NULL,
    function text COLLATE "C" NOT NULL,
    month text COLLATE "C",
    refusal text COLLATE "C",
    sha256 text COLLATE "C",
    row_count integer NOT NULL,
    told integer NOT NULL,
    unusable integer NOT NULL,
    covers_from timestamptz,
    covers_until timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT answer_pkey PRIMARY KEY (symbol, interval, asked_at, request_id),
    CONSTRAINT symbol_form CHECK (symbol ~ '^[A-Z0-9][A-Z0-9.-]{0,14}$'),
    CONSTRAINT interval_known CHECK (interval IN ('1min', '5min', '15min', '30min', '60min', 'daily')),
    CONSTRAINT counts_not_negative CHECK (row_count >= 0 AND told >= 0 AND unusable >= 0),
    CONSTRAINT cover_has_both_ends CHECK ((covers_from IS NULL) = (covers_until IS NULL))
);

COMMENT ON TABLE market.answer IS 'Each request to the vendor, and what it brought.';
COMMENT ON COLUMN market.answer.asked_at IS 'When the vendor was asked, in market time.';
COMMENT ON COLUMN market.answer.request_id IS 'The id that the bars of this answer carry.';
COMMENT ON COLUMN market.answer.fetched_at IS 'When the answer had arrived, in market time.';
COMMENT ON COLUMN market.answer.cause IS 'Why the vendor was asked: poll, quote, repair, backfill or replay.';
COMMENT ON COLUMN market.answer.function IS 'The function of the vendor''s API.';
COMMENT ON COLUMN market.answer.month IS 'The month that was asked for; null for the newest bars.';
COMMENT ON COLUMN market.answer.refusal IS 'Why the answer holds no data; null if it does.';
COMMENT ON COLUMN market.answer.sha256 IS 'Of the body as it is archived; null where there was none.';
COMMENT ON COLUMN market.answer.row_count IS 'Bars in the answer.';
COMMENT ON COLUMN market.answer.told IS 'Bars of it that were sent to the topic, for they were new or revised.';
COMMENT ON COLUMN market.answer.unusable IS 'Rows of it that could not be given a time.';
COMMENT ON COLUMN market.answer.covers_from IS
'A bar that begins here or later, before covers_until, and is not in the answer, the vendor does not have.';
COMMENT ON COLUMN market.answer.covers_until IS 'Where the answer stops to speak for bars; null if it speaks for none.';
COMMENT ON COLUMN market.answer.recorded_at IS 'When this database learned of it.';

CREATE INDEX answer_request ON market.answer (request_id);

-- Where a telling travelled, and with recorded_at the batch that stored it; null for those stored before this release.
ALTER TABLE market.bar_revision
ADD COLUMN partition integer,
ADD COLUMN record_offset bigint;
COMMENT ON COLUMN market.bar_revision.partition IS 'The partition of the topic that this telling came through.';
COMMENT ON COLUMN market.bar_revision.record_offset IS 'Its offset there.';

-- A large task is stored in several transactions, each with a row of its own.
ALTER TABLE market.batch
DROP CONSTRAINT batch_task_once,
ADD COLUMN answers bigint NOT NULL DEFAULT 0,
ADD COLUMN empty bigint NOT NULL DEFAULT 0,
ADD COLUMN stored_at timestamptz NOT NULL DEFAULT clock_timestamp();
UPDATE market.batch SET empty = until_offset - from_offset - received
WHERE until_offset - from_offset > received;
ALTER TABLE market.batch
ADD CONSTRAINT every_offset_is_accounted_for
CHECK (until_offset - from_offset = received + answers + empty AND empty >= 0);
COMMENT ON COLUMN market.batch.received IS
'Bars, or what should be bars, from from_offset up to until_offset; with the answers, every record of them.';
COMMENT ON COLUMN market.batch.answers IS 'Records of the vendor''s answers, which are no bars.';
COMMENT ON COLUMN market.batch.empty IS
'Offsets without a record: a transaction''s marker, or a record that its producer took back.';
COMMENT ON COLUMN market.batch.recorded_at IS 'When the transaction began: recorded_at of all that it stored.';
COMMENT ON COLUMN market.batch.stored_at IS 'When it was about to be committed.';

GRANT SELECT, INSERT, UPDATE ON market.answer TO market_pulse_writer;
GRANT SELECT ON market.answer, market.bar_revision TO market_pulse_monitor;
