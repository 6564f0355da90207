/*
 * Counters of this database since its first look-up after the server started.
 */

CREATE FUNCTION cpis.stat_counters(
	OUT lookups bigint,
	OUT flags bigint,
	OUT refusals bigint,
	OUT changes bigint,
	OUT failures bigint,
	OUT batches bigint,
	OUT events bigint,
	OUT wait_time double precision,
	OUT queue_depth integer,
	OUT writer_starts bigint,
	OUT writer_pid integer,
	OUT counted_since timestamptz,
	OUT direct_reads bigint,
	OUT direct_reads_recorded boolean)
	RETURNS record
	LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cpis_stat_counters';
REVOKE ALL ON FUNCTION cpis.stat_counters() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.stat_counters() TO pg_monitor;
COMMENT ON FUNCTION cpis.stat_counters() IS 'the counters behind view cpis_stat';

CREATE VIEW cpis_stat AS
	SELECT lookups, flags, refusals, changes, failures, batches, events,
		events::double precision / nullif(batches, 0) AS events_per_batch,
		wait_time,
		wait_time / nullif(lookups + flags + refusals + changes, 0) AS mean_wait_time,
		queue_depth, writer_starts, writer_pid, counted_since, direct_reads, direct_reads_recorded
	FROM cpis.stat_counters();
REVOKE ALL ON TABLE cpis_stat FROM PUBLIC;
GRANT SELECT ON TABLE cpis_stat TO pg_monitor;
COMMENT ON VIEW cpis_stat IS 'look-ups and their writer in this database, counted since its first look-up after the server started';
COMMENT ON COLUMN cpis_stat.lookups IS 'calls of cpis_lookup() answered, with or without a plan';
COMMENT ON COLUMN cpis_stat.flags IS 'calls of cpis_flag() answered';
COMMENT ON COLUMN cpis_stat.refusals IS 'calls refused, and recorded as refused';
COMMENT ON COLUMN cpis_stat.changes IS 'events recorded of what was changed: submissions, removals, corrections, holds, policies';
COMMENT ON COLUMN cpis_stat.failures IS 'calls that ended without an answer because no event could be recorded, or they were cancelled';
COMMENT ON COLUMN cpis_stat.batches IS 'transactions of the writer';
COMMENT ON COLUMN cpis_stat.events IS 'events recorded by them';
COMMENT ON COLUMN cpis_stat.events_per_batch IS 'events that shared a transaction and its wait for the disk, on average';
COMMENT ON COLUMN cpis_stat.wait_time IS 'time that all these waited for their event, in milliseconds, summed';
COMMENT ON COLUMN cpis_stat.mean_wait_time IS 'the same, on average';
COMMENT ON COLUMN cpis_stat.queue_depth IS 'requests that wait for the writer or are in its batch now';
COMMENT ON COLUMN cpis_stat.writer_starts IS 'times a writer has started';
COMMENT ON COLUMN cpis_stat.writer_pid IS 'process of the writer now; NULL where none runs';
COMMENT ON COLUMN cpis_stat.counted_since IS 'when counting began';
COMMENT ON COLUMN cpis_stat.direct_reads IS 'statements recorded that read tables of the extension directly';
COMMENT ON COLUMN cpis_stat.direct_reads_recorded IS 'are they recorded? only where the library is preloaded and cpis.record_direct_reads is on';
