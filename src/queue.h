/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  The shared-memory queue between look-ups and the writer.
 *
 * See queue.c for what is locked and when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_QUEUE_H
#define CPIS_QUEUE_H

#include "datatype/timestamp.h"
#include "lookup_rate.h"
#include "port/atomics.h"
#include "utils/elog.h"
#include "wakeup.h"

/* Room for one request, and for what went wrong with it, in bytes. */
#define QUEUE_PAYLOAD_SIZE 3584
#define QUEUE_MESSAGE_SIZE 256

/* The life of a slot; queue.c says who may change what. */
typedef enum QueueSlotState
{
	QUEUE_SLOT_FREE,
	QUEUE_SLOT_QUEUED,
	QUEUE_SLOT_TAKEN,
	QUEUE_SLOT_ABANDONED,
	QUEUE_SLOT_RECORDED,
	QUEUE_SLOT_FAILED
} QueueSlotState;

typedef struct QueueSlot
{
	pg_atomic_uint32 state;		/* QueueSlotState */
	int			next;			/* in the free list or a database's queue */
	int			previous;		/* in a database's queue */
	int			database;		/* index of the database entry */
	Wakeup		answered;		/* the requester sleeps on it */
	int			sqlerrcode;		/* of QUEUE_SLOT_FAILED */
	char		message[QUEUE_MESSAGE_SIZE];	/* of QUEUE_SLOT_FAILED */
	union
	{
		char		bytes[QUEUE_PAYLOAD_SIZE];
		int64		force_align;
	}			payload;
} QueueSlot;

/* What QueueCount() counts. */
typedef enum QueueCounter
{
	QUEUE_LOOKUPS,
	QUEUE_FLAGS,
	QUEUE_REFUSALS,
	QUEUE_CHANGES,
	QUEUE_DIRECT_READS,
	QUEUE_FAILURES,
	QUEUE_BATCHES,
	QUEUE_EVENTS,
	QUEUE_WAIT_MICROSECONDS,
	QUEUE_WRITER_STARTS,
	QUEUE_NCOUNTERS
} QueueCounter;

typedef struct QueueStatistics
{
	uint64		counters[QUEUE_NCOUNTERS];
	int			depth;			/* requests queued or taken */
	int			writer_pid;		/* 0 where none runs */
	TimestampTz counted_since;
} QueueStatistics;

/* Both sides. */
extern void QueueRequestSharedMemory(void);
extern void QueueCount(QueueCounter counter, uint64 by);
extern bool QueueGetStatistics(QueueStatistics *statistics);
extern uint32 QueueWaiting(void);
extern bool QueueDirectReadsSwitch(bool recorded);
extern LookupRates *QueueLookupRates(void);

/* The requester. */
extern QueueSlot *QueueReserve(const char *failure);
extern bool QueueSubmit(QueueSlot *slot);
extern bool QueueWithdraw(void);
extern bool QueueClaimWriterStart(void);
extern void QueueWriterStartFailed(void);

/* The writer. */
extern bool QueueWriterEnter(void);
extern bool QueueHasRequest(void);
extern bool QueueBeginSpin(void);
extern void QueueEndSpin(void);
extern int	QueueTake(QueueSlot **batch, int most);
extern int	QueueDropAbandoned(QueueSlot **batch, int n);
extern void QueueAnswerRecorded(QueueSlot *slot);
extern void QueueAnswerFailed(QueueSlot *slot, int sqlerrcode,
							  const char *message);
extern bool QueueWriterLeaveIfIdle(void);
extern void QueueWriterLeave(void);

static inline QueueSlotState
QueueSlotGetState(QueueSlot *slot)
{
	return (QueueSlotState) pg_atomic_read_u32(&slot->state);
}

#endif							/* CPIS_QUEUE_H */
