/*-------------------------------------------------------------------------
 *
 * record.c
 *	  Have an event recorded, and know that it is.
 *
 * RecordEvent() is the requester's side of the queue, called by lookup.c in
 * the caller's backend.  When it returns, the event is durable, whatever
 * becomes of the caller's transaction.  When it does not - the writer failed
 * or cannot be started, time is up, the statement was cancelled, the session
 * ended - it raises an error, and the caller must not disclose anything.
 *
 * It holds no lock while it waits.  The caller may hold some that the writer
 * needs, which no deadlock detector sees; hence the deadline.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "record.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "writer.h"

StaticAssertDecl(sizeof(AuditEvent) <= QUEUE_PAYLOAD_SIZE,
				 "an audit event must fit into a slot of the queue");

/* How often a waiter looks after a writer that does not come, in ms. */
#define FIRST_RETRY_MS 10
#define LAST_RETRY_MS 500

/* What a waiter knows of the writer it tried to start. */
typedef struct StartAttempt
{
	BackgroundWorkerHandle *handle; /* NULL: none of its own under way */
	int			retry_ms;		/* until the next look */
	bool		no_worker_slot;
} StartAttempt;

/*
 * Start a writer if there is none and nobody else is at it; see what became of
 * the one that this backend started.
 */
static void
look_after_writer(StartAttempt *attempt)
{
	pid_t		pid;

	if (attempt->handle != NULL)
	{
		BgwHandleStatus status = GetBackgroundWorkerPid(attempt->handle, &pid);

		if (status == BGWH_NOT_YET_STARTED)
			return;
		if (status == BGWH_STOPPED)
			QueueWriterStartFailed();
		pfree(attempt->handle);
		attempt->handle = NULL;
		if (status == BGWH_STOPPED)
			return;				/* not at once again */
	}

	if (!QueueClaimWriterStart())
		return;
	attempt->no_worker_slot = !WriterStart(&attempt->handle);
	if (attempt->no_worker_slot)
	{
		attempt->handle = NULL;
		QueueWriterStartFailed();
	}
}

/*
 * Raise the error that time is up.
 */
static void
raise_timeout(const StartAttempt *attempt)
{
	if (attempt->no_worker_slot)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("access event could not be recorded within %d ms",
						cpis_record_timeout),
				 errdetail("All slots for background workers are taken."),
				 errhint("Consider increasing max_worker_processes."),
				 errhidestmt(true), errhidecontext(true)));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("access event could not be recorded within %d ms",
					cpis_record_timeout),
			 errdetail("The writer of the audit trail has not answered."),
			 errhint("See whether a lock on a table in schema cpis is held, the disk is slow, or a synchronous standby does not confirm."),
			 errhidestmt(true), errhidecontext(true)));
}

static bool
is_answered(QueueSlot *slot)
{
	QueueSlotState state = QueueSlotGetState(slot);

	return state == QUEUE_SLOT_RECORDED || state == QUEUE_SLOT_FAILED;
}

static long
milliseconds_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return (long) INSTR_TIME_GET_MILLISEC(now);
}

/*
 * Wait until the slot holds an answer, or raise an error.
 */
static void
wait_for_answer(QueueSlot *slot)
{
	static uint32 wait_event = 0;
	StartAttempt attempt = {NULL, FIRST_RETRY_MS, false};
	instr_time	start;

	/* Not by the clock on the wall, which may be set back. */
	INSTR_TIME_SET_CURRENT(start);

	if (wait_event == 0)
		wait_event = CPIS_WAIT_EVENT("CpisRecordEvent");

	while (!is_answered(slot))
	{
		long		left = cpis_record_timeout - milliseconds_since(start);

		if (left <= 0)
		{
			if (QueueWithdraw())
				raise_timeout(&attempt);
			break;				/* answered at the last moment */
		}

		look_after_writer(&attempt);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, attempt.retry_ms), wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		attempt.retry_ms = Min(attempt.retry_ms * 2, LAST_RETRY_MS);
	}
}

/*
 * The SQLSTATE to pass on.  Of class 42 are refusals, which are recorded; what
 * the writer lacks is something else.
 */
static int
answer_sqlerrcode(int sqlerrcode)
{
	if (ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION))
		return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	return sqlerrcode;
}

/*
 * Record the event and return when it is durable; event_id, recorded_at and
 * the numbers of the notices are then filled in.  "counter" is what the event
 * counts as in cpis_stat.
 *
 * Errors: 53400 where no writer can be started or the queue is full, 53000
 * where it does not answer in time, and whatever SQLSTATE it failed with.
 */
void
RecordEvent(AuditEvent *event, QueueCounter counter)
{
	QueueSlot  *slot = QueueReserve();
	TimestampTz start = GetCurrentTimestamp();

	memcpy(slot->payload.bytes, event, sizeof(AuditEvent));
	PG_TRY();
	{
		QueueSubmit(slot);
		wait_for_answer(slot);
	}
	PG_CATCH();
	{
		(void) QueueWithdraw();
		QueueCount(QUEUE_FAILURES, 1);
		PG_RE_THROW();
	}
	PG_END_TRY();

	/* The answer was written before the state that wait_for_answer() saw. */
	pg_read_barrier();
	if (QueueSlotGetState(slot) == QUEUE_SLOT_FAILED)
	{
		QueueCount(QUEUE_FAILURES, 1);
		ereport(ERROR,
				(errcode(answer_sqlerrcode(slot->sqlerrcode)),
				 errmsg("access event could not be recorded"),
				 errdetail("The writer of the audit trail reported: %s.",
						   slot->message),
				 errhidestmt(true), errhidecontext(true)));
	}

	memcpy(event, slot->payload.bytes, sizeof(AuditEvent));
	QueueCount(counter, 1);
	QueueCount(QUEUE_WAIT_MICROSECONDS, GetCurrentTimestamp() - start);
}
