/*-------------------------------------------------------------------------
 *
 * checkpoint_row.c
 *	  Rows of cpis.checkpoint, and how each follows from the one before it.
 *
 * The writer (checkpoint.c) and verification (verify_checkpoint.c) must agree on
 * two things, which stand here.
 *
 * Seals.  The seal of a checkpoint is SHA-256 over the seal of the one before
 * it, its time and its note; of the first, that of the name of the ledger comes
 * before it.  So a row that was changed or taken away shows in the next one.
 *
 * Keys.  Where other keys sign than signed the checkpoint before, the last
 * events that it covers, in the same transaction, say so: one for each key that
 * is new, then one for each that is gone.  They are leaves of the tree, so that
 * nobody takes a signature away, or puts another in its place, by changing
 * checkpoints alone.
 *
 * Rows that are read may have been tampered with: what cannot be read is left
 * empty, and the row is not sound.  Memory is the caller's current context.
 * Locks are AccessShare on the table, given up when it has been read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "checkpoint_row.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "relation.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define LEDGER_HEADER "cpis/ledger/1\n"
#define CHECKPOINT_HEADER "cpis/checkpoint/1\n"

static const AttrNumber index_columns[] = {CHECKPOINT_TREE_SIZE};

static const Oid columns[CHECKPOINT_NCOLUMNS] =
{INT8OID, BYTEAOID, TEXTOID, TEXTARRAYOID, TIMESTAMPTZOID, BYTEAOID};

/*
 * Open the table, to be closed with AccessShareLock.
 */
Relation
CheckpointTableOpen(void)
{
	Relation	table = CpisTableOpen(CPIS_CHECKPOINT, AccessShareLock);

	CpisCheckColumns(table, columns, CHECKPOINT_NCOLUMNS);
	return table;
}

/*
 * The elements of a plain list of texts as a list of C strings; false where it
 * is anything else.
 */
static bool
take_texts(Datum value, List **result)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	bool	   *isnull;
	int			n;

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		return false;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &isnull, &n);
	for (int i = 0; i < n; i++)
		*result = lappend(*result, TextDatumGetCString(elements[i]));
	return true;
}

/*
 * A list of C strings as an array of texts.
 */
Datum
CheckpointTexts(const List *strings)
{
	Datum	   *elements = palloc(Max(list_length(strings), 1) * sizeof(Datum));
	ListCell   *cell;

	foreach(cell, strings)
		elements[foreach_current_index(cell)] = CStringGetTextDatum(lfirst(cell));
	return PointerGetDatum(construct_array(elements, list_length(strings), TEXTOID,
										   -1, false, TYPALIGN_INT));
}

/*
 * Read a row, as far as it makes sense.
 */
void
CheckpointRowRead(HeapTuple tuple, TupleDesc descriptor, CheckpointRow *row)
{
	Datum		values[CHECKPOINT_NCOLUMNS];
	bool		isnull[CHECKPOINT_NCOLUMNS];
	bool		keys_are_texts;

	heap_deform_tuple(tuple, descriptor, values, isnull);
	memset(row, 0, sizeof(CheckpointRow));
	row->tree_size = isnull[CHECKPOINT_TREE_SIZE - 1] ? -1 :
		DatumGetInt64(values[CHECKPOINT_TREE_SIZE - 1]);
	if (!isnull[CHECKPOINT_NOTE - 1])
		row->note = TextDatumGetCString(values[CHECKPOINT_NOTE - 1]);
	if (!isnull[CHECKPOINT_AT - 1])
		row->at = DatumGetTimestampTz(values[CHECKPOINT_AT - 1]);
	keys_are_texts = !isnull[CHECKPOINT_VERIFIER_KEYS - 1] &&
		take_texts(values[CHECKPOINT_VERIFIER_KEYS - 1], &row->verifier_keys);

	row->sound = !isnull[CHECKPOINT_ROOT - 1] &&
		LedgerTakeHash(values[CHECKPOINT_ROOT - 1], &row->root);
	row->sound = !isnull[CHECKPOINT_SEAL - 1] &&
		LedgerTakeHash(values[CHECKPOINT_SEAL - 1], &row->seal) && row->sound;
	row->sound = row->sound && row->tree_size >= 0 && row->note != NULL &&
		!isnull[CHECKPOINT_AT - 1] && keys_are_texts;
}

