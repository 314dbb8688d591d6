CREATE SCHEMA market;
COMMENT ON SCHEMA market IS 'The facts: bars, their history, and the account of how they came here.';

CREATE SCHEMA bi;
COMMENT ON SCHEMA bi IS 'What readers may see; a column here is a promise to their reports.';
