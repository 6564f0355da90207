/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  The shared-memory queue between look-ups and the writer.
 *
 * One segment serves the whole cluster: a fixed table of databases, each with
 * a first-in first-out queue and at most one writer, and a pool of slots that
 * all databases share.  request.c is the requester's side, writer.c the
 * writer's.  The file knows nothing of what a request says.
 *
 * Finding the segment.  From PostgreSQL 17 it is a named DSM segment.  On 15
 * and 16 it is a pinned DSM segment whose handle stands in a small control
 * block of main shared memory; without shared_preload_libraries that block
 * comes out of the slop that the server leaves for such cases.  The layout
 * version is part of the name: after an upgrade of the library, old and new
 * backends each find a queue of their own, and the writers of both exclude
 * each other by a lock in the database (writer.c).  Whatever backend starts it,
 * a new writer runs the new library: once the old one has gone, sessions that
 * had the old library loaded are answered no more, and their error says that
 * they must reconnect (request.c).
 *
 * Locks.  queue->lock protects the free list, the table of databases with
 * their lists and writer states, and the links of the slots.  It is held for a
 * few assignments; nothing that can raise an error, allocate or wait happens
 * under it.  Counters, depths, and what says whether spinning is worth while are
 * atomics; a writer holds the flag "spinning" for less than a millisecond, in
 * which nothing can raise an error.
 *
 * A backend keeps the slot that it reserves first for its life, so the free
 * list is touched once a session.  While its state is FREE the slot is private
 * to the backend, which may raise errors as it likes.  From then on:
 *
 *	  FREE -> QUEUED		requester, under the lock, when linked
 *	  QUEUED -> FREE		requester, under the lock, when it gives up
 *	  QUEUED -> TAKEN		writer, under the lock, when unlinked
 *	  TAKEN -> RECORDED		writer, after its transaction is durable
 *	  TAKEN -> FAILED		writer, when it is not
 *	  TAKEN -> ABANDONED	requester, when it gives up
 *	  ABANDONED -> FREE		writer, which puts the slot on the free list
 *	  RECORDED, FAILED -> FREE	requester, when it has read the answer
 *
 * The three transitions out of TAKEN are compare-and-swap without the lock, so
 * exactly one side wins: either the requester learns the answer, or the slot
 * is the writer's to free.  A requester that abandons a slot reserves another.
 * There are two slots for each possible backend: one in use, and one abandoned
 * to a writer that is stuck.  Stuck writers of several databases may have more,
 * and who then finds none is refused.
 *
 * Errors and exits.  A callback at process exit withdraws the backend's slot,
 * and for a writer fails what it has taken, marks the database as having no
 * writer and wakes those who are still queued, so that one of them starts the
 * next.  A process that is killed takes the server down with it, and the
 * segment is made anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "lookup_rate.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "queue.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#define QUEUE_NAME "cpis queue 9"	/* with the version of what is in it */
#define QUEUE_DATABASES 128

/* A started writer that has not shown itself for so long may be given up. */
#define WRITER_START_PATIENCE_MS 1000

/* How soon after a failure somebody may try to start a writer again. */
#define WRITER_START_PAUSE_MS 50

#define NO_SLOT (-1)

typedef enum WriterState
{
	WRITER_NONE,
	WRITER_STARTING,
	WRITER_RUNNING
} WriterState;

typedef struct QueueDatabase
{
	Oid			oid;			/* InvalidOid where unused */
	int			head;			/* first slot queued, or NO_SLOT */
	int			tail;
	WriterState writer;
	int			writer_proc_number;
	int			writer_pid;
	TimestampTz writer_claimed_at;	/* of WRITER_STARTING */
	TimestampTz writer_failed_at;	/* when a start last failed */
	TimestampTz counted_since;
	bool		direct_reads_off;	/* it was recorded that they are not */
	pg_atomic_uint32 depth;
	pg_atomic_uint64 counters[QUEUE_NCOUNTERS];
} QueueDatabase;

