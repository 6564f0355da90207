/*-------------------------------------------------------------------------
 *
 * stat.c
 *	  The counters behind view cpis_stat.
 *
 * Reads what queue.c counts for this database.  They begin at zero with the
 * first look-up after the server started.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "direct_read.h"
#include "fmgr.h"
#include "funcapi.h"
#include "queue.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cpis_stat_counters);

/*
 * One row: lookups, flags, refusals, changes, failures, batches, events, wait_time in
 * milliseconds, queue_depth, writer_starts, writer_pid, counted_since, direct_reads,
 * direct_reads_recorded.
 */
Datum
cpis_stat_counters(PG_FUNCTION_ARGS)
{
	QueueStatistics statistics = {0};
	bool		counted = QueueGetStatistics(&statistics);
	TupleDesc	descriptor;
	Datum		values[14];
	bool		isnull[14] = {false};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	values[0] = Int64GetDatum(statistics.counters[QUEUE_LOOKUPS]);
	values[1] = Int64GetDatum(statistics.counters[QUEUE_FLAGS]);
	values[2] = Int64GetDatum(statistics.counters[QUEUE_REFUSALS]);
	values[3] = Int64GetDatum(statistics.counters[QUEUE_CHANGES]);
	values[4] = Int64GetDatum(statistics.counters[QUEUE_FAILURES]);
	values[5] = Int64GetDatum(statistics.counters[QUEUE_BATCHES]);
	values[6] = Int64GetDatum(statistics.counters[QUEUE_EVENTS]);
	values[7] = Float8GetDatum(statistics.counters[QUEUE_WAIT_MICROSECONDS] / 1000.0);
	values[8] = Int32GetDatum(statistics.depth);
	values[9] = Int64GetDatum(statistics.counters[QUEUE_WRITER_STARTS]);
	values[10] = Int32GetDatum(statistics.writer_pid);
	isnull[10] = (statistics.writer_pid == 0);
	values[11] = TimestampTzGetDatum(statistics.counted_since);
	isnull[11] = !counted;

	values[12] = Int64GetDatum(statistics.counters[QUEUE_DIRECT_READS]);
	values[13] = BoolGetDatum(DirectReadIsOn());

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(descriptor, values, isnull)));
}
