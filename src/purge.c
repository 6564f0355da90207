/*-------------------------------------------------------------------------
 *
 * purge.c
 *	  cpis_purge(): remove plans whose term has ended.
 *
 * The procedure goes through cpis.plan once, from its beginning to where it ended
 * when the purge began, in batches; has the trail, and what was answered to authorities,
 * summarised for analysts (summary.c); then goes through what authorities have sent
 * (purge_submission.c), the months of the trail (removed_month.c), and submissions that
 * were never applied (submission.c).  Each batch is a transaction of its own, for plans:
 *
 *	1. lock cpis.retention_policy (Share), cpis.plan (RowExclusive) and cpis.hold
 *	   (Share), in this order, which is that of DROP EXTENSION; who is just setting a
 *	   term or placing a hold is waited for;
 *	2. find plans that are due (due.c);
 *	3. delete those that nobody has changed or locked meanwhile, record that, and
 *	   certify it (purge_batch.c); and commit.
 *
 * Where summarising fails, or waits longer than LOCK_PATIENCE_MS for its turn, the purge goes on:
 * what authorities have sent has its term, and goes with its answers summarised; months stay.
 *
 * An error that concerns no single row - the event cannot be recorded, the
 * statement is cancelled - ends the purge; what was committed stays removed, and
 * the next one goes on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/resource.h>

#include "access/table.h"
#include "access/xact.h"
#include "argument.h"
#include "catalog/pg_type.h"
#include "day.h"
#include "due.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "own_change.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "purge.h"
#include "purge_batch.h"
#include "purge_submission.h"
#include "purge_switch.h"
#include "queue.h"
#include "removed_month.h"
#include "request.h"
#include "spin_wait.h"
#include "storage/bufmgr.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "submission.h"
#include "summary.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(cpis_purge);

/*
 * The share of one processor, in percent, that the purge takes while look-ups wait,
 * and the longest rest between two batches.
 */
#define PROCESSOR_SHARE 43
#define REST_MOST_MS 100

/*
 * Pages of the table of plans that one batch looks at, so that who places a hold does
 * not wait until the purge has seen a large register in which little is due.
 */
#define PAGES_MOST 2048

/* How long summarising waits for a lock. */
#define LOCK_PATIENCE_MS 5000

/* How often to say how far it is. */
#define REPORT_EVERY_US (5 * INT64CONST(1000000))

/* What has become of records of one table. */
typedef struct PurgeCount
{
	int64		removed;
	int64		failed;
	int64		held_back;
	int64		passed_over;	/* locked by others */
} PurgeCount;

/* One run. */
typedef struct Purge
{
	int			batch_size;
	int			max_rate;		/* records a second, or 0 */
	BlockNumber end;			/* of the table of plans when the purge began */
	ItemPointerData position;	/* where the next batch begins */
	SubmissionCursor cursor;	/* the same for what authorities have sent */
	MemoryContext batch_context;
	instr_time	begun_at;
	instr_time	reported_at;
	TimestampTz began;
	PurgeCount	plans;
	PurgeCount	submission_records;
} Purge;

/* One batch of a run; false when there is nothing left to see. */
typedef bool (*PurgeStep) (Purge *purge);

/* What has been spent when a batch begins. */
typedef struct Effort
{
	instr_time	began_at;
	int64		processor_us;
} Effort;

/*
 * Add a due plan.
 */
static void
add_plan(PurgeBatch *batch, const DuePlan *due, const ItemPointerData *tid, StringInfo buffer)
{
	Removal    *removal = &batch->removals[batch->n];
	const Datum *values = due->record.values;

	batch->tids[batch->n] = *tid;
	batch->keys[batch->n].id = DatumGetInt64(values[PLAN_PLAN_ID - 1]);
	batch->keys[batch->n].line_no = 0;
	removal->kind = datumCopy(values[PLAN_PLAN_TYPE - 1], false, -1);
	removal->local_authority = datumCopy(values[PLAN_LOCAL_AUTHORITY - 1], false, -1);
	removal->due_on = (DateADT) (due->term.last_day + 1);
	removal->has_days = due->term.has_days;
	removal->retention_days = due->term.days;
	PlanRecordCommitment(&due->record, buffer, removal->commitment);
	batch->n++;
}

