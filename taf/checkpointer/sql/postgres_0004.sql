-- Rows may be compressed. Nothing else changes in the tables: the number keeps a taf away that could not read them.
COMMENT ON COLUMN {journal}.body IS 'JSON, or from the byte 0x82 on what taf.serialization.loads reads';
