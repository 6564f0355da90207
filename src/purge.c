/*-------------------------------------------------------------------------
 *
 * purge.c
 *	  cpis_purge(): remove plans whose term has ended.
 *
 * The procedure goes through cpis.plan once, from its beginning to where it ended
 * when the purge began, in batches.  Each batch is a transaction of its own:
 *
 *	1. lock cpis.retention_policy (Share), cpis.plan (RowExclusive) and cpis.hold
 *	   (Share), in this order, which is that of DROP EXTENSION; who is just setting a
 *	   term or placing a hold is waited for;
 *	2. find plans that are due (due.c), lock their rows, and pass over those that
 *	   others have locked: they are found again by the next purge;
 *	3. delete them.  Where that fails - a foreign key or a trigger of somebody's -
 *	   the batch is halved until the row that fails stands alone; that is noted in
 *	   cpis.purge_failure, and the purge goes on;
 *	4. record one event for those that were deleted (removal.c) and wait until it is
 *	   durable; then insert their certificates, and commit.
 *
 * So a record goes together with its certificate, never without an event, and none
 * twice.  Where the server dies between event and commit, the records are still
 * there, and the event names certificates that do not exist:
 * cpis_retention_reconcile() shows it.
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
#include "audit_event.h"
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
#include "purge_switch.h"
#include "queue.h"
#include "removal.h"
#include "removed_month.h"
#include "request.h"
#include "retention.h"
#include "spin_wait.h"
#include "storage/bufmgr.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(cpis_purge);

/* The most records of one batch: their certificates are proved together. */
#define BATCH_MOST 10000

/*
 * The share of one processor, in percent, that the purge takes while look-ups wait,
 * and the longest rest between two batches.
 */
#define PROCESSOR_SHARE 35
#define REST_MOST_MS 100

/* How often to say how far it is. */
#define REPORT_EVERY_US (5 * INT64CONST(1000000))

/* One run. */
typedef struct Purge
{
	int			batch_size;
	int			max_rate;		/* plans a second, or 0 */
	BlockNumber end;			/* of the table when the purge began */
	ItemPointerData position;	/* where the next batch begins */
	MemoryContext batch_context;
	instr_time	begun_at;
	instr_time	reported_at;
	int64		removed;
	int64		failed;
	int64		held_back;
	int64		passed_over;	/* locked by others */
} Purge;

/* What has been spent when a batch begins. */
typedef struct Effort
{
	instr_time	began_at;
	int64		processor_us;
} Effort;

/* Plans of one batch, all arrays of the same length. */
typedef struct Batch
{
	int			n;
	ItemPointerData *tids;
	int64	   *plan_ids;
	Removal    *removals;
} Batch;

/*
 * Add a due plan, whose row is locked.
 */
static void
add_plan(Batch *batch, const DuePlan *due, const ItemPointerData *tid, StringInfo buffer)
{
	Removal    *removal = &batch->removals[batch->n];
	const Datum *values = due->record.values;

	batch->tids[batch->n] = *tid;
	batch->plan_ids[batch->n] = DatumGetInt64(values[PLAN_PLAN_ID - 1]);
	removal->kind = datumCopy(values[PLAN_PLAN_TYPE - 1], false, -1);
	removal->local_authority = datumCopy(values[PLAN_LOCAL_AUTHORITY - 1], false, -1);
	removal->due_on = (DateADT) (due->term.last_day + 1);
	removal->has_days = due->term.has_days;
	removal->retention_days = due->term.days;
	PlanRecordCommitment(&due->record, buffer, removal->commitment);
	batch->n++;
}

/*
 * Lock the row in the slot, without waiting; false where it is no longer there as
 * it was seen, or somebody else has it.
 */
static bool
lock_row(Purge *purge, Relation plans, TupleTableSlot *slot, Snapshot snapshot)
{
	ItemPointerData tid = slot->tts_tid;
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(plans, &tid, snapshot, slot, GetCurrentCommandId(true),
										  LockTupleExclusive, LockWaitSkip, 0, &failure);

	if (result != TM_Ok)
		purge->passed_over++;
	return result == TM_Ok;
}

/*
 * Find and lock the plans of the next batch, and move the position behind what has
 * been seen; false at the end of the table.
 */
static bool
find_plans(Purge *purge, Relation plans, Batch *batch)
{
	ItemPointerData last;
	TableScanDesc scan;
	TupleTableSlot *slot;
	TupleTableSlot *locked = table_slot_create(plans, NULL);
	StringInfoData buffer;
	DueSieve	sieve;
	DuePlan		due;
	bool		more;

	initStringInfo(&buffer);
	ItemPointerSet(&last, purge->end, 0);
	DueSieveBegin(&sieve, DayToday());
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
			purge->held_back++;
		else
		{
			locked->tts_tid = slot->tts_tid;
			if (lock_row(purge, plans, locked, sieve.reading.snapshot))
				add_plan(batch, &due, &slot->tts_tid, &buffer);
			ExecClearTuple(locked);
		}
		if (batch->n == purge->batch_size)
			break;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(locked);
	DueSieveEnd(&sieve);
	return more;
}

