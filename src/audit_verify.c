/*-------------------------------------------------------------------------
 *
 * audit_verify.c
 *	  cpis_audit_verify(): is the trail as it was written?
 *
 * The trail is cut into chunks of events.  The caller's backend and parallel
 * workers, as many as max_parallel_maintenance_workers and the number of chunks
 * allow, take one after the other and verify its events, tiles and checkpoints
 * (verify_event.c, verify_checkpoint.c); the caller's backend reads the notices
 * (verify_notice.c) before it takes part in that, and afterwards looks at what
 * belongs to no chunk.
 *
 * Events are read by the index on their numbers.  That nothing is hidden from it
 * is known by counting: every number being there once, there are as many rows in
 * the tables as numbers, or some that no number leads to.  Of months that have been
 * removed (removed_month.c) the tiles are verified, which stay, and that the removal
 * was recorded.
 *
 * Everything is read under the caller's snapshot, which the workers share, as
 * they do his transaction: he sees what he himself has changed and not
 * committed.  Memory does not grow with the trail.  All can be cancelled, and
 * tell how far they are by a notice every few seconds.
 *
 * The answer is the problem with the lowest event number that was met.  Where
 * there is one, chunks that nobody has taken yet are left out, and so is what
 * needs all of them.
 *
 * shared->mutex is held for a few assignments.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/xact.h"
#include "audit_event.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "removed_month.h"
#include "spin_wait.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "verify.h"

#define KEY_SHARED UINT64CONST(1)

/* How often to say how far it is. */
#define REPORT_EVERY_US (5 * INT64CONST(1000000))

/* Rows between two looks at interrupts, at the clock, and at memory. */
#define ROWS_BETWEEN_LOOKS 256

PG_FUNCTION_INFO_V1(cpis_audit_verify);
extern PGDLLEXPORT void cpis_audit_verify_worker(dsm_segment *segment, shm_toc *toc);

/*
 * Report a problem; of several, that with the lowest event counts, and of these
 * the first.
 */
void
VerifyProblem(Verifier *verifier, int64 event_id, const char *format,...)
{
	VerifyShared *shared = verifier->shared;
	char		problem[VERIFY_PROBLEM_SIZE];
	va_list		args;

	va_start(args, format);
	vsnprintf(problem, sizeof(problem), format, args);
	va_end(args);
	/* Where it was cut off, no character may have been. */
	problem[pg_mbcliplen(problem, strlen(problem), sizeof(problem) - 1)] = '\0';

	SpinLockAcquire(&shared->mutex);
	if (shared->problem_event < 0 || event_id < shared->problem_event)
	{
		shared->problem_event = event_id;
		memcpy(shared->problem, problem, sizeof(problem));
	}
	SpinLockRelease(&shared->mutex);
}

/*
 * Has any process found a problem?
 */
bool
VerifyHasProblem(Verifier *verifier)
{
	bool		result;

	SpinLockAcquire(&verifier->shared->mutex);
	result = verifier->shared->problem_event >= 0;
	SpinLockRelease(&verifier->shared->mutex);
	return result;
}

/*
 * Count rows, and every now and then let interrupts come, free memory, and tell
 * how far it is.  row_context must not be in use.
 */
void
VerifyProgress(Verifier *verifier, int64 rows)
{
	VerifyShared *shared = verifier->shared;

	verifier->rows += rows;
	if (++verifier->unlooked < ROWS_BETWEEN_LOOKS)
		return;
	verifier->unlooked = 0;
	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(verifier->row_context);
	pg_atomic_fetch_add_u64(&shared->checked, verifier->rows);
	verifier->rows = 0;

	if (verifier->is_leader && microseconds_since(shared->reported_at) > REPORT_EVERY_US)
	{
		ereport(NOTICE,
				(errmsg("verified " INT64_FORMAT " of " INT64_FORMAT " events",
						(int64) pg_atomic_read_u64(&shared->checked),
						shared->end - shared->first)));
		INSTR_TIME_SET_CURRENT(shared->reported_at);
	}
}

