/*-------------------------------------------------------------------------
 *
 * reference.h
 *	  Rows of the reference tables, kept from one look-up to the next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_REFERENCE_H
#define CPIS_REFERENCE_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "relation.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* The newest snapshot, and what the process knew when it was taken. */
typedef struct Reading
{
	Snapshot	snapshot;
	uint64		generation;
} Reading;

extern Reading ReadingBegin(void);
extern void ReadingEnd(const Reading *reading);
extern bool ReferenceChangesAreTold(Relation relation);
extern HeapTuple ReferenceFind(const Reading *reading, CpisRelation table,
							   const char *code, TupleDesc *descriptor);

#endif							/* CPIS_REFERENCE_H */
