-- One row for each thread. An id is never given out again, so it names one life of a thread.
CREATE TABLE taf_threads (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    thread TEXT NOT NULL,
    born TEXT NOT NULL,
    head INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'idle',
    run_id TEXT NOT NULL DEFAULT '',
    updated REAL NOT NULL DEFAULT 0,
    -- Counts what a watcher is told of: appends and signals.
    revision INTEGER NOT NULL DEFAULT 0,
    -- Who may write: the owner, under this epoch, until this nanosecond of the machine's monotonic clock in this boot.
    epoch INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    lease_until INTEGER,
    boot_id TEXT,
    UNIQUE (tenant, thread)
);

-- The last epoch given out. One counter for all threads, so that a thread which is made anew never repeats one.
CREATE TABLE taf_epochs (last INTEGER NOT NULL);

INSERT INTO taf_epochs VALUES (0);

-- Not WITHOUT ROWID: rows of more than about 1 kB would take an overflow page each there.
-- The items come before the body, so that reading them does not walk over it.
CREATE TABLE taf_journal (
    thread INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    run_id TEXT NOT NULL,
    at REAL NOT NULL,
    step INTEGER NOT NULL,
    items BLOB,
    body BLOB NOT NULL,
    PRIMARY KEY (thread, sequence)
);

-- The newest snapshot of each thread, in parts.
CREATE TABLE taf_snapshots (
    thread INTEGER NOT NULL,
    part INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    items_from INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (thread, part)
);

CREATE TABLE taf_interrupts (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    thread INTEGER NOT NULL,
    status TEXT NOT NULL,
    node TEXT NOT NULL,
    changed REAL NOT NULL,
    body BLOB NOT NULL
);

CREATE INDEX taf_interrupts_of_thread ON taf_interrupts (thread);

CREATE INDEX taf_interrupts_by_status ON taf_interrupts (status);

CREATE TABLE taf_signals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    thread INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL
);

CREATE INDEX taf_signals_of_thread ON taf_signals (thread);
