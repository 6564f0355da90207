/*-------------------------------------------------------------------------
 *
 * checkpoint_row.h
 *	  Rows of cpis.checkpoint, and how each follows from the one before it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_CHECKPOINT_ROW_H
#define CPIS_CHECKPOINT_ROW_H

#include "ledger.h"

/* Columns of cpis.checkpoint. */
#define CHECKPOINT_TREE_SIZE 1
#define CHECKPOINT_ROOT 2
#define CHECKPOINT_NOTE 3
#define CHECKPOINT_VERIFIER_KEYS 4
#define CHECKPOINT_AT 5
#define CHECKPOINT_SEAL 6
#define CHECKPOINT_NCOLUMNS 6

/* What the action of an event about keys is. */
#define KEY_EVENT_ACTION "key"

/* Why nothing signs where CheckpointIsContradicted(). */
#define CHECKPOINT_CONTRADICTION \
	"The ledger is not the one of its newest signed checkpoint, as cpis_audit_verify() tells"

/* A row of cpis.checkpoint. */
typedef struct CheckpointRow
{
	bool		sound;			/* has each column a value of its form? */
	int64		tree_size;
	MerkleHash	root;
	char	   *note;
	List	   *verifier_keys;	/* of char *; NIL where unsigned */
	TimestampTz at;
	MerkleHash	seal;
} CheckpointRow;

extern Relation CheckpointTableOpen(void);
extern Relation CheckpointIndexOpen(Relation table, bool signed_only);
extern Datum CheckpointTexts(const List *strings);
extern void CheckpointRowRead(HeapTuple tuple, TupleDesc descriptor,
							  CheckpointRow *row);
extern bool CheckpointRowNewest(LedgerReading *reading, int64 up_to,
								bool signed_only, CheckpointRow *row);
extern bool CheckpointIsContradicted(LedgerReading *reading, int64 size);

extern void CheckpointFirstSeal(const char *origin, TimestampTz created_at,
								MerkleHash *seal);
extern void CheckpointNextSeal(const MerkleHash *before, TimestampTz at,
							   const char *note, MerkleHash *seal);
extern List *CheckpointKeyChanges(const List *before, const List *now);

#endif							/* CPIS_CHECKPOINT_ROW_H */
