/*-------------------------------------------------------------------------
 *
 * writer.c
 *	  The background worker that writes the audit trail of one database.
 *
 * A look-up that finds no writer starts one.  It takes whatever is queued as
 * one batch, writes events and notices in one transaction, waits until that is
 * durable, here and on the synchronous standby if there is one, and only then
 * answers; while the disk works, the next batch collects.  It leaves when it
 * has been idle for cpis.writer_idle_timeout.  Checkpoints of the ledger it makes
 * in transactions of their own (checkpoint.c), so that one that cannot be made
 * stops no look-up.  In others, it wakes the local authorities that have new
 * notices (notice_wake.c).
 *
 * One writer a database.  The queue admits one; and since an older version of
 * the library may have a queue of its own, a writer also holds a session lock
 * on the extension, in a mode that excludes another writer and DROP EXTENSION.
 * Numbers of events and notices are kept in memory on the strength of that.
 *
 * Settings.  Those of the role, the database or the cluster must not weaken or
 * stop the recording, so the writer sets its own for everything that could
 * (own_settings.c, and here how it waits).
 *
 * Errors.  A batch that fails is rolled back and each of its requests answered
 * with the SQLSTATE and the primary message; DETAIL could hold a row and goes
 * nowhere.  The writer goes on with the next batch.  If it cannot begin at all,
 * everybody who waits is answered so, and it exits.  When it is terminated, a
 * callback (queue.c) answers what it had taken.
 *
 * When the library file or the extension has changed, the writer leaves before
 * it takes another batch, and the next one runs the new code.  A busy writer
 * looks at the file ten times a second only.  It learns of the extension inside
 * a batch, which it still writes or fails.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_extension.h"
#include "checkpoint.h"
#include "commands/extension.h"
#include "compat.h"
#include "direct_read_switch.h"
#include "miscadmin.h"
#include "month.h"
#include "notice_wake.h"
#include "own_settings.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "queue.h"
#include "relation.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "request.h"
#include "spin_wait.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "trail.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "writer.h"

/* How often to look whether the library has been replaced, while busy. */
#define LIBRARY_LOOK_MS 100

/* How long a checkpoint that nobody asked for may wait for a lock. */
#define CHECKPOINT_LOCK_TIMEOUT_MS 100

/* The most requests that share a transaction. */
#define BATCH_MOST 1024

int			cpis_record_timeout = 5000;
int			cpis_writer_idle_timeout = 3000;

static MemoryContext batch_context = NULL;
static struct stat library;		/* of the file this code was loaded from */
static bool library_known = false;
static bool extension_changed = false;
static bool extension_held = false;
static LOCKTAG extension_tag;

/*
 * Register a writer for this database.  False where every slot for background
 * workers is taken; else *handle tells what becomes of it.
 */
