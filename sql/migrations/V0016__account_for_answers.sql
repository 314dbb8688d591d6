-- What a record in quarantine says of itself, for accounts that have no business with foreign bytes: short plain words
-- or nothing, and never an error, for it has to pass whatever anyone sent.
CREATE FUNCTION market.word_of(value bytea, field text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    word text;
BEGIN
    word := convert_from(value, 'UTF8')::json ->> field;
    RETURN CASE WHEN word ~ '^[A-Za-z0-9:._+-]{1,64}$' THEN word END;
EXCEPTION
    WHEN OTHERS THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION market.word_of IS 'A field of a JSON object, if it is one short word; null for any other bytes.';

CREATE FUNCTION market.instant_of(value bytea, field text) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET timezone = 'UTC' AS $$
DECLARE
    word CONSTANT text := market.word_of(value, field);
BEGIN
    -- Not "now" and its like.
    RETURN CASE WHEN word ~ '^[0-9]{4}-' THEN word::timestamptz END;
EXCEPTION
    WHEN OTHERS THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION market.instant_of IS 'A field of a JSON object, if it is an instant; null for any other bytes.';

ALTER TABLE market.quarantine
ADD COLUMN request_id text COLLATE "C" GENERATED ALWAYS AS (market.word_of(value, 'request_id')) STORED,
ADD COLUMN symbol text COLLATE "C" GENERATED ALWAYS AS (market.word_of(value, 'symbol')) STORED,
ADD COLUMN interval text COLLATE "C" GENERATED ALWAYS AS (market.word_of(value, 'interval')) STORED,
ADD COLUMN bar_time timestamptz GENERATED ALWAYS AS (market.instant_of(value, 'bar_time')) STORED,
ADD COLUMN digest bytea GENERATED ALWAYS AS (sha256(value)) STORED;
COMMENT ON COLUMN market.quarantine.request_id IS
'The vendor request that the record names; null where none can be read.';
COMMENT ON COLUMN market.quarantine.symbol IS 'The symbol that the record names; null where none can be read.';
COMMENT ON COLUMN market.quarantine.interval IS 'The interval that the record names; null where none can be read.';
COMMENT ON COLUMN market.quarantine.bar_time IS
'The start of the bar that the record names; null where none can be read.';
COMMENT ON COLUMN market.quarantine.digest IS 'SHA-256 of the value: the same record delivered twice has the same.';

CREATE INDEX quarantine_request ON market.quarantine (request_id);
CREATE INDEX quarantine_bar ON market.quarantine (symbol, interval, bar_time);
CREATE INDEX bar_revision_request ON market.bar_revision (request_id);
CREATE INDEX answer_asked ON market.answer (asked_at);
CREATE INDEX batch_recorded ON market.batch (recorded_at);

GRANT SELECT (request_id, symbol, interval, bar_time, digest) ON market.quarantine TO market_pulse_monitor;
