-- How many signals wait on the thread: most commits find that there are none, and need not look.
ALTER TABLE taf_threads ADD COLUMN signals INTEGER NOT NULL DEFAULT 0;

UPDATE taf_threads SET signals = (SELECT count(*) FROM taf_signals WHERE taf_signals.thread = taf_threads.id)
    WHERE id IN (SELECT thread FROM taf_signals);