static int
compare_ids(const void *a, const void *b)
{
	int64		one = *(const int64 *) a;
	int64		other = *(const int64 *) b;

	return (one > other) - (one < other);
}

/*
 * Delete plans of the batch from "first" on.  Constraints that are put off to the
 * commit are looked at here, where it is known whose they are.
 */
static void
delete_plans(const Batch *batch, int first, int n)
{
	static const Oid types[] = {TIDARRAYOID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_PLAN), .nids = n};
	int64	   *ids = palloc(n * sizeof(int64));
	Datum	   *tids = palloc(n * sizeof(Datum));
	Datum		values[1];

	memcpy(ids, batch->plan_ids + first, n * sizeof(int64));
	qsort(ids, n, sizeof(int64), compare_ids);
	change.ids = ids;
	for (int i = 0; i < n; i++)
		tids[i] = PointerGetDatum(&batch->tids[first + i]);
	values[0] = PointerGetDatum(construct_array(tids, n, TIDOID, sizeof(ItemPointerData),
												false, TYPALIGN_SHORT));
	if (OwnChangeExecute(&change, "DELETE FROM cpis.plan WHERE ctid OPERATOR(pg_catalog.=) ANY ($1)",
						 lengthof(types), types, values, NULL, NULL) != n)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("a trigger has kept the plan")));
	(void) OwnChangeExecute(&change, "SET CONSTRAINTS ALL IMMEDIATE", 0, NULL, NULL, NULL, NULL);
}

/*
 * Is the error one that another row, or another time, would have too?
 */
static bool
concerns_no_row(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) ||
		error->sqlerrcode == ERRCODE_READ_ONLY_SQL_TRANSACTION;
}

/*
 * Delete them in a subtransaction; where that fails, nothing has happened, and
 * the error is answered.
 */
static ErrorData *
try_to_delete(const Batch *batch, int first, int n)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		delete_plans(batch, first, n);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	if (error != NULL && concerns_no_row(error))
		ReThrowError(error);
	return error;
}

/*
 * Note that a plan could not be removed, and say so.
 */
static void
note_failure(Purge *purge, int64 plan_id, const ErrorData *error)
{
	static const Oid types[] = {INT8OID, TEXTOID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_PURGE_FAILURE)};
	const char *sqlstate = unpack_sql_state(error->sqlerrcode);
	Datum		values[2];

	purge->failed++;
	values[0] = Int64GetDatum(plan_id);
	values[1] = CStringGetTextDatum(sqlstate);
	(void) OwnChangeExecute(&change,
							"INSERT INTO cpis.purge_failure (plan_id, failed_at, sqlstate)"
							" VALUES ($1, pg_catalog.clock_timestamp(), $2)"
							" ON CONFLICT (plan_id) DO UPDATE SET failed_at = excluded.failed_at,"
							" sqlstate = excluded.sqlstate",
							lengthof(types), types, values, NULL, NULL);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not remove plan " INT64_FORMAT ": %s", plan_id, error->message)));
}

/*
 * Record the removal of plans that have been deleted, and certify it.
 */
static void
certify(const Batch *batch, int first, int n)
{
	MerkleHash *leaves = palloc(n * sizeof(MerkleHash));
	char		root_text[2 * SHA256_LENGTH + 1];
	MerkleHash	root;
	StringInfoData buffer;
	AuditEvent	event;

	initStringInfo(&buffer);
	for (int i = 0; i < n; i++)
		RemovalLeaf(&batch->removals[first + i], &buffer, &leaves[i]);
	RemovalRoot(leaves, n, &root);
	root_text[hex_encode((char *) root.bytes, SHA256_LENGTH, root_text)] = '\0';

	AuditEventInit(&event, REMOVAL_ACTION);
	snprintf(event.detail, sizeof(event.detail), "plans: %d, root: %s", n, root_text);
	RecordChange(&event);
	RemovalInsert(batch->removals + first, n, event.event_id, event.recorded_at);
}

/*
 * Remove plans of the batch; halve it where that fails.
 */
static void
remove_plans(Purge *purge, const Batch *batch, int first, int n)
{
	ErrorData  *error = try_to_delete(batch, first, n);

	if (error == NULL)
	{
		certify(batch, first, n);
		purge->removed += n;
	}
	else if (n == 1)
		note_failure(purge, batch->plan_ids[first], error);
	else
	{
		remove_plans(purge, batch, first, n / 2);
		remove_plans(purge, batch, first + n / 2, n - n / 2);
	}
}

/*
 * One batch, in the present transaction; false when there is nothing left to see.
 */