typedef struct Queue
{
	int			tranche;
	int			nslots;
	int			free_head;
	pg_atomic_uint32 waiting;	/* requests queued or taken, of all databases */
	pg_atomic_flag spinning;	/* held by the writer that spins, if one does */
	LWLock		lock;
	QueueDatabase databases[QUEUE_DATABASES];
	LookupRates rates;			/* lookup_rate.c's own */
	QueueSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} Queue;

static Queue *queue = NULL;		/* mapped for the life of the process */
static QueueSlot *my_slot = NULL;	/* reserved and not abandoned */
static int	my_database = -1;	/* index last found; verified on each use */
static bool am_writer = false;

static int
queue_slot_count(void)
{
	return 2 * MaxBackends;
}

static Size
queue_size(void)
{
	return add_size(offsetof(Queue, slots),
					mul_size(queue_slot_count(), sizeof(QueueSlot)));
}

/*
 * Make an empty queue in fresh memory.
 */
static void
queue_init(void *memory)
{
	Queue	   *q = (Queue *) memory;

	memset(q, 0, queue_size());
	q->tranche = LWLockNewTrancheId();
	LWLockInitialize(&q->lock, q->tranche);
	LookupRatesInit(&q->rates, q->tranche);
	q->nslots = queue_slot_count();
	for (int i = 0; i < q->nslots; i++)
	{
		pg_atomic_init_u32(&q->slots[i].state, QUEUE_SLOT_FREE);
		WakeupInit(&q->slots[i].answered);
		q->slots[i].next = (i + 1 < q->nslots) ? i + 1 : NO_SLOT;
	}
	q->free_head = 0;
	pg_atomic_init_u32(&q->waiting, 0);
	pg_atomic_init_flag(&q->spinning);
	for (int i = 0; i < QUEUE_DATABASES; i++)
	{
		pg_atomic_init_u32(&q->databases[i].depth, 0);
		for (int c = 0; c < QUEUE_NCOUNTERS; c++)
			pg_atomic_init_u64(&q->databases[i].counters[c], 0);
	}
}

#ifdef CPIS_HAVE_NAMED_DSM

void
QueueRequestSharedMemory(void)
{
}

static Queue *
queue_attach(void)
{
	bool		found;

	return GetNamedDSMSegment(QUEUE_NAME, queue_size(), queue_init, &found);
}

#else							/* !CPIS_HAVE_NAMED_DSM */

typedef struct QueueControl
{
	dsm_handle	handle;			/* DSM_HANDLE_INVALID until it is made */
} QueueControl;

/*
 * Reserve room for the control block, where the library is preloaded.
 */
void
QueueRequestSharedMemory(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(QueueControl)));
}

/*
 * Attach to the segment, made by whoever comes first.  AddinShmemInitLock
 * serialises that; an error releases it with the transaction.
 */
static Queue *
queue_attach(void)
{
	QueueControl *control;
	dsm_segment *segment;
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	control = ShmemInitStruct(QUEUE_NAME, sizeof(QueueControl), &found);
	if (!found)
		control->handle = DSM_HANDLE_INVALID;

	if (control->handle == DSM_HANDLE_INVALID)
	{
		segment = dsm_create(queue_size(), 0);
		queue_init(dsm_segment_address(segment));
		dsm_pin_segment(segment);
		control->handle = dsm_segment_handle(segment);
	}
	else
	{
		segment = dsm_attach(control->handle);
		if (segment == NULL)	/* it is pinned */
			elog(ERROR, "could not attach to the cpis queue");
	}
	dsm_pin_mapping(segment);
	LWLockRelease(AddinShmemInitLock);

	return dsm_segment_address(segment);
}

#endif							/* CPIS_HAVE_NAMED_DSM */

static void queue_at_exit(int code, Datum arg);
static QueueDatabase *find_database(bool create);

/*
 * Map the segment and register what must be undone at exit; once a process.
 */
static void
queue_ensure_attached(void)
{
	Queue	   *q;

	if (queue != NULL)
		return;

	q = queue_attach();
	LWLockRegisterTranche(q->tranche, "cpis_queue");
	before_shmem_exit(queue_at_exit, (Datum) 0);
	queue = q;
}

