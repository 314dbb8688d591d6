-- Asked for each bar that a day is summed of: to choose among constants costs a part of reading a name as a time.
CREATE OR REPLACE FUNCTION market.step_of(name text) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE name
    WHEN '1min' THEN INTERVAL '1 minute'
    WHEN '5min' THEN INTERVAL '5 minutes'
    WHEN '15min' THEN INTERVAL '15 minutes'
    WHEN '30min' THEN INTERVAL '30 minutes'
    WHEN '60min' THEN INTERVAL '60 minutes'
    WHEN 'daily' THEN INTERVAL '1 day'
END
$$;