static Verifier *
verifier_open(VerifyShared *shared)
{
	Verifier   *verifier = palloc0(sizeof(Verifier));
	int			names;

	verifier->shared = shared;
	verifier->is_leader = !IsParallelWorker();
	verifier->notices = FINGERPRINT_EMPTY;
	verifier->reading = LedgerReadingBegin(GetActiveSnapshot(), true);
	verifier->trail = EventTrailOpen(LedgerMonths(verifier->reading), verifier->reading->snapshot);
	verifier->origin = LedgerOrigin(verifier->reading, &verifier->created_at, &names);
	verifier->row_context = AllocSetContextCreate(CurrentMemoryContext, "cpis verify",
												  ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&verifier->buffer);
	return verifier;
}

/*
 * Hand over what a process has found, and end it.
 */
static void
verifier_close(Verifier *verifier)
{
	VerifyShared *shared = verifier->shared;

	pg_atomic_fetch_add_u64(&shared->checked, verifier->rows);
	SpinLockAcquire(&shared->mutex);
	shared->notices = fingerprint_join(shared->notices, verifier->notices);
	shared->checkpoints += verifier->checkpoints;
	shared->key_events += verifier->key_events;
	shared->key_changes += verifier->key_changes;
	SpinLockRelease(&shared->mutex);

	EventTrailClose(verifier->trail);
	LedgerReadingEnd(verifier->reading);
}

/*
 * Take months and count their rows, and then chunks and verify them, until there
 * is none or a problem.
 */
static void
verify_chunks(Verifier *verifier)
{
	VerifyShared *shared = verifier->shared;

	if (shared->whole)
		VerifyCountEvents(verifier);
	while (!VerifyHasProblem(verifier))
	{
		int64		chunk = pg_atomic_fetch_add_u64(&shared->next_chunk, 1);
		int64		first = Max(chunk * VERIFY_CHUNK, shared->first);
		int64		end = Min((chunk + 1) * VERIFY_CHUNK, shared->end);

		if (first >= end)
			break;
		VerifyEvents(verifier, first, end);
		/* With the first events goes what covers none. */
		VerifyCheckpoints(verifier, shared->whole && first == 0 ? -1 : first, end);
	}
}

/*
 * What a parallel worker does.
 */
void
cpis_audit_verify_worker(dsm_segment *segment, shm_toc *toc)
{
	Verifier   *verifier = verifier_open(shm_toc_lookup(toc, KEY_SHARED, false));

	verify_chunks(verifier);
	verifier_close(verifier);
}

/*
 * How many workers would have something to do.
 */
static int
useful_workers(const VerifyShared *shared)
{
	int64		chunks = (shared->end - 1) / VERIFY_CHUNK - shared->first / VERIFY_CHUNK + 1;

	if (shared->end <= shared->first)
		return 0;
	return Min(max_parallel_maintenance_workers, chunks - 1);
}

/*
 * What must be looked at when everything else has been found whole.
 */
static void
verify_rest(VerifyShared *shared, uint64 notices)
{
	Verifier   *verifier = verifier_open(shared);

	if (!VerifyHasProblem(verifier) && notices != shared->notices)
		VerifyNoticesFind(verifier);
	if (!VerifyHasProblem(verifier) && shared->whole)
	{
		VerifyNoOtherEvents(verifier);
		VerifyRemovedMonths(verifier);
		VerifyUpperTiles(verifier);
		VerifyKeyEvents(verifier);
		VerifyLedgerCounts(verifier);
	}
	verifier->rows = 0;
	verifier_close(verifier);
}

/*
 * Verify what "plan" says, in parallel where that helps; the result is left in
 * it.
 */