/*
 * Note whether direct reads of tables in this database are recorded; answers whether that
 * is new.  Where the table of databases is full, it always is.
 */
bool
QueueDirectReadsSwitch(bool recorded)
{
	QueueDatabase *entry;
	bool		changed = true;

	queue_ensure_attached();
	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	entry = find_database(true);
	if (entry != NULL)
	{
		changed = entry->direct_reads_off == recorded;
		entry->direct_reads_off = !recorded;
	}
	LWLockRelease(&queue->lock);
	return changed;
}

/*
 * Where look-ups of a scope are counted.
 */
LookupRates *
QueueLookupRates(void)
{
	queue_ensure_attached();
	return &queue->rates;
}

/*
 * Has this time passed since then?  A clock that was set back has.
 */
static bool
has_passed(TimestampTz since, int milliseconds)
{
	TimestampTz now = GetCurrentTimestamp();

	return now < since || TimestampDifferenceExceeds(since, now, milliseconds);
}

/*
 * Is the writer that somebody claimed to start overdue?
 */
static bool
start_is_overdue(const QueueDatabase *entry)
{
	return entry->writer == WRITER_STARTING &&
		has_passed(entry->writer_claimed_at, WRITER_START_PATIENCE_MS);
}

static void
wake_writer(int proc_number)
{
	SetLatch(&GetPGProcByNumber(proc_number)->procLatch);
}

/*
 * The entry of this process's database, or NULL where there is none and either
 * "create" is false or the table is full.  An entry nobody uses gives way when
 * the table is full: the database may be gone, and only counters are lost, and
 * that it was recorded that direct reads are not.
 * Caller holds the lock.
 */
static QueueDatabase *
find_database(bool create)
{
	int			empty = -1;
	int			idle = -1;
	QueueDatabase *entry;

	if (my_database >= 0 && queue->databases[my_database].oid == MyDatabaseId)
		return &queue->databases[my_database];

	for (int i = 0; i < QUEUE_DATABASES; i++)
	{
		entry = &queue->databases[i];
		if (entry->oid == MyDatabaseId)
		{
			my_database = i;
			return entry;
		}
		if (entry->oid == InvalidOid)
		{
			if (empty < 0)
				empty = i;
		}
		else if (idle < 0 &&
				 (entry->writer == WRITER_NONE || start_is_overdue(entry)) &&
				 pg_atomic_read_u32(&entry->depth) == 0)
			idle = i;
	}
	if (!create || (empty < 0 && idle < 0))
		return NULL;

	my_database = (empty >= 0) ? empty : idle;
	entry = &queue->databases[my_database];
	entry->oid = MyDatabaseId;
	entry->head = entry->tail = NO_SLOT;
	entry->writer = WRITER_NONE;
	entry->writer_failed_at = 0;
	entry->direct_reads_off = false;
	entry->counted_since = GetCurrentTimestamp();
	for (int c = 0; c < QUEUE_NCOUNTERS; c++)
		pg_atomic_write_u64(&entry->counters[c], 0);
	return entry;
}

static void
count_waiting(QueueDatabase *entry, int change)
{
	pg_atomic_fetch_add_u32(&entry->depth, change);
	pg_atomic_fetch_add_u32(&queue->waiting, change);
}

/*
 * Put a slot back.  Caller holds the lock and owns the slot.
 */
static void
free_slot(QueueSlot *slot)
{
	pg_atomic_write_u32(&slot->state, QUEUE_SLOT_FREE);
	slot->next = queue->free_head;
	queue->free_head = slot - queue->slots;
}

/*
 * Take a queued slot out of its queue.  Caller holds the lock.
 */
static void
unlink_slot(QueueDatabase *entry, QueueSlot *slot)
{
	if (slot->previous == NO_SLOT)
		entry->head = slot->next;
	else
		queue->slots[slot->previous].next = slot->next;
	if (slot->next == NO_SLOT)
		entry->tail = slot->previous;
	else
		queue->slots[slot->next].previous = slot->previous;
}

