/*-------------------------------------------------------------------------
 *
 * hold.h
 *	  Holds: what is not to be removed though its term has ended.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_HOLD_H
#define CPIS_HOLD_H

#include "utils/hsearch.h"
#include "utils/snapshot.h"

/* The holds in force, in the memory context in which they were read. */
typedef struct Holds
{
	int64		on_everything;	/* hold_id, or 0 */
	HTAB	   *on_numbers;		/* or NULL */
	HTAB	   *on_authorities; /* or NULL */
	const char *digest;			/* of all of them, as events of removals have it */
} Holds;

extern void HoldsRead(Holds *holds, Snapshot snapshot);
extern int64 HoldsFind(const Holds *holds, int32 nhs_number,
					   const char *local_authority);

#endif							/* CPIS_HOLD_H */
