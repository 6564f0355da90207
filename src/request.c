/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Ask the writer for something, and wait for its answer.
 *
 * RecordEvent() and RequestLedgerCheckpoint() are the requester's side of the queue,
 * called in the caller's backend.  When RecordEvent() returns, the event is
 * durable, whatever becomes of the caller's transaction.  When it does not - the
 * writer failed or cannot be started, time is up, the statement was cancelled,
 * the session ended - it raises an error, and the caller must not disclose
 * anything.
 *
 * They hold no lock while they wait.  The caller may hold some that the writer
 * needs, which no deadlock detector sees; hence the deadline.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "compat.h"
#include "miscadmin.h"
#include "request.h"
#include "spin_wait.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"
#include "writer.h"

StaticAssertDecl(sizeof(Request) <= QUEUE_PAYLOAD_SIZE,
				 "a request must fit into a slot of the queue");

/* What is said where it comes to nothing. */
#define NO_ACCESS_EVENT "access event could not be recorded"
#define NO_EVENT "event could not be recorded"
#define NO_CHECKPOINT "checkpoint could not be made"

/* How soon a waiter first looks after a writer that does not come, in ms. */
#define FIRST_RETRY_MS 10

/* What a waiter knows of the writer it tried to start. */
typedef struct StartAttempt
{
	BackgroundWorkerHandle *handle; /* NULL: none of its own under way */
	int			retry_ms;		/* until the next look */
	bool		no_worker_slot;
	bool		ended;			/* one of its own has come to nothing */
} StartAttempt;

/*
 * Raise an error where no event could be recorded, or not for this session.
 */
void
RequestCheckCallable(const char *function)
{
	/* A standby starts no writer; its error is the one core raises there. */
	PreventCommandDuringRecovery(function);

	if (IsParallelWorker())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot execute %s in a parallel worker", function)));
}

/*
 * The same for a function that changes something, before it records that it will.
 */
void
ChangeCheckCallable(const char *function)
{
	RequestCheckCallable(function);
	PreventCommandIfReadOnly(function);
}

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

		if (status == BGWH_NOT_YET_STARTED || status == BGWH_STARTED)
			return;
		QueueWriterStartFailed();
		attempt->ended = true;
		pfree(attempt->handle);
		attempt->handle = NULL;
		return;					/* not at once again */
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
raise_timeout(const char *failure, const StartAttempt *attempt)
{
	if (attempt->no_worker_slot)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("%s within %d ms", failure, cpis_record_timeout),
				 errdetail("All slots for background workers are taken."),
				 errhint("Consider increasing max_worker_processes."),
				 errhidestmt(true), errhidecontext(true)));

	/* One of a newer library looks for requests in a queue of its own. */
	if (attempt->ended)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("%s within %d ms", failure, cpis_record_timeout),
				 errdetail("The writer of the audit trail was started, and ended without an answer."),
				 errhint("If the library has been replaced since this session began, reconnect. Else see the server log."),
				 errhidestmt(true), errhidecontext(true)));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("%s within %d ms", failure, cpis_record_timeout),
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

/*
 * Spin until the slot holds an answer, for as long as this is the only request
 * in the cluster that waits: the writer is at it then, and will not be long.
 */
static void
spin_for_answer(QueueSlot *slot, instr_time start)
{
	static SpinWait spin = {0};

	if (QueueWaiting() > 1 || !spin_is_due(&spin))
		return;
	while (QueueWaiting() <= 1 && !InterruptPending)
	{
		bool		in_vain = microseconds_since(start) > SPIN_MOST_US;

		if (in_vain || is_answered(slot))
		{
			spin_learn(&spin, in_vain);
			return;
		}
		spin_pause();
	}
}

/*
 * Sleep until the slot holds an answer, or raise an error.
 */