static void
set_failure(QueueSlot *slot, int sqlerrcode, const char *message)
{
	int			length = pg_mbcliplen(message, strlen(message), QUEUE_MESSAGE_SIZE - 1);

	slot->sqlerrcode = sqlerrcode;
	memcpy(slot->message, message, length);
	slot->message[length] = '\0';
}

/*
 * This backend's slot, in state FREE, its payload to be filled at leisure.
 * 53400, with this message, where no slot or no database entry is left.
 */
QueueSlot *
QueueReserve(const char *failure)
{
	QueueDatabase *entry;

	if (my_slot != NULL)
	{
		pg_atomic_write_u32(&my_slot->state, QUEUE_SLOT_FREE);
		return my_slot;
	}
	queue_ensure_attached();

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	entry = find_database(true);
	if (queue->free_head != NO_SLOT)
	{
		my_slot = &queue->slots[queue->free_head];
		queue->free_head = my_slot->next;
	}
	LWLockRelease(&queue->lock);

	if (entry == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("%s", failure),
				 errdetail("More than %d databases of this cluster look children up at once.",
						   QUEUE_DATABASES)));
	if (my_slot == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("%s", failure),
				 errdetail("All slots of the queue are in use.")));

	return my_slot;
}

/*
 * Queue the request and wake the writer; false where none runs.  Raises
 * nothing.
 */
bool
QueueSubmit(QueueSlot *slot)
{
	QueueDatabase *entry;
	int			writer_proc_number = -1;

	WakeupForget(&slot->answered);
	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	entry = find_database(true);
	if (entry != NULL)
	{
		slot->database = entry - queue->databases;
		slot->next = NO_SLOT;
		slot->previous = entry->tail;
		if (entry->tail == NO_SLOT)
			entry->head = slot - queue->slots;
		else
			queue->slots[entry->tail].next = slot - queue->slots;
		entry->tail = slot - queue->slots;
		count_waiting(entry, 1);
		pg_atomic_write_u32(&slot->state, QUEUE_SLOT_QUEUED);
		if (entry->writer == WRITER_RUNNING)
			writer_proc_number = entry->writer_proc_number;
	}
	LWLockRelease(&queue->lock);

	/*
	 * The entry made by QueueReserve() can have given way to another database
	 * in between, and the table be full of busy ones since.
	 */
	if (entry == NULL)
	{
		set_failure(slot, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
					"too many databases look children up at once");
		pg_atomic_write_u32(&slot->state, QUEUE_SLOT_FAILED);
	}
	else if (writer_proc_number >= 0)
		wake_writer(writer_proc_number);
	return writer_proc_number >= 0;
}

/*
 * Give this backend's request up.  Answers true where it is out of reach of
 * the writer, false where the writer was quicker and the slot now holds its
 * answer.  After true, the event may have been recorded if the writer had
 * taken it.
 */
bool
QueueWithdraw(void)
{
	QueueSlot  *slot = my_slot;
	uint32		taken = QUEUE_SLOT_TAKEN;
	bool		was_queued;

	/* Abandoned before, and perhaps somebody else's by now. */
	if (slot == NULL)
		return true;

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	was_queued = (QueueSlotGetState(slot) == QUEUE_SLOT_QUEUED);
	if (was_queued)
	{
		QueueDatabase *entry = &queue->databases[slot->database];

		unlink_slot(entry, slot);
		pg_atomic_write_u32(&slot->state, QUEUE_SLOT_FREE);
		count_waiting(entry, -1);
	}
	LWLockRelease(&queue->lock);

	if (was_queued)
		return true;
	if (pg_atomic_compare_exchange_u32(&slot->state, &taken,
									   QUEUE_SLOT_ABANDONED))
	{
		my_slot = NULL;
		return true;
	}
	return false;
}

/*
 * Should this backend start a writer?  True for one backend where there is
 * none, and for another when that one has not succeeded for a while.
 */
