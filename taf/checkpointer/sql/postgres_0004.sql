-- Rows may be compressed: the number keeps a taf away that could not read them.
COMMENT ON COLUMN {journal}.body IS 'JSON, or from the byte 0x82 on what taf.serialization.loads reads';

-- The runs of the last messages that were left, taken or not: who lost the answer to one can see that it was left.
ALTER TABLE {threads} ADD COLUMN posted bytea[] NOT NULL DEFAULT '{}';