static void
sleep_for_answer(QueueSlot *slot, const char *failure, instr_time start,
				 bool writer_runs)
{
	static uint32 wait_event = 0;
	StartAttempt attempt = {.retry_ms = FIRST_RETRY_MS};

	if (wait_event == 0)
		wait_event = CPIS_WAIT_EVENT("CpisRecordEvent");

	while (!is_answered(slot))
	{
		long		left = cpis_record_timeout - microseconds_since(start) / 1000;

		if (left <= 0)
		{
			if (QueueWithdraw())
				raise_timeout(failure, &attempt);
			break;				/* answered at the last moment */
		}

		if (!writer_runs)
			look_after_writer(&attempt);
		WakeupSleep(&slot->answered, Min(left, attempt.retry_ms), wait_event);
		CHECK_FOR_INTERRUPTS();
		/* Without an answer, the writer may have gone. */
		writer_runs = false;
		attempt.retry_ms = Min(attempt.retry_ms * 2, WAKEUP_SLEEP_MOST_MS);
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
 * Wait until the slot holds an answer, or raise an error.
 */
static void
wait_for_answer(QueueSlot *slot, const char *failure, bool writer_runs)
{
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	if (writer_runs)
		spin_for_answer(slot, start);
	sleep_for_answer(slot, failure, start, writer_runs);
	/* The answer was written before the state that was seen. */
	pg_read_barrier();
	if (QueueSlotGetState(slot) != QUEUE_SLOT_FAILED)
		return;

	ereport(ERROR,
			(errcode(answer_sqlerrcode(slot->sqlerrcode)),
			 errmsg("%s", failure),
			 errdetail("The writer of the audit trail reported: %s.",
					   slot->message),
			 slot->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ?
			 errhint("See who holds a lock on a table in schema cpis.") : 0,
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Have a filled slot answered, or withdraw it and raise an error.
 */
static void
request(QueueSlot *slot, RequestKind kind, const char *failure)
{
	((Request *) slot->payload.bytes)->kind = kind;
	PG_TRY();
	{
		wait_for_answer(slot, failure, QueueSubmit(slot));
	}
	PG_CATCH();
	{
		(void) QueueWithdraw();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static const char *
failure_of(QueueCounter counter)
{
	return counter == QUEUE_CHANGES ? NO_EVENT : NO_ACCESS_EVENT;
}

/*
 * Record the event and return when it is durable; event_id and recorded_at are
 * then filled in.  "counter" is what the event counts as in cpis_stat.
 *
 * Errors: 53400 where no writer can be started or the queue is full, 53000
 * where it does not answer in time, and whatever SQLSTATE it failed with.
 */
void
RecordEvent(AuditEvent *event, QueueCounter counter)
{
	QueueSlot  *slot = QueueReserve(failure_of(counter));
	AuditEvent *recorded = &((Request *) slot->payload.bytes)->event;
	TimestampTz start = GetCurrentTimestamp();

	AuditEventCopy(recorded, event);
	PG_TRY();
	{
		request(slot, REQUEST_EVENT, failure_of(counter));
	}
	PG_CATCH();
	{
		QueueCount(QUEUE_FAILURES, 1);
		PG_RE_THROW();
	}
	PG_END_TRY();

	event->event_id = recorded->event_id;
	event->recorded_at = recorded->recorded_at;
	QueueCount(counter, 1);
	QueueCount(QUEUE_WAIT_MICROSECONDS, GetCurrentTimestamp() - start);
}

/*
 * Record an event of a change that the caller's transaction makes, which gets a
 * number for it: the event is durable before the change is.  The outcome is "done" unless the
 * event has another.
 */
void
RecordChange(AuditEvent *event)
{
	event->transaction_id = U64FromFullTransactionId(GetTopFullTransactionId());
	if (event->outcome[0] == '\0')
		strlcpy(event->outcome, "done", sizeof(event->outcome));
	RecordEvent(event, QUEUE_CHANGES);
}

/*
 * Have the writer make a checkpoint that covers reply->wanted events, or, where
 * that is -1, every event recorded before.  Errors are those of RecordEvent().
 */
void
RequestLedgerCheckpoint(CheckpointReply *reply)
{
	QueueSlot  *slot = QueueReserve(NO_CHECKPOINT);

	((Request *) slot->payload.bytes)->checkpoint.wanted = reply->wanted;
	request(slot, REQUEST_CHECKPOINT, NO_CHECKPOINT);
	*reply = ((Request *) slot->payload.bytes)->checkpoint;
}
