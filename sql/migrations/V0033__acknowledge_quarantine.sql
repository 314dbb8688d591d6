-- What will never be a bar, such as somebody's test message, would be warned of for ever.
ALTER TABLE market.quarantine
ADD COLUMN acknowledged_at timestamptz,
ADD COLUMN acknowledged_by text,
ADD COLUMN note text,
ADD CONSTRAINT acknowledgement_is_whole CHECK (
    num_nonnulls(acknowledged_at, acknowledged_by, note) IN (0, 3)
);
COMMENT ON COLUMN market.quarantine.acknowledged_at IS
'Since when nothing warns of it any more; it stays, and a replay may still find it to be a bar.';
COMMENT ON COLUMN market.quarantine.acknowledged_by IS 'Who said so, on the host where it was said.';
COMMENT ON COLUMN market.quarantine.note IS 'Why it may stay.';

GRANT UPDATE (acknowledged_at, acknowledged_by, note) ON market.quarantine TO market_pulse_writer;
GRANT SELECT (acknowledged_at, acknowledged_by, note) ON market.quarantine TO market_pulse_monitor;
