/*-------------------------------------------------------------------------
 *
 * removal.h
 *	  Certificates of removal.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_REMOVAL_H
#define CPIS_REMOVAL_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "merkle.h"
#include "utils/date.h"

/* What a certificate says; removal.c says what that means. */
typedef struct Removal
{
	Datum		kind;			/* text */
	Datum		local_authority;	/* text */
	DateADT		due_on;
	bool		has_days;
	int			retention_days;
	uint8		commitment[SHA256_LENGTH];
} Removal;

extern void RemovalLeaf(const Removal *removal, StringInfo buffer, MerkleHash *leaf);
extern void RemovalRoot(const MerkleHash *leaves, int n, MerkleHash *root);
extern void RemovalInsert(const Removal *removals, int n, int64 event_id,
						  TimestampTz removed_at);

#endif							/* CPIS_REMOVAL_H */
