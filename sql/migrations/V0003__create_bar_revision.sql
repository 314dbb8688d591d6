-- A set of sightings only grows, so it ends the same whatever the order in which they arrive; the bar is the latest of
-- them, and what a reader saw at some instant is the latest up to then.
CREATE TABLE market.bar_revision (
    LIKE market.bar INCLUDING CONSTRAINTS INCLUDING COMMENTS,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT bar_revision_pkey PRIMARY KEY (symbol, interval, bar_time, fetched_at, request_id)
) PARTITION BY RANGE (bar_time);

COMMENT ON TABLE market.bar_revision IS 'Every telling of a bar: what which request said of it, and when.';
COMMENT ON COLUMN market.bar_revision.request_id IS 'The vendor request that told these values.';
COMMENT ON COLUMN market.bar_revision.fetched_at IS 'When the vendor told these values.';
COMMENT ON COLUMN market.bar_revision.recorded_at IS 'When this database learned of them.';

CREATE TABLE market.bar_revision_default PARTITION OF market.bar_revision DEFAULT;
COMMENT ON TABLE market.bar_revision_default IS
'Revisions of months without a partition; market.ensure_partitions moves them out.';
