-- How many messages wait on the thread, and how often one of them was changed or removed.
ALTER TABLE taf_threads ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;

ALTER TABLE taf_threads ADD COLUMN amendments INTEGER NOT NULL DEFAULT 0;

-- Messages that wait for their turn, in the order of their ids.
CREATE TABLE taf_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    thread INTEGER NOT NULL,
    kind TEXT NOT NULL,
    run_id TEXT NOT NULL,
    at REAL NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (thread, run_id)
);
