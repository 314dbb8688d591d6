CREATE TABLE market.backup (
    label text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    finished_at timestamptz NOT NULL,
    CONSTRAINT backup_pkey PRIMARY KEY (label),
    CONSTRAINT kind_known CHECK (kind IN ('full', 'diff', 'incr'))
);
COMMENT ON TABLE market.backup IS 'The backups that the repository held when the newest of them was made.';
COMMENT ON COLUMN market.backup.label IS 'Its name in pgBackRest''s repository.';

CREATE TABLE market.restore_proof (
    finished_at timestamptz NOT NULL,
    verdict text COLLATE "C" NOT NULL,
    sentence text NOT NULL,
    backup text COLLATE "C",
    backup_at timestamptz,
    row_count bigint,
    bars bigint,
    CONSTRAINT restore_proof_pkey PRIMARY KEY (finished_at),
    CONSTRAINT verdict_known CHECK (verdict IN ('proven', 'different', 'failed')),
    CONSTRAINT proven_by_rows CHECK (verdict <> 'proven' OR num_nulls(backup, backup_at, row_count, bars) = 0)
);
COMMENT ON TABLE market.restore_proof IS
'Every restore of the newest backup into a scratch cluster, and whether its rows were those of the live tables.';
COMMENT ON COLUMN market.restore_proof.sentence IS 'What was compared, what differs, or why it came to nothing.';
COMMENT ON COLUMN market.restore_proof.backup_at IS 'When the restored backup was finished.';
COMMENT ON COLUMN market.restore_proof.row_count IS 'Live rows of all compared tables.';

GRANT SELECT ON market.backup, market.restore_proof TO market_pulse_monitor;