static bool
purge_batch(Purge *purge)
{
	Relation	plans;
	Batch		batch = {0};
	bool		more;

	LockRelationOid(CpisRelationOid(CPIS_RETENTION_POLICY), ShareLock);
	plans = CpisTableOpen(CPIS_PLAN, RowExclusiveLock);
	LockRelationOid(CpisRelationOid(CPIS_HOLD), ShareLock);
	batch.tids = palloc(purge->batch_size * sizeof(ItemPointerData));
	batch.plan_ids = palloc(purge->batch_size * sizeof(int64));
	batch.removals = palloc(purge->batch_size * sizeof(Removal));
	more = find_plans(purge, plans, &batch);
	if (batch.n > 0)
		remove_plans(purge, &batch, 0, batch.n);
	table_close(plans, NoLock);
	return more;
}

/*
 * Tell how far it is: in pg_stat_activity after each batch, and to the caller
 * every few seconds.
 */
static void
report(Purge *purge)
{
	char		progress[128];

	snprintf(progress, sizeof(progress), "cpis_purge: " INT64_FORMAT " plans removed, at page %u of %u",
			 purge->removed, ItemPointerGetBlockNumberNoCheck(&purge->position), purge->end);
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
		int64		ahead = purge->removed * 1000 / purge->max_rate -
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
	if (purge->removed > 0 && left_ms > 0 && QueueWaiting() > 0)
		rest(Min(left_ms, REST_MOST_MS));
}

/*
 * Forget the failures of plans that are there no more.
 */
static void
clear_failures(void)
{
	OwnChange	change = {.table = CpisRelationOid(CPIS_PURGE_FAILURE)};

	(void) OwnChangeExecute(&change,
							"DELETE FROM cpis.purge_failure f"
							" WHERE NOT EXISTS (SELECT FROM cpis.plan p WHERE p.plan_id = f.plan_id)",
							0, NULL, NULL, NULL, NULL);
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
 * All batches, until the end of the table or until somebody pauses the purge; then
 * the months of the trail whose time has run.
 */
static void
run(Purge *purge)
{
	MemoryContext context = CurrentMemoryContext;
	bool		more = true;

	purge->batch_context = AllocSetContextCreate(context, "cpis purge", ALLOCSET_DEFAULT_SIZES);
	/* The call may have taken a snapshot, which is of another isolation level. */
	SPI_commit();
	MemoryContextSwitchTo(context);
	while (more)
	{
		Effort		before = {.processor_us = processor_time()};

		INSTR_TIME_SET_CURRENT(before.began_at);
		begin_batch(purge);
		if (PurgeIsPaused())
		{
			end_batch(context);
			ereport(NOTICE, (errmsg("the purge is paused")));
			return;
		}
		more = purge_batch(purge);
		end_batch(context);
		report(purge);
		keep_to_rate(purge);
		give_way(purge, &before);
	}
	begin_batch(purge);
	clear_failures();
	end_batch(context);
	do
	{
		begin_batch(purge);
		more = !PurgeIsPaused() && RemovedMonthNext();
		end_batch(context);
	} while (more);
}

/*
 * Go through the register once.  In a transaction, outside which the caller needs
 * nothing: it is committed.
 */
void
PurgeRun(int batch_size, int max_rate)
{
	Purge		purge = {.batch_size = batch_size, .max_rate = max_rate};
	Relation	plans = CpisTableOpen(CPIS_PLAN, AccessShareLock);

	purge.end = RelationGetNumberOfBlocks(plans);
	table_close(plans, AccessShareLock);
	ItemPointerSet(&purge.position, 0, 0);
	INSTR_TIME_SET_CURRENT(purge.begun_at);
	purge.reported_at = purge.begun_at;

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	run(&purge);
	SPI_finish();
	ereport(NOTICE,
			(errmsg("plans removed: " INT64_FORMAT ", failed: " INT64_FORMAT
					", held back: " INT64_FORMAT ", locked by others: " INT64_FORMAT,
					purge.removed, purge.failed, purge.held_back, purge.passed_over)));
}

/*
 * cpis_purge(batch_size, max_rate): a procedure.  2D000 inside a transaction of the
 * caller's, 22023 for arguments out of range.
 */
Datum
cpis_purge(PG_FUNCTION_ARGS)
{
	RequestCheckCallable("cpis_purge()");
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s cannot be called inside a transaction", "cpis_purge()"),
				 errdetail("It commits each batch."),
				 errhint("CALL it outside BEGIN and outside functions, and not as one of several statements in a string.")));
	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1 || PG_GETARG_INT32(0) > BATCH_MOST)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "batch_size",
					  psprintf("must be from 1 to %d", BATCH_MOST));
	if (!PG_ARGISNULL(1) && PG_GETARG_INT32(1) < 1)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "max_rate", "must be positive");
	PurgeRun(PG_GETARG_INT32(0), PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1));
	PG_RETURN_NULL();
}
