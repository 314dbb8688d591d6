-- A revision is one set of values of one bar. Seeing it again only widens [fetched_at, last_seen_at], and the bar is
-- the revision with the latest last_seen_at: minimum and maximum do not depend on the order in which sightings arrive.
CREATE TABLE market.bar_revision (
    LIKE market.bar INCLUDING CONSTRAINTS INCLUDING COMMENTS,
    last_seen_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT bar_revision_pkey PRIMARY KEY (symbol, interval, bar_time, open, high, low, close, volume, is_final),
    CONSTRAINT last_seen_not_before_first CHECK (last_seen_at >= fetched_at)
) PARTITION BY RANGE (bar_time);

COMMENT ON TABLE market.bar_revision IS 'Every set of values that the vendor ever told for a bar.';
COMMENT ON COLUMN market.bar_revision.last_seen_at IS 'When the vendor told these values most recently.';
COMMENT ON COLUMN market.bar_revision.recorded_at IS 'When this database learned of these values.';

CREATE TABLE market.bar_revision_default PARTITION OF market.bar_revision DEFAULT;
COMMENT ON TABLE market.bar_revision_default IS
'Revisions of months without a partition; market.ensure_partitions moves them out.';