/*
 * Find the plans of the next batch, and move the position behind what has been seen;
 * false at the end of the table.
 */
static bool
find_plans(Purge *purge, Relation plans, PurgeBatch *batch)
{
	ItemPointerData last;
	TableScanDesc scan;
	TupleTableSlot *slot;
	StringInfoData buffer;
	BlockNumber last_page;
	DueSieve	sieve;
	DuePlan		due;
	bool		more;

	initStringInfo(&buffer);
	last_page = Min((int64) purge->end,
					(int64) ItemPointerGetBlockNumberNoCheck(&purge->position) + PAGES_MOST);
	ItemPointerSet(&last, last_page, 0);
	DueSieveBegin(&sieve, DayToday());
	batch->holds = sieve.holds.digest;
	slot = table_slot_create(plans, NULL);
	scan = table_beginscan_tidrange(plans, sieve.reading.snapshot, &purge->position, &last);
	while ((more = table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot)))
	{
		CHECK_FOR_INTERRUPTS();
		purge->position = slot->tts_tid;
		ItemPointerInc(&purge->position);
		if (!DueSieveTake(&sieve, slot, &due))
			continue;
		if (due.hold_id != 0)
			purge->plans.held_back++;
		else
			add_plan(batch, &due, &slot->tts_tid, &buffer);
		if (batch->n == batch->size)
			break;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	DueSieveEnd(&sieve);
	if (more)
		return true;
	purge->position = last;
	return last_page < purge->end;
}

/*
 * One batch of plans, in the present transaction.
 */
static bool
purge_plans(Purge *purge)
{
	Relation	plans;
	PurgeBatch	batch;
	bool		more;

	LockRelationOid(CpisRelationOid(CPIS_RETENTION_POLICY), ShareLock);
	plans = CpisTableOpen(CPIS_PLAN, RowExclusiveLock);
	LockRelationOid(CpisRelationOid(CPIS_HOLD), ShareLock);
	PurgeBatchBegin(&batch, CPIS_PLAN, purge->batch_size);
	more = find_plans(purge, plans, &batch);
	PurgeBatchRemove(&batch);
	purge->plans.removed += batch.removed;
	purge->plans.failed += batch.failed;
	purge->plans.passed_over += batch.passed_over;
	table_close(plans, NoLock);
	return more;
}

/*
 * One batch of what authorities have sent, in the present transaction.
 */
static bool
purge_submission_records(Purge *purge)
{
	PurgeBatch	batch;
	bool		more;

	PurgeBatchBegin(&batch, CPIS_SUBMISSION_RECORD, purge->batch_size);
	more = PurgeSubmissionFind(&purge->cursor, &batch, &purge->submission_records.held_back);
	PurgeBatchRemove(&batch);
	purge->submission_records.removed += batch.removed;
	purge->submission_records.failed += batch.failed;
	purge->submission_records.passed_over += batch.passed_over;
	return more;
}

static int64
records_removed(const Purge *purge)
{
	return purge->plans.removed + purge->submission_records.removed;
}

/*
 * Tell how far it is: in pg_stat_activity after each batch, and to the caller
 * every few seconds.
 */
static void
report(Purge *purge)
{
	char		progress[128];

	if (purge->cursor.submission_id == 0)
		snprintf(progress, sizeof(progress), "cpis_purge: " INT64_FORMAT " plans removed, at page %u of %u",
				 purge->plans.removed, ItemPointerGetBlockNumberNoCheck(&purge->position), purge->end);
	else
		snprintf(progress, sizeof(progress), "cpis_purge: " INT64_FORMAT " submission records removed, at submission " INT64_FORMAT,
				 purge->submission_records.removed, purge->cursor.submission_id);
	pgstat_report_activity(STATE_RUNNING, progress);
	if (microseconds_since(purge->reported_at) > REPORT_EVERY_US)
	{
		ereport(NOTICE, (errmsg_internal("%s", progress)));
		INSTR_TIME_SET_CURRENT(purge->reported_at);
	}
}