bool
WriterStart(BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "$libdir/cpis", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "cpis_writer_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "cpis writer for database %u", MyDatabaseId);
	strlcpy(worker.bgw_type, "cpis writer", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	worker.bgw_notify_pid = MyProcPid;

	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/*
 * How long to wait for a lock, in milliseconds: less than the callers wait for
 * the writer, so that they learn what stopped it.
 */
static int
own_lock_timeout(void)
{
	return Max(cpis_record_timeout / 4 * 3, 1);
}

static void
set_own_lock_timeout(void)
{
	char		milliseconds[16];

	snprintf(milliseconds, sizeof(milliseconds), "%d", own_lock_timeout());
	SetConfigOption("lock_timeout", milliseconds, PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * A weaker level would answer before the event is safe, here and on the
 * synchronous standby; a stronger one stays.
 */
static void
set_own_synchronous_commit(void)
{
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		SetConfigOption("synchronous_commit", "on", PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * The file that this code was loaded from, as it is now; false where it cannot
 * be told.
 */
static bool
stat_library(struct stat *st)
{
	Dl_info		info;

	return dladdr((void *) cpis_writer_main, &info) != 0 &&
		stat(info.dli_fname, st) == 0;
}

/*
 * Has the library been replaced?  A busy writer does not look before each
 * batch; one that has slept does.
 */
static bool
library_has_changed(bool slept)
{
	static instr_time looked_at;
	struct stat now;

	if (!slept && !INSTR_TIME_IS_ZERO(looked_at) &&
		microseconds_since(looked_at) < LIBRARY_LOOK_MS * 1000)
		return false;
	INSTR_TIME_SET_CURRENT(looked_at);

	/* A file that is not there is being replaced: stay until it is. */
	return library_known && stat_library(&now) &&
		(now.st_ino != library.st_ino || now.st_dev != library.st_dev ||
		 now.st_mtime != library.st_mtime || now.st_size != library.st_size);
}

/*
 * Hold the extension, from now on and across transactions: a mode that
 * conflicts with itself and with what DROP EXTENSION takes.  Rolling back a
 * transaction gives up session locks, too, so this is called at the beginning
 * of each batch, inside its transaction.
 */
static void
hold_extension(void)
{
	Oid			extension;

	if (extension_held)
		return;
	extension = get_extension_oid("cpis", false);
	SET_LOCKTAG_OBJECT(extension_tag, MyDatabaseId, ExtensionRelationId,
					   extension, 0);
	(void) LockAcquire(&extension_tag, ShareUpdateExclusiveLock, true, false);
	extension_held = true;

	/* It may be another one, or none, after waiting behind a DROP. */
	if (get_extension_oid("cpis", false) != extension)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" has been replaced", "cpis")));
}

/*
 * Does somebody wait to drop the extension, or for another lock that conflicts?
 * However busy the look-ups are, the writer then leaves; the next one waits its
 * turn.
 */
static bool
extension_is_wanted(void)
{
	return extension_held &&
		LockHasWaiters(&extension_tag, ShareUpdateExclusiveLock, true);
}

/*
 * After a transaction was rolled back: the lock is gone, another writer may
 * have come and gone, and nothing that is remembered of the trail counts.
 */
static void
forget_trail(void)
{
	extension_held = false;
	TrailForget();
	CheckpointForget();
	DirectReadSwitchForget();
}

/*
 * At exit, give the lock up: the server does not do so for a session lock of
 * this kind outside a transaction.
 */
static void
release_extension(int code, Datum arg)
{
	AbortOutOfAnyTransaction();
	LockReleaseAll(DEFAULT_LOCKMETHOD, true);
}

/*
 * Has the standby confirmed this process's last commit?  A wait that somebody
 * cancelled only warns, and then reports success like any other.
 */
static bool
standby_has_confirmed(void)
{
	int			mode = (synchronous_commit == SYNCHRONOUS_COMMIT_REMOTE_APPLY) ?
		SYNC_REP_WAIT_APPLY : SYNC_REP_WAIT_FLUSH;
	bool		named = (SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0');
	bool		confirmed;

	if (!SyncRepRequested())
		return true;

	/* This process and the checkpointer read a new setting at their own time. */
	LWLockAcquire(SyncRepLock, LW_SHARED);
	confirmed = (!named && !CPIS_SYNC_STANDBYS_DEFINED()) ||
		WalSndCtl->lsn[mode] >= XactLastCommitEnd;
	LWLockRelease(SyncRepLock);
	return confirmed;
}

/*
 * Begin a transaction that may append to the trail, and in which locks are waited
 * for no longer than this, in milliseconds; 0: as ever.
 */
static void
begin_writing(int lock_timeout)
{
	StartTransactionCommand();
	if (lock_timeout > 0)
	{
		char		milliseconds[16];

		snprintf(milliseconds, sizeof(milliseconds), "%d", lock_timeout);
		(void) set_config_option("lock_timeout", milliseconds, PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(batch_context);
	hold_extension();
	extension_changed = CpisExtensionChanged();
}

/*
 * Make it durable.
 */
static void
end_writing(void)
{
	PopActiveSnapshot();
	ForceSyncCommit();
	CommitTransactionCommand();
}

/*
 * Write the batch in one transaction and make that durable.
 *
 * All waiting for locks comes first.  What is given up meanwhile is left out of
 * the batch, *n becoming smaller, for nobody wants to be told of an access that
 * disclosed nothing.
 */
static void
write_batch(QueueSlot **batch, volatile int *n)
{
	TimestampTz now = GetCurrentTimestamp();

	MonthEnsure(now, own_lock_timeout());

	begin_writing(0);
	TrailLock(now);

	*n = QueueDropAbandoned(batch, *n);
	if (*n > 0)
	{
		AuditEvent **events = palloc(*n * sizeof(AuditEvent *));

		for (int i = 0; i < *n; i++)
			events[i] = &((Request *) batch[i]->payload.bytes)->event;
		DirectReadSwitchNote(now);
		TrailAppend(events, *n, now);
		NoticeWakeNote(events, *n);
		CheckpointNoteGrowth(now);
	}
	end_writing();
}

/*
 * Make a checkpoint in one transaction and make that durable.  Wait for the locks
 * that look-ups need no longer than this, and for the others not at all.
 */
static void
write_checkpoint(bool wanted, int lock_timeout, CheckpointReply *reply)
{
	TimestampTz now = GetCurrentTimestamp();

	MonthEnsure(now, lock_timeout);

	begin_writing(lock_timeout);
	TrailLock(now);
	if (CheckpointLock())
		CheckpointMake(now, wanted, reply);
	else
		CheckpointReplyLocked(reply);
	end_writing();
	CheckpointMade(reply);
}

/*
 * Roll back after an error, log it, and answer the batch with it.
 */
static void
fail_batch(QueueSlot **batch, int n, const char *what)
{
	ErrorData  *error;

	MemoryContextSwitchTo(batch_context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	forget_trail();

	for (int i = 0; i < n; i++)
		QueueAnswerFailed(batch[i], error->sqlerrcode, error->message);

	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("%s: %s", what, error->message)));
	FreeErrorData(error);
}

/*
 * Answer a batch whose transaction is durable here.
 */
static void
answer_batch(QueueSlot **batch, int n)
{
	bool		confirmed = standby_has_confirmed();

	for (int i = 0; i < n; i++)
	{
		if (confirmed)
			QueueAnswerRecorded(batch[i]);
		else
			QueueAnswerFailed(batch[i], ERRCODE_ADMIN_SHUTDOWN,
							  "the synchronous standby has not confirmed the event");
	}
}

static void
end_batch(void)
{
	pgstat_report_stat(false);
	MemoryContextSwitchTo(batch_context);
	MemoryContextReset(batch_context);
}

/*
 * Write a batch and answer it, one way or the other.  Nothing between the
 * commit and the answers can raise an error or act on an interrupt.
 */
static void
record_batch(QueueSlot **batch, int taken)
{
	volatile int n = taken;
	volatile bool committed = false;

	MemoryContextSwitchTo(batch_context);
	PG_TRY();
	{
		write_batch(batch, &n);
		committed = true;
	}
	PG_CATCH();
	{
		fail_batch(batch, n, "access events could not be recorded");
	}
	PG_END_TRY();

	if (committed && n > 0)
	{
		/* First, so that who has the answer finds it counted. */
		QueueCount(QUEUE_BATCHES, 1);
		QueueCount(QUEUE_EVENTS, n);
		answer_batch(batch, n);
		NoticeWakeRemember();
	}
	end_batch();
}

/*
 * Wake the authorities that have new notices, if it is time or the writer leaves;
 * false where there was nothing to do.
 */
static bool
wake_authorities(bool leaving)
{
	long		due_in = NoticeWakeDueIn();

	if (due_in < 0 || (due_in > 0 && !leaving))
		return false;
	if (!NoticeWakeSend())
		forget_trail();
	end_batch();
	return true;
}

/*
 * Make a checkpoint for those who want one and answer them.
 */
static void
reply_with_checkpoint(QueueSlot **batch, int n)
{
	volatile bool committed = false;
	CheckpointReply reply;

	MemoryContextSwitchTo(batch_context);
	PG_TRY();
	{
		write_checkpoint(true, own_lock_timeout(), &reply);
		committed = true;
	}
	PG_CATCH();
	{
		fail_batch(batch, n, "checkpoint could not be made");
	}
	PG_END_TRY();

	if (committed)
	{
		for (int i = 0; i < n; i++)
			CheckpointAnswer(&reply, &((Request *) batch[i]->payload.bytes)->checkpoint);
		answer_batch(batch, n);
	}
	end_batch();
}

/*
 * Make the checkpoint that is due though nobody wants it.  What stops it is
 * logged; it will be tried again in a minute, or by the next writer.  A lock that
 * somebody holds is none: after an error, everything would be read again, and
 * look-ups wait for that.
 */
static void
make_due_checkpoint(void)
{
	CheckpointReply reply;

	MemoryContextSwitchTo(batch_context);
	PG_TRY();
	{
		write_checkpoint(false, Min(CHECKPOINT_LOCK_TIMEOUT_MS, own_lock_timeout()),
						 &reply);
		if (reply.locked)
		{
			ereport(LOG,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("checkpoint could not be made"),
					 errdetail("Somebody holds a lock on cpis.checkpoint or on a month of cpis.audit_event.")));
			CheckpointPutOff(GetCurrentTimestamp());
		}
	}
	PG_CATCH();
	{
		fail_batch(NULL, 0, "checkpoint could not be made");
		CheckpointPutOff(GetCurrentTimestamp());
	}
	PG_END_TRY();
	end_batch();
}

/*
 * Put the requests for a checkpoint, which come after the events, into an array
 * of their own; answers how many events are left.
 */
static int
set_checkpoints_apart(QueueSlot **batch, int n, QueueSlot **checkpoints)
{
	int			nevents = 0;
	int			ncheckpoints = 0;

	for (int i = 0; i < n; i++)
	{
		if (((Request *) batch[i]->payload.bytes)->kind == REQUEST_CHECKPOINT)
			checkpoints[ncheckpoints++] = batch[i];
		else
			batch[nevents++] = batch[i];
	}
	return nevents;
}

/*
 * Give everybody in a batch what he asked for.
 */
static void
serve_batch(QueueSlot **batch, int n)
{
	QueueSlot  *checkpoints[BATCH_MOST];
	int			nevents = set_checkpoints_apart(batch, n, checkpoints);

	if (nevents > 0)
		record_batch(batch, nevents);
	(void) wake_authorities(false);
	if (n > nevents)
		reply_with_checkpoint(checkpoints, n - nevents);
	if (CheckpointDueIn(GetCurrentTimestamp()) == 0)
		make_due_checkpoint();
	if (!MonthEnsureNext(GetCurrentTimestamp()))
		forget_trail();
}

/*
 * Become the writer, or answer everybody who waits with the reason why not,
 * and exit.
 */
static void
begin(void)
{
	QueueSlot  *batch[BATCH_MOST];

	if (!QueueWriterEnter())
		proc_exit(0);
	before_shmem_exit(release_extension, (Datum) 0);

	PG_TRY();
	{
		library_known = stat_library(&library);
		StartTransactionCommand();
		hold_extension();
		extension_changed = CpisExtensionChanged();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		fail_batch(batch, QueueTake(batch, BATCH_MOST),
				   "access events could not be recorded");
		QueueWriterLeave();
		proc_exit(1);
	}
	PG_END_TRY();
}

/*
 * Spin for the next request, after a batch of one: it may be a lone caller in a
 * loop.
 */
static void
spin_for_request(instr_time idle_since)
{
	static SpinWait spin = {0};

	if (!spin_is_due(&spin) || !QueueBeginSpin())
		return;
	while (!InterruptPending && !ConfigReloadPending)
	{
		bool		in_vain = microseconds_since(idle_since) > SPIN_MOST_US;

		if (in_vain || QueueHasRequest())
		{
			spin_learn(&spin, in_vain);
			break;
		}
		if (QueueWaiting() > 0)
			break;				/* somebody in another database */
		spin_pause();
	}
	QueueEndSpin();
}

/*
 * Between batches: act on what signals have asked for.  There is nothing that a
 * cancel could cancel.
 */
static void
heed_signals(void)
{
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		set_own_synchronous_commit();
		set_own_lock_timeout();
	}
}

/*
 * Leave if another writer is to go on; false where this one stays.
 */
static bool
leave_to_another(bool slept)
{
	if (!extension_changed && !extension_is_wanted() && !library_has_changed(slept))
		return false;
	if (!extension_changed && !extension_is_wanted() && CheckpointIsBehind())
		make_due_checkpoint();
	(void) wake_authorities(true);
	QueueWriterLeave();
	return true;
}

/*
 * With no request there: do what is due, or sleep until something is, or leave.
 * Answers whether it has slept, and in *left whether it has left.
 */
static bool
be_idle(instr_time idle_since, uint32 wait_event, bool *left)
{
	long		idle_left = cpis_writer_idle_timeout - microseconds_since(idle_since) / 1000;
	long		checkpoint_due_in = CheckpointDueIn(GetCurrentTimestamp());
	long		wake_due_in;

	*left = false;
	if (checkpoint_due_in == 0 || (idle_left <= 0 && CheckpointIsBehind()))
	{
		make_due_checkpoint();
		return false;
	}
	if (wake_authorities(idle_left <= 0) && idle_left > 0)
		return false;
	if (idle_left <= 0 && QueueWriterLeaveIfIdle())
	{
		*left = true;
		return false;
	}
	if (checkpoint_due_in > 0)
		idle_left = Min(idle_left, checkpoint_due_in);
	wake_due_in = NoticeWakeDueIn();
	if (wake_due_in >= 0)
		idle_left = Min(idle_left, wake_due_in);

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Max(idle_left, 1), wait_event);
	ResetLatch(MyLatch);
	return true;
}

/*
 * What the writer does with its life; returns when it should leave.
 */
static void
serve(void)
{
	QueueSlot  *batch[BATCH_MOST];
	instr_time	idle_since;
	bool		slept = false;
	bool		left = false;
	uint32		wait_event = CPIS_WAIT_EVENT("CpisWriterIdle");

	INSTR_TIME_SET_CURRENT(idle_since);
	while (!left)
	{
		int			n;

		heed_signals();
		if (leave_to_another(slept))
			return;

		slept = false;
		n = QueueTake(batch, BATCH_MOST);
		if (n > 0)
		{
			serve_batch(batch, n);
			INSTR_TIME_SET_CURRENT(idle_since);
			if (n == 1)
				spin_for_request(idle_since);
		}
		else
			slept = be_idle(idle_since, wait_event, &left);
	}
}

/*
 * Entry point.  Connects as the bootstrap superuser, who always exists, and
 * also where the database no longer accepts connections, for a session that is
 * connected may still look up.
 */
void
cpis_writer_main(Datum database)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database),
											  InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);

	batch_context = AllocSetContextCreate(TopMemoryContext, "cpis writer batch",
										  ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(batch_context);
	OwnSettings();
	set_own_synchronous_commit();
	set_own_lock_timeout();
	begin();
	serve();
	proc_exit(0);
}
