CREATE TABLE market.latest_bar (
    LIKE market.bar INCLUDING CONSTRAINTS INCLUDING COMMENTS,
    CONSTRAINT latest_bar_pkey PRIMARY KEY (symbol, interval)
) WITH (fillfactor = 50);

COMMENT ON TABLE market.latest_bar IS 'The newest bar of each symbol and interval.';
