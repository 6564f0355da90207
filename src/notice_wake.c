/*-------------------------------------------------------------------------
 *
 * notice_wake.c
 *	  Waking the local authorities that listen for their notices.
 *
 * For the writer alone.  When it has committed a batch and answered it, it sends
 * a NOTIFY to each authority that has a new notice, on channel cpis_ and the
 * authority's code in small letters, as an unquoted LISTEN has it.  Anybody may
 * listen on any channel, so there is no payload: who is woken collects his notices
 * (notice.c), the new one among them.
 *
 * A writer sends at most every 100 ms.  What comes after a quiet time is sent at
 * once; what comes sooner collects, an authority once, and is sent when that time
 * is over or the writer leaves.
 *
 * A writer calls NoticeWakeNote() in the batch's transaction, since after the
 * answer the requests are no longer its own, NoticeWakeRemember() after the
 * answers, and NoticeWakeSend() between batches, when NoticeWakeDueIn() says so
 * and before it leaves.
 *
 * Look-ups do not wait for this.  It is done in a transaction of its own, which
 * waits neither for the disk nor for a standby.  All who NOTIFY in a cluster share
 * one lock, which a commit may hold for long: where it is not free, this is tried
 * again a moment later.  Another error, such as a full queue of notifications, is
 * logged and tried again later, and later each time; that rolls a transaction
 * back, and NoticeWakeSend() says so.
 *
 * What is pending is in the writer's memory, and lost where the writer is killed,
 * or leaves and cannot send it.  So who listens must also look from time to time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/async.h"
#include "notice_wake.h"
#include "spin_wait.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define CHANNEL_PREFIX "cpis_"

/* The least time from one transaction that sends to the next. */
#define SEND_PAUSE_MS 100

/*
 * When to try again, first and at most: where the lock was not free, and after an
 * error.  The latter makes the writer read again what it knows of the trail.
 */
#define LOCKED_RETRY_MS 10
#define LOCKED_RETRY_MOST_MS 100
#define ERROR_RETRY_MS 1000
#define ERROR_RETRY_MOST_MS 60000

/* How long the lock may be taken before that is logged. */
#define LOCKED_LOG_MS 1000

/* In case that the server waits for a lock in spite of all. */
#define LOCK_TIMEOUT "50ms"

typedef char Authority[LOCAL_AUTHORITY_LENGTH + 1];

/* Of the batch at hand; in its memory. */
static Authority *noted = NULL;
static int	nnoted = 0;

/* A set of Authority; NULL for an empty one. */
static HTAB *pending = NULL;

static instr_time tried_at;		/* the last time */
static int	pause_ms = 0;		/* from then until the next */
static int	retry_ms = 0;		/* what it was after the last failure, 0: none */
static instr_time locked_since; /* zero: not since the last success */
static bool locked_logged = false;

/*
 * Note the authorities that these events notify, in place of those noted before.
 * The note is valid as long as the current memory context.
 */
void
NoticeWakeNote(AuditEvent **events, int nevents)
{
	int			most = 0;

	nnoted = 0;
	for (int i = 0; i < nevents; i++)
		most += events[i]->nnotified;
	if (most == 0)
		return;

	noted = palloc(most * sizeof(Authority));
	for (int i = 0; i < nevents; i++)
	{
		memcpy(noted + nnoted, events[i]->notified_authority,
			   events[i]->nnotified * sizeof(Authority));
		nnoted += events[i]->nnotified;
	}
}

/*
 * Those noted are to be woken.
 */
void
NoticeWakeRemember(void)
{
	if (nnoted > 0 && pending == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Authority);
		control.entrysize = sizeof(Authority);
		control.hcxt = TopMemoryContext;
		pending = hash_create("cpis authorities to wake", 64, &control,
							  HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	for (int i = 0; i < nnoted; i++)
		(void) hash_search(pending, noted[i], HASH_ENTER, NULL);
	nnoted = 0;
}

/*
 * In how many milliseconds is there something to send?  -1: not as long as
 * nothing happens.
 */
long
NoticeWakeDueIn(void)
{
	int64		left;

	if (pending == NULL)
		return -1;
	if (pause_ms == 0)
		return 0;
	left = pause_ms * INT64CONST(1000) - microseconds_since(tried_at);
	return left <= 0 ? 0 : (left + 999) / 1000;
}

/*
 * Take, for this transaction, the lock that PreCommit_Notify() takes; false where
 * it is not free.
 */
static bool
lock_notifications(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, InvalidOid, 0);
	return LockAcquire(&tag, AccessExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Have NOTIFY sent to all that are pending when this transaction commits.
 */
static void
notify_pending(void)
{
	HASH_SEQ_STATUS scan;
	const char *authority;

	hash_seq_init(&scan, pending);
	while ((authority = hash_seq_search(&scan)) != NULL)
	{
		char		channel[sizeof(CHANNEL_PREFIX) + sizeof(Authority)] = CHANNEL_PREFIX;
		char	   *out = channel + strlen(CHANNEL_PREFIX);

		for (; *authority != '\0'; authority++)
			*out++ = pg_ascii_tolower(*authority);
		*out = '\0';
		Async_Notify(channel, "");
	}
}

/*
 * Send to all that are pending, in one transaction; false where the lock is not
 * free, so that nothing was sent.
 */
static bool
try_to_send(void)
{
	bool		locked;

	StartTransactionCommand();
	(void) set_config_option("synchronous_commit", "off", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	locked = lock_notifications();
	if (locked)
		notify_pending();
	CommitTransactionCommand();
	return locked;
}

/*
 * Try again later, twice as late as the last time within these limits.
 */
static void
put_off(int first_ms, int most_ms)
{
	retry_ms = Min(Max(retry_ms * 2, first_ms), most_ms);
	pause_ms = retry_ms;
}

/*
 * The lock was not free.  For a while that is nothing to speak of, and then it is
 * said once.
 */
static void
put_off_locked(void)
{
	if (INSTR_TIME_IS_ZERO(locked_since))
		locked_since = tried_at;
	put_off(LOCKED_RETRY_MS, LOCKED_RETRY_MOST_MS);
	if (locked_logged || microseconds_since(locked_since) < LOCKED_LOG_MS * 1000)
		return;
	ereport(LOG,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not wake local authorities that listen for notices"),
			 errdetail("Somebody holds the lock that all who NOTIFY share."),
			 errhint("See pg_locks for an object of pg_database with objid 0.")));
	locked_logged = true;
}

/*
 * All were sent.
 */
static void
sent(void)
{
	hash_destroy(pending);
	pending = NULL;
	pause_ms = SEND_PAUSE_MS;
	retry_ms = 0;
	INSTR_TIME_SET_ZERO(locked_since);
	locked_logged = false;
}

/*
 * Send to all that are pending, whether or not it is time, or put that off.
 * Outside a transaction.  Answers false where one was rolled back for it.
 */
bool
NoticeWakeSend(void)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = true;

	INSTR_TIME_SET_CURRENT(tried_at);
	PG_TRY();
	{
		if (try_to_send())
			sent();
		else
			put_off_locked();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		put_off(ERROR_RETRY_MS, ERROR_RETRY_MOST_MS);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("could not wake local authorities that listen for notices: %s",
						error->message),
				 errdetail_plural("It will be tried again in %d second.",
								  "It will be tried again in %d seconds.",
								  pause_ms / 1000, pause_ms / 1000)));
		FreeErrorData(error);
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);

	return done;
}