static void
rest(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 milliseconds, WAIT_EVENT_PG_SLEEP);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Wait as long as max_rate asks for.
 */
static void
keep_to_rate(Purge *purge)
{
	if (purge->max_rate == 0)
		return;
	for (;;)
	{
		int64		ahead = records_removed(purge) * 1000 / purge->max_rate -
			microseconds_since(purge->begun_at) / 1000;

		if (ahead <= 0)
			return;
		rest(Min(ahead, 1000));
	}
}

/*
 * Processor time of this process so far, in microseconds.
 */
static int64
processor_time(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64CONST(1000000) +
		usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/*
 * Where look-ups wait, rest until the last batch has taken no more than its share of
 * a processor.
 */
static void
give_way(const Purge *purge, const Effort *before)
{
	int64		wanted = (processor_time() - before->processor_us) * 100 / PROCESSOR_SHARE;
	int64		left_ms = (wanted - microseconds_since(before->began_at) + 500) / 1000;

	/* Without a removal, there may be no queue to look at. */
	if (records_removed(purge) > 0 && left_ms > 0 && QueueWaiting() > 0)
		rest(Min(left_ms, REST_MOST_MS));
}

/*
 * Forget the failures of earlier purges, for this one has tried again whatever is still
 * due, and sum up the tally.
 */
static void
clear_up(const Purge *purge)
{
	OwnChange	change = {.table = CpisRelationOid(CPIS_PURGE_FAILURE)};
	Oid			type = TIMESTAMPTZOID;
	Datum		value = TimestampTzGetDatum(purge->began);

	(void) OwnChangeExecute(&change, "DELETE FROM cpis.purge_failure WHERE failed_at < $1",
							1, &type, &value, NULL, NULL);
	change.table = CpisRelationOid(CPIS_PLAN_TALLY);
	(void) OwnChangeExecute(&change,
							"WITH gone AS (DELETE FROM cpis.plan_tally RETURNING plans, fingerprint)"
							" INSERT INTO cpis.plan_tally (plans, fingerprint)"
							" SELECT sum(plans)::bigint, bit_xor(fingerprint) FROM gone HAVING count(*) > 0",
							0, NULL, NULL, NULL, NULL);
}

/*
 * Begin a batch's work in the transaction that has just begun.  Each reads what is
 * there now, whatever the session's default.
 */
static void
begin_batch(Purge *purge)
{
	PreventCommandIfReadOnly("cpis_purge()");
	XactIsoLevel = XACT_READ_COMMITTED;
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextReset(purge->batch_context);
	MemoryContextSwitchTo(purge->batch_context);
}

static void
end_batch(MemoryContext context)
{
	MemoryContextSwitchTo(context);
	PopActiveSnapshot();
	SPI_commit();
	MemoryContextSwitchTo(context);
}

/*
 * All batches of one step, each a transaction; false where somebody has paused the
 * purge.
 */
static bool
run_step(Purge *purge, PurgeStep step, MemoryContext context)
{
	bool		more = true;

	while (more)
	{
		Effort		before = {.processor_us = processor_time()};

		INSTR_TIME_SET_CURRENT(before.began_at);
		begin_batch(purge);
		if (PurgeIsPaused())
		{
			end_batch(context);
			ereport(NOTICE, (errmsg("the purge is paused")));
			return false;
		}
		more = step(purge);
		end_batch(context);
		report(purge);
		keep_to_rate(purge);
		give_way(purge, &before);
	}
	return true;
}

/*
 * Summarise a month of events, or complete one, in a subtransaction; after an error nothing is
 * summarised, which is said, and there is no more.
 */
static bool
summarise(Purge *purge)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int64		events = 0;
	volatile bool more = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (LockTimeout == 0 || LockTimeout > LOCK_PATIENCE_MS)
			(void) set_config_option("lock_timeout", CppAsString2(LOCK_PATIENCE_MS), PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_LOCAL, true, 0, false);
		more = SummariseNext(&events);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		/* Its message may be that of somebody's trigger. */
		ereport(WARNING,
				(errmsg("could not summarise the trail"),
				 errdetail("It has failed with SQLSTATE %s.", unpack_sql_state(error->sqlerrcode)),
				 errhint("Months of the trail stay until SELECT cpis_summarise() succeeds.")));
		more = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return more;
}

