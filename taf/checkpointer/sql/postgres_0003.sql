-- Threads where messages wait are few among many; a commit touches none of these columns.
CREATE INDEX ON {threads} (tenant, thread) WHERE messages > 0;
