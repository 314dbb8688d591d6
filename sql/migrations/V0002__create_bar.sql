-- Text keys compare bytewise: cheaper than a language's rules, and the order is the same on every host.
CREATE TABLE market.bar (
    symbol text COLLATE "C" NOT NULL,
    interval text COLLATE "C" NOT NULL,
    bar_time timestamptz NOT NULL,
    open numeric NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    volume bigint NOT NULL,
    is_final boolean NOT NULL,
    source text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    fetched_at timestamptz NOT NULL,
    CONSTRAINT bar_pkey PRIMARY KEY (symbol, interval, bar_time),
    CONSTRAINT symbol_form CHECK (symbol ~ '^[A-Z0-9][A-Z0-9.-]{0,14}$'),
    CONSTRAINT interval_known CHECK (interval IN ('1min', '5min', '15min', '30min', '60min', 'daily')),
    CONSTRAINT bar_not_from_the_future CHECK (bar_time <= fetched_at),
    -- NaN and Infinity are numeric values that pass the other comparisons.
    CONSTRAINT price_finite CHECK (high < 'Infinity'),
    CONSTRAINT price_positive CHECK (open > 0 AND high > 0 AND low > 0 AND close > 0),
    CONSTRAINT open_in_range CHECK (open BETWEEN low AND high),
    CONSTRAINT close_in_range CHECK (close BETWEEN low AND high),
    CONSTRAINT volume_not_negative CHECK (volume >= 0)
) PARTITION BY RANGE (bar_time);

COMMENT ON TABLE market.bar IS 'Each bar as the vendor told it last.';
COMMENT ON COLUMN market.bar.bar_time IS 'Start of the bar.';
COMMENT ON COLUMN market.bar.volume IS 'Shares traded in the bar.';
COMMENT ON COLUMN market.bar.is_final IS 'The bar had ended when the vendor told these values.';
COMMENT ON COLUMN market.bar.request_id IS 'The vendor request that told these values last.';
COMMENT ON COLUMN market.bar.fetched_at IS 'When the vendor told these values last.';

CREATE TABLE market.bar_default PARTITION OF market.bar DEFAULT;
COMMENT ON TABLE market.bar_default IS 'Bars of months without a partition; market.ensure_partitions moves them out.';
