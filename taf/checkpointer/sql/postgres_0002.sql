-- How many messages wait on the thread, and how often one of them was changed or removed.
ALTER TABLE {threads} ADD COLUMN messages bigint NOT NULL DEFAULT 0;

ALTER TABLE {threads} ADD COLUMN amendments bigint NOT NULL DEFAULT 0;

-- Messages that wait for their turn, in the order of their ids: whoever writes one has locked the thread's row before.
CREATE TABLE {messages} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread bigint NOT NULL,
    kind bytea NOT NULL,
    run_id bytea NOT NULL,
    at double precision NOT NULL,
    body bytea NOT NULL,
    UNIQUE (thread, run_id)
);
