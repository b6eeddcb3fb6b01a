-- The name of the graph that wrote last, and the sequence of the base, below which records were pruned.
ALTER TABLE taf_threads ADD COLUMN graph TEXT NOT NULL DEFAULT '';

ALTER TABLE taf_threads ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;

-- What stands in the place of a thread's pruned records, in parts.
CREATE TABLE taf_bases (
    thread INTEGER NOT NULL,
    part INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    items_from INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (thread, part)
);
