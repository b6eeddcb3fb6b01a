-- Names are bytes (UTF-8), since text cannot hold NUL or lone surrogates; their order is that of code points.

-- One row for each thread. An id is never given out again, so it names one life of a thread.
CREATE TABLE {threads} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant bytea NOT NULL,
    thread bytea NOT NULL,
    born text NOT NULL,
    head bigint NOT NULL DEFAULT 0,
    status bytea NOT NULL DEFAULT 'idle',
    run_id bytea NOT NULL DEFAULT '',
    -- The name of the graph that wrote last.
    graph bytea NOT NULL DEFAULT '',
    -- The sequence of the base, which stands in the place of the records below it.
    floor bigint NOT NULL DEFAULT 0,
    updated double precision NOT NULL DEFAULT 0,
    -- Counts what a watcher is told of: appends and signals.
    revision bigint NOT NULL DEFAULT 0,
    -- The mark of the last commit: who lost the answer to one can see whether it was made.
    mark bigint NOT NULL DEFAULT 0,
    -- Who may write: the owner, under this epoch, until this moment of the server's clock, while its life-lock is held.
    epoch bigint NOT NULL,
    owner text,
    life_lock bigint,
    lease_until timestamptz,
    -- What is signalled to the run: in the row, so that whoever locks it for a commit sees all of it.
    signals bytea[] NOT NULL DEFAULT '{}',
    UNIQUE (tenant, thread)
) WITH (fillfactor = 70);

-- One counter for all threads, so that a thread which is made anew never repeats an epoch.
CREATE SEQUENCE {epochs};

CREATE TABLE {journal} (
    thread bigint NOT NULL,
    sequence bigint NOT NULL,
    at double precision NOT NULL,
    step bigint NOT NULL,
    kind bytea NOT NULL,
    run_id bytea NOT NULL,
    body bytea NOT NULL,
    items bytea,
    PRIMARY KEY (thread, sequence)
);

-- The newest snapshot of each thread, and its base if it was pruned, both in parts.
CREATE TABLE {snapshots} (
    thread bigint NOT NULL,
    is_base boolean NOT NULL,
    sequence bigint NOT NULL,
    part integer NOT NULL,
    items_from bigint,
    body bytea NOT NULL,
    PRIMARY KEY (thread, is_base, sequence, part)
);

CREATE TABLE {interrupts} (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bytea NOT NULL UNIQUE,
    thread bigint NOT NULL,
    status bytea NOT NULL,
    node bytea NOT NULL,
    changed double precision NOT NULL,
    body bytea NOT NULL
);

CREATE INDEX {prefix}interrupts_of_thread ON {interrupts} (thread);

CREATE INDEX {prefix}interrupts_by_status ON {interrupts} (status, number);