/*
 * Open the index on the size, of all or of those that are signed, to be closed
 * with AccessShareLock.
 */
Relation
CheckpointIndexOpen(Relation table, bool signed_only)
{
	return CpisIndexOpen(table, CpisRelationOid(signed_only ? CPIS_CHECKPOINT_SIGNED_IDX : CPIS_CHECKPOINT_TREE_SIZE_IDX),
						 index_columns, lengthof(index_columns), signed_only);
}

/*
 * The checkpoint of the largest tree, up to this size, perhaps only of those
 * that are signed; false where there is none.
 */
bool
CheckpointRowNewest(LedgerReading *reading, int64 up_to, bool signed_only,
					CheckpointRow *row)
{
	Relation	table = CheckpointTableOpen();
	Relation	index = CheckpointIndexOpen(table, signed_only);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, CHECKPOINT_TREE_SIZE, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(up_to));
	scan = systable_beginscan_ordered(table, index, reading->snapshot, 1, &key);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
		CheckpointRowRead(tuple, RelationGetDescr(table), row);
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

/*
 * Is the ledger, of this size, another one than its newest signed checkpoint
 * says, or smaller?  Then no key may sign a checkpoint of it: it would contradict
 * what that key signed before (C2SP tlog-checkpoint, "Signatures").  The reading
 * is lenient.
 */
bool
CheckpointIsContradicted(LedgerReading *reading, int64 size)
{
	CheckpointRow row;
	MerkleHash	root;

	return CheckpointRowNewest(reading, LEDGER_SIZE_MOST - 1, true, &row) &&
		!(row.sound && row.tree_size <= size &&
		  merkle_root(&reading->source, row.tree_size, &root) &&
		  merkle_equal(&root, &row.root));
}

/*
 * SHA-256 over a header, something of a fixed length, a time and a text.
 */
static void
seal_parts(const char *header, const MerkleHash *before, TimestampTz at,
		   const char *text, MerkleHash *seal)
{
	uint64		time = pg_hton64(at + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
	const Sha256Part parts[] =
	{
		{header, strlen(header)},
		{before, before == NULL ? 0 : SHA256_LENGTH},
		{&time, sizeof(time)},
		{text, strlen(text)},
	};

	if (!sha256_parts(LedgerSha256(), parts, lengthof(parts), seal->bytes))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 of a checkpoint")));
}

/*
 * What is before the first checkpoint: SHA-256 over "cpis/ledger/1" and a line
 * feed, created_at (microseconds since 1970-01-01 UTC, eight bytes, big-endian),
 * and origin.
 */
void
CheckpointFirstSeal(const char *origin, TimestampTz created_at, MerkleHash *seal)
{
	seal_parts(LEDGER_HEADER, NULL, created_at, origin, seal);
}

/*
 * The seal of a checkpoint: SHA-256 over "cpis/checkpoint/1" and a line feed,
 * the seal of the one before it, at (as above), and note.
 */
void
CheckpointNextSeal(const MerkleHash *before, TimestampTz at, const char *note,
				   MerkleHash *seal)
{
	seal_parts(CHECKPOINT_HEADER, before, at, note, seal);
}

static bool
is_among(const List *strings, const char *string)
{
	ListCell   *cell;

	foreach(cell, strings)
	{
		if (strcmp(lfirst(cell), string) == 0)
			return true;
	}
	return false;
}

/*
 * What events say of a change of keys: a list of their details, in order.
 */
List *
CheckpointKeyChanges(const List *before, const List *now)
{
	List	   *changes = NIL;
	ListCell   *cell;

	foreach(cell, now)
	{
		if (!is_among(before, lfirst(cell)))
			changes = lappend(changes, psprintf("added %s", (char *) lfirst(cell)));
	}
	foreach(cell, before)
	{
		if (!is_among(now, lfirst(cell)))
			changes = lappend(changes, psprintf("removed %s", (char *) lfirst(cell)));
	}
	return changes;
}