static void
verify(VerifyShared *plan)
{
	ParallelContext *context;
	VerifyShared *shared;
	Verifier   *verifier;
	uint64		notices;

	EnterParallelMode();
	context = CreateParallelContext("$libdir/cpis", "cpis_audit_verify_worker",
									useful_workers(plan));
	shm_toc_estimate_chunk(&context->estimator, sizeof(VerifyShared));
	shm_toc_estimate_keys(&context->estimator, 1);
	InitializeParallelDSM(context);
	shared = shm_toc_allocate(context->toc, sizeof(VerifyShared));
	memcpy(shared, plan, sizeof(VerifyShared));
	SpinLockInit(&shared->mutex);
	shm_toc_insert(context->toc, KEY_SHARED, shared);
	verifier = verifier_open(shared);
	shared->months = EventTrailMonths(verifier->trail);
	LaunchParallelWorkers(context);

	notices = VerifyNoticesRead(verifier);
	verify_chunks(verifier);
	/* Without events there is no chunk for the checkpoint of none. */
	if (shared->whole && shared->end == 0)
		VerifyCheckpoints(verifier, -1, 0);
	verifier_close(verifier);
	WaitForParallelWorkersToFinish(context);

	verify_rest(shared, notices);
	memcpy(plan, shared, sizeof(VerifyShared));
	DestroyParallelContext(context);
	ExitParallelMode();
}

/*
 * What to verify: the whole trail, or from one event to another.  From here on, the
 * active snapshot is one that was taken when months could not go any more: an older one
 * would miss their events, but not see that they have been removed.
 */
static void
make_plan(FunctionCallInfo fcinfo, VerifyShared *plan)
{
	LedgerReading *reading;
	uint64		random[2];

	memset(plan, 0, sizeof(VerifyShared));
	INSTR_TIME_SET_CURRENT(plan->reported_at);
	LedgerLockToRead();
	PushActiveSnapshot(GetLatestSnapshot());
	reading = LedgerReadingBegin(GetActiveSnapshot(), false);
	plan->tree_size = LedgerTreeSize(reading);
	plan->floor = RemovedMonthsFloor(reading->snapshot);
	LedgerReadingEnd(reading);

	plan->first = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);
	plan->end = PG_ARGISNULL(1) ? plan->tree_size : PG_GETARG_INT64(1) + 1;
	plan->whole = PG_ARGISNULL(0) && PG_ARGISNULL(1);
	if (plan->first < 0 || plan->end < 0 ||
		(!plan->whole && (plan->end <= plan->first || plan->end > plan->tree_size)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there are no such events"),
				 errdetail("The ledger has " INT64_FORMAT " events, numbered from 0.", plan->tree_size)));
	if (!plan->whole && plan->first < plan->floor)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there are no such events"),
				 errdetail("Events below " INT64_FORMAT " have been removed, for their time has run.", plan->floor)));

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random numbers")));
	fingerprint_key_make(&plan->key, random);
	pg_atomic_init_u32(&plan->next_month, 0);
	pg_atomic_init_u64(&plan->next_chunk, plan->first / VERIFY_CHUNK);
	pg_atomic_init_u64(&plan->checked, 0);
	plan->notices = FINGERPRINT_EMPTY;
	plan->problem_event = -1;
}

/*
 * cpis_audit_verify(from_event = NULL, to_event = NULL) -> checked, event_id,
 * problem; the last two are NULL where the trail is whole.
 */
Datum
cpis_audit_verify(PG_FUNCTION_ARGS)
{
	VerifyShared plan;
	TupleDesc	descriptor;
	Datum		values[3] = {0};
	bool		isnull[3] = {false, true, true};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	make_plan(fcinfo, &plan);
	verify(&plan);
	PopActiveSnapshot();

	values[0] = Int64GetDatum(pg_atomic_read_u64(&plan.checked));
	if (plan.problem_event >= 0)
	{
		values[1] = Int64GetDatum(plan.problem_event);
		values[2] = CStringGetTextDatum(plan.problem);
		isnull[1] = isnull[2] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(descriptor, values, isnull)));
}
