/*-------------------------------------------------------------------------
 *
 * purge_batch.h
 *	  Remove the records of one batch, with a certificate each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PURGE_BATCH_H
#define CPIS_PURGE_BATCH_H

#include "relation.h"
#include "removal.h"
#include "storage/itemptr.h"

/* The most records of one batch: their certificates are proved together. */
#define PURGE_BATCH_MOST 10000

/* By what a record is known: a plan, or a line of a submission. */
typedef struct PurgeKey
{
	int64		id;				/* plan_id, or submission_id */
	int			line_no;		/* 0: it is a plan */
} PurgeKey;

/* Records of one table, in arrays with room for "size" of them. */
typedef struct PurgeBatch
{
	CpisRelation table;
	int			size;
	int			n;
	ItemPointerData *tids;		/* of their rows, as they were seen */
	PurgeKey   *keys;
	Removal    *removals;
	const char *holds;			/* digest of those in force (hold.c) */
	int			removed;
	int			failed;
	int			passed_over;	/* changed or locked by others meanwhile */
} PurgeBatch;

extern void PurgeBatchBegin(PurgeBatch *batch, CpisRelation table, int size);
extern void PurgeBatchRemove(PurgeBatch *batch);

#endif							/* CPIS_PURGE_BATCH_H */