bool
QueueClaimWriterStart(void)
{
	QueueDatabase *entry;
	bool		claimed = false;

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	entry = find_database(false);
	if (entry != NULL &&
		((entry->writer == WRITER_NONE &&
		  has_passed(entry->writer_failed_at, WRITER_START_PAUSE_MS)) ||
		 start_is_overdue(entry)))
	{
		entry->writer = WRITER_STARTING;
		entry->writer_claimed_at = GetCurrentTimestamp();
		claimed = true;
	}
	LWLockRelease(&queue->lock);

	return claimed;
}

/*
 * The writer that this backend tried to start will not come.
 */
void
QueueWriterStartFailed(void)
{
	QueueDatabase *entry;

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	entry = find_database(false);
	if (entry != NULL && entry->writer == WRITER_STARTING)
	{
		entry->writer = WRITER_NONE;
		entry->writer_failed_at = GetCurrentTimestamp();
	}
	LWLockRelease(&queue->lock);
}

/*
 * Become the writer of this database; false where there is one already, or no
 * look-up has asked for one.
 */
bool
QueueWriterEnter(void)
{
	QueueDatabase *entry;

	queue_ensure_attached();

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	entry = find_database(false);
	if (entry != NULL && entry->writer != WRITER_RUNNING)
	{
		entry->writer = WRITER_RUNNING;
		entry->writer_proc_number = CPIS_MY_PROC_NUMBER;
		entry->writer_pid = MyProcPid;
		pg_atomic_fetch_add_u64(&entry->counters[QUEUE_WRITER_STARTS], 1);
		am_writer = true;
	}
	LWLockRelease(&queue->lock);

	return am_writer;
}

/*
 * Is anything queued for this writer?  Cheap enough to be asked all the time;
 * the answer may be a moment old.
 */
bool
QueueHasRequest(void)
{
	return pg_atomic_read_u32(&queue->databases[my_database].depth) > 0;
}

/*
 * May this writer spin?  One at a time in the whole cluster, and only while
 * nobody waits in any database: else there is better use for the processor.
 * After true, QueueEndSpin() must follow.
 */
bool
QueueBeginSpin(void)
{
	return pg_atomic_read_u32(&queue->waiting) == 0 &&
		pg_atomic_test_set_flag(&queue->spinning);
}

void
QueueEndSpin(void)
{
	pg_atomic_clear_flag(&queue->spinning);
}

/*
 * Take up to "most" requests, oldest first.  They are the writer's to answer.
 */
int
QueueTake(QueueSlot **batch, int most)
{
	QueueDatabase *entry;
	int			n = 0;

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	entry = find_database(false);
	while (n < most && entry->head != NO_SLOT)
	{
		QueueSlot  *slot = &queue->slots[entry->head];

		unlink_slot(entry, slot);
		pg_atomic_write_u32(&slot->state, QUEUE_SLOT_TAKEN);
		batch[n++] = slot;
	}
	LWLockRelease(&queue->lock);

	return n;
}

/*
 * Hand a taken slot back in its final state and wake the requester.  Answers
 * false where the requester has gone: the slot is then the writer's to free.
 */
static bool
hand_back(QueueSlot *slot, QueueSlotState state)
{
	uint32		taken = QUEUE_SLOT_TAKEN;

	count_waiting(&queue->databases[slot->database], -1);

	/* The swap is a barrier: the answer is visible before the state. */
	if (!pg_atomic_compare_exchange_u32(&slot->state, &taken, state))
		return false;
	WakeupCall(&slot->answered);
	return true;
}

static void
answer(QueueSlot *slot, QueueSlotState state)
{
	if (!hand_back(slot, state))
	{
		LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
		free_slot(slot);
		LWLockRelease(&queue->lock);
	}
}

/*
 * Leave out of a batch the requests that have been given up since they were
 * taken, and answer how many are left.  For the writer, before it writes.
 */
