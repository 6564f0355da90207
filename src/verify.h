/*-------------------------------------------------------------------------
 *
 * verify.h
 *	  Verification of trail and ledger: what its parts share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_VERIFY_H
#define CPIS_VERIFY_H

#include "event_scan.h"
#include "fingerprint.h"
#include "ledger.h"
#include "lib/stringinfo.h"
#include "port/atomics.h"
#include "portability/instr_time.h"
#include "storage/spin.h"

#define VERIFY_PROBLEM_SIZE 200

/* Events that one process verifies at a time: those under a tile of level 1. */
#define VERIFY_CHUNK ((int64) MERKLE_TILE_WIDTH * MERKLE_TILE_WIDTH)

/* In shared memory: what the processes verify, and what they found. */
typedef struct VerifyShared
{
	/* Set before they start. */
	int64		first;			/* events from this one ... */
	int64		end;			/* ... up to but not this one */
	int64		tree_size;
	int64		floor;			/* events below it have been removed */
	bool		whole;			/* is that the whole trail? */
	FingerprintKey key;

	instr_time	reported_at;	/* the leader's: when it last told how far it is */

	uint32		months;			/* EventTrailMonths() of the leader */
	pg_atomic_uint32 next_month;	/* of those, whose rows are to be counted */
	pg_atomic_uint64 next_chunk;
	pg_atomic_uint64 checked;	/* rows */

	slock_t		mutex;			/* protects the rest */
	uint64		notices;		/* fingerprint of those that events tell of */
	int64		event_rows;		/* that the tables of events have */
	int64		checkpoints;	/* verified */
	int64		key_events;		/* that tell of a change of keys */
	int64		key_changes;	/* that checkpoints have */
	int64		problem_event;	/* -1: no problem so far */
	char		problem[VERIFY_PROBLEM_SIZE];
} VerifyShared;

/* What one process has. */
typedef struct Verifier
{
	VerifyShared *shared;
	LedgerReading *reading;		/* lenient: what is missing is a problem */
	EventTrail *trail;
	char	   *origin;			/* of the ledger, or NULL */
	TimestampTz created_at;
	MemoryContext row_context; /* reset every now and then */
	int64		rows;			/* not in shared->checked yet */
	int			unlooked;		/* calls since something was looked at */
	StringInfoData buffer;
	uint64		notices;		/* fingerprint */
	int64		checkpoints;
	int64		key_events;
	int64		key_changes;
	bool		is_leader;
} Verifier;

extern void VerifyProblem(Verifier *verifier, int64 event_id,
						  const char *format,...) pg_attribute_printf(3, 4);
extern bool VerifyHasProblem(Verifier *verifier);
extern void VerifyProgress(Verifier *verifier, int64 rows);

extern void VerifyEvents(Verifier *verifier, int64 first, int64 end);
extern void VerifyCheckpoints(Verifier *verifier, int64 above, int64 up_to);
extern bool VerifyIsKeyEvent(const TupleTableSlot *slot);
extern void VerifyNoOtherEvents(Verifier *verifier);
extern void VerifyCountEvents(Verifier *verifier);
extern void VerifyUpperTiles(Verifier *verifier);
extern void VerifyRemovedMonths(Verifier *verifier);
extern void VerifyKeyEvents(Verifier *verifier);
extern void VerifyLedgerCounts(Verifier *verifier);
extern uint64 VerifyNoticesRead(Verifier *verifier);
extern void VerifyNoticesFind(Verifier *verifier);

#endif							/* CPIS_VERIFY_H */