static bool
purge_month(Purge *purge)
{
	return RemovedMonthNext();
}

static bool
close_abandoned(Purge *purge)
{
	return SubmissionAbandon();
}

/*
 * Everything that is due: plans, what authorities have sent, months of the trail; and what
 * they have sent and never applied.
 */
static void
run(Purge *purge)
{
	MemoryContext context = CurrentMemoryContext;

	purge->batch_context = AllocSetContextCreate(context, "cpis purge", ALLOCSET_DEFAULT_SIZES);
	/* The call may have taken a snapshot, which is of another isolation level. */
	SPI_commit();
	MemoryContextSwitchTo(context);
	if (!run_step(purge, purge_plans, context) ||
		!run_step(purge, summarise, context) ||
		!run_step(purge, purge_submission_records, context))
		return;
	begin_batch(purge);
	clear_up(purge);
	end_batch(context);
	(void) (run_step(purge, purge_month, context) && run_step(purge, close_abandoned, context));
}

/*
 * Go through the register once.  In a transaction, outside which the caller needs
 * nothing: it is committed.
 */
void
PurgeRun(int batch_size, int max_rate)
{
	Purge		purge = {
		/* What a second allows, so that the rest after a batch is no longer. */
		.batch_size = max_rate == 0 ? batch_size : Min(batch_size, max_rate),
	.max_rate = max_rate};
	Relation	plans = CpisTableOpen(CPIS_PLAN, AccessShareLock);

	purge.end = RelationGetNumberOfBlocks(plans);
	table_close(plans, AccessShareLock);
	ItemPointerSet(&purge.position, 0, 0);
	INSTR_TIME_SET_CURRENT(purge.begun_at);
	purge.reported_at = purge.begun_at;
	purge.began = GetCurrentTimestamp();

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	run(&purge);
	SPI_finish();
	ereport(NOTICE,
			(errmsg("plans removed: " INT64_FORMAT ", failed: " INT64_FORMAT
					", held back: " INT64_FORMAT ", locked by others: " INT64_FORMAT,
					purge.plans.removed, purge.plans.failed, purge.plans.held_back,
					purge.plans.passed_over)));
	if (purge.cursor.submission_id != 0)
		ereport(NOTICE,
				(errmsg("submission records removed: " INT64_FORMAT ", failed: " INT64_FORMAT
						", held back: " INT64_FORMAT,
						purge.submission_records.removed, purge.submission_records.failed,
						purge.submission_records.held_back)));
}

/*
 * cpis_purge(batch_size, max_rate): a procedure.  2D000 inside a transaction of the
 * caller's, 22023 for arguments out of range.
 */
Datum
cpis_purge(PG_FUNCTION_ARGS)
{
	ChangeCheckCallable("cpis_purge()");
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s cannot be called inside a transaction", "cpis_purge()"),
				 errdetail("It commits each batch."),
				 errhint("CALL it outside BEGIN and outside functions, and not as one of several statements in a string.")));
	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1 || PG_GETARG_INT32(0) > PURGE_BATCH_MOST)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "batch_size",
					  psprintf("must be from 1 to %d", PURGE_BATCH_MOST));
	if (!PG_ARGISNULL(1) && PG_GETARG_INT32(1) < 1)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "max_rate", "must be positive");
	PurgeRun(PG_GETARG_INT32(0), PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1));
	PG_RETURN_NULL();
}