int
QueueDropAbandoned(QueueSlot **batch, int n)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
	{
		if (QueueSlotGetState(batch[i]) == QUEUE_SLOT_ABANDONED)
			answer(batch[i], QUEUE_SLOT_FAILED);	/* frees it */
		else
			batch[kept++] = batch[i];
	}
	return kept;
}

/*
 * The request is durable.  Whatever the writer has to say stands in the
 * payload.
 */
void
QueueAnswerRecorded(QueueSlot *slot)
{
	answer(slot, QUEUE_SLOT_RECORDED);
}

/*
 * The request is not known to be durable.
 */
void
QueueAnswerFailed(QueueSlot *slot, int sqlerrcode, const char *message)
{
	set_failure(slot, sqlerrcode, message);
	answer(slot, QUEUE_SLOT_FAILED);
}

/*
 * Stop being the writer, if nobody waits.  A request that comes after this
 * sees that there is no writer and starts the next.
 */
bool
QueueWriterLeaveIfIdle(void)
{
	QueueDatabase *entry;

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	entry = find_database(false);
	if (entry->head == NO_SLOT)
	{
		entry->writer = WRITER_NONE;
		am_writer = false;
	}
	LWLockRelease(&queue->lock);

	return !am_writer;
}

/*
 * Stop being the writer: what is taken and unanswered has failed, and whoever
 * is queued looks again, so that one of them starts the next writer.
 *
 * All under the lock: it keeps slots from moving between databases, and the
 * next writer from taking any before this one is done with its own.
 */
void
QueueWriterLeave(void)
{
	QueueDatabase *entry;

	if (!am_writer)
		return;

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	entry = find_database(false);
	for (int i = 0; i < queue->nslots; i++)
	{
		QueueSlot  *slot = &queue->slots[i];
		QueueSlotState state = QueueSlotGetState(slot);

		if (slot->database != entry - queue->databases)
			continue;
		if (state == QUEUE_SLOT_TAKEN || state == QUEUE_SLOT_ABANDONED)
		{
			set_failure(slot, ERRCODE_ADMIN_SHUTDOWN,
						"the writer was terminated");
			if (!hand_back(slot, QUEUE_SLOT_FAILED))
				free_slot(slot);
		}
		else if (state == QUEUE_SLOT_QUEUED)
			WakeupCall(&slot->answered);
	}
	entry->writer = WRITER_NONE;
	am_writer = false;
	LWLockRelease(&queue->lock);
}

/*
 * At exit, however it comes: leave nothing behind that others wait for.
 */
static void
queue_at_exit(int code, Datum arg)
{
	QueueWriterLeave();

	(void) QueueWithdraw();
	if (my_slot != NULL)
	{
		LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
		free_slot(my_slot);
		LWLockRelease(&queue->lock);
		my_slot = NULL;
	}
}

/*
 * How many requests wait in the whole cluster, this backend's own included.
 */
uint32
QueueWaiting(void)
{
	return pg_atomic_read_u32(&queue->waiting);
}

/*
 * Add to a counter of this database, where it has an entry.
 */
void
QueueCount(QueueCounter counter, uint64 by)
{
	if (queue != NULL && my_database >= 0 &&
		queue->databases[my_database].oid == MyDatabaseId)
		pg_atomic_fetch_add_u64(&queue->databases[my_database].counters[counter],
								by);
}

/*
 * Read the counters of this database; false where it has no entry.
 */
bool
QueueGetStatistics(QueueStatistics *statistics)
{
	QueueDatabase *entry;

	queue_ensure_attached();

	LWLockAcquire(&queue->lock, LW_SHARED);
	entry = find_database(false);
	if (entry != NULL)
	{
		for (int c = 0; c < QUEUE_NCOUNTERS; c++)
			statistics->counters[c] = pg_atomic_read_u64(&entry->counters[c]);
		statistics->depth = pg_atomic_read_u32(&entry->depth);
		statistics->writer_pid =
			entry->writer == WRITER_RUNNING ? entry->writer_pid : 0;
		statistics->counted_since = entry->counted_since;
	}
	LWLockRelease(&queue->lock);

	return entry != NULL;
}
