-- The web daemon shows what is stored and how far, and no more: no raw record, no answer, no revision.
GRANT USAGE ON SCHEMA market TO market_pulse_web;
GRANT SELECT ON market.bar, market.latest_bar, market.session, market.stream_position, market.batch, market.completeness
TO market_pulse_web;
GRANT SELECT (sentence, resolved_at, acknowledged_at) ON market.finding TO market_pulse_web;
