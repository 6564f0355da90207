/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  The ledger as it stands in its tables.
 *
 * A reading gives merkle.c the tiles of the tree, under one snapshot: full ones
 * from cpis.ledger_tile; those at the right edge from the leaf hashes of the
 * trail, and, above, from the roots of the tiles below.  So a tree is read, to
 * any size that it has had, by a few index scans, and never as a whole.
 *
 * A strict reading raises an error where something is missing, for no proof can
 * then be made.  A lenient one, the writer's, reads zeros, and notes that it
 * did: look-ups must go on, and the tree does not fit its checkpoints any more,
 * which cpis_audit_verify() will say.
 *
 * Locks are AccessShare, on the tiles until LedgerReadingEnd(), on the
 * partitions of the trail until the transaction ends.  Memory is the caller's
 * context at LedgerReadingBegin(); after an error it goes with that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "ledger.h"
#include "miscadmin.h"
#include "month.h"
#include "relation.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* A tree of more events would take longer than there are servers. */
#define LEDGER_SIZE_MOST (INT64CONST(1) << 53)

/* The most checkpoints among which the newest that is signed is looked for. */
#define CHECKPOINTS_LOOKED_AT 1000

/* Columns of the index on tiles. */
#define INDEX_LEVEL 1
#define INDEX_TILE 2
#define INDEX_ROOT 3

static bool read_tile(void *context, int level, uint64_t tile, int width,
					  MerkleHash *hashes);

/*
 * The hasher of this process.
 */
Sha256 *
LedgerSha256(void)
{
	static Sha256 *sha256 = NULL;

	if (sha256 == NULL)
		sha256 = sha256_open();
	if (sha256 == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not prepare SHA-256")));
	return sha256;
}

/*
 * Begin to read under a snapshot, which is registered.
 */
LedgerReading *
LedgerReadingBegin(Snapshot snapshot, bool lenient)
{
	LedgerReading *reading = palloc0(sizeof(LedgerReading));

	reading->snapshot = RegisterSnapshot(snapshot);
	reading->lenient = lenient;
	reading->tiles = CpisTableOpen(CPIS_LEDGER_TILE, AccessShareLock);
	reading->months = MonthPartitions();
	reading->source.sha256 = LedgerSha256();
	reading->source.read = read_tile;
	reading->source.context = reading;
	return reading;
}

void
LedgerReadingEnd(LedgerReading *reading)
{
	table_close(reading->tiles, AccessShareLock);
	UnregisterSnapshot(reading->snapshot);
	list_free(reading->months);
	pfree(reading);
}

/*
 * Something that should be there is not, or not once, or not of the right form.
 */
static void
note_missing(LedgerReading *reading, const char *what, int64 number)
{
	reading->missing = true;
	if (!reading->lenient)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("%s " INT64_FORMAT " is missing from the ledger", what, number),
				 errhint("cpis_audit_verify() says what is wrong.")));
}

/*
 * A bytea of exactly so many bytes; false where it has others.
 */
static bool
take_bytes(Datum value, void *bytes, int length)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(value);
	bool		fits = VARSIZE_ANY_EXHDR(packed) == length;

	if (fits)
		memcpy(bytes, VARDATA_ANY(packed), length);
	if ((Pointer) packed != DatumGetPointer(value))
		pfree(packed);
	return fits;
}

/*
 * The same, of a column; false also where it is NULL.
 */
static bool
take_column(HeapTuple tuple, TupleDesc descriptor, int attribute, void *bytes,
			int length)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attribute, descriptor, &isnull);

	return !isnull && take_bytes(value, bytes, length);
}

static int64
take_int64(HeapTuple tuple, TupleDesc descriptor, int attribute)
{
	bool		isnull;

	return DatumGetInt64(heap_getattr(tuple, attribute, descriptor, &isnull));
}

/*
 * The highest number in a column, by an index that ends with it, of the rows that
 * match the keys; -1 for none.  A number that no ledger reaches, or none, is
 * somebody's who wants to stop look-ups or to hide rows: it does not count.
 */
static int64
highest(Relation table, Oid index_oid, Snapshot snapshot, ScanKey keys,
		int nkeys, int attribute)
{
	Relation	index = index_open(index_oid, AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		result = -1;

	scan = systable_beginscan_ordered(table, index, snapshot, nkeys, keys);
	while (result < 0 &&
		   HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, attribute, RelationGetDescr(table), &isnull);

		CHECK_FOR_INTERRUPTS();
		if (!isnull && DatumGetInt64(value) < LEDGER_SIZE_MOST)
			result = Max(DatumGetInt64(value), -1);
		if (!isnull && DatumGetInt64(value) < 0)
			break;
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	return result;
}

/*
 * The highest number of an event in the trail, -1 for none.  All months are
 * asked: after the clock has been set back, the newest event is not in the
 * newest month.
 */
static int64
highest_event(LedgerReading *reading)
{
	int64		result = -1;
	ListCell   *cell;

	foreach(cell, reading->months)
	{
		Relation	month = table_open(lfirst_oid(cell), NoLock);

		result = Max(result, highest(month, MonthEventIdIndex(lfirst_oid(cell)),
									 reading->snapshot, NULL, 0, AUDIT_EVENT_ID));
		table_close(month, NoLock);
	}
	return result;
}

/*
 * The highest number of leaves that a checkpoint has, -1 for none.  A lenient
 * reading does not wait for who has locked the checkpoints: look-ups come first.
 */
static int64
highest_checkpoint(LedgerReading *reading)
{
	Oid			table = CpisRelationOid(CPIS_CHECKPOINT);
	Relation	checkpoints;
	int64		result;

	if (reading->lenient && !ConditionalLockRelationOid(table, AccessShareLock))
		return -1;
	checkpoints = CpisTableOpen(CPIS_CHECKPOINT, reading->lenient ? NoLock : AccessShareLock);
	result = highest(checkpoints, CpisRelationOid(CPIS_CHECKPOINT_TREE_SIZE_IDX),
					 reading->snapshot, NULL, 0, CHECKPOINT_TREE_SIZE);
	table_close(checkpoints, AccessShareLock);
	return result;
}

/*
 * How many leaves trail and tiles have.
 */
int64
LedgerLeaves(LedgerReading *reading)
{
	int64		in_trail = highest_event(reading) + 1;
	int64		full_tiles;
	ScanKeyData key;

	ScanKeyInit(&key, TILE_LEVEL, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(0));
	full_tiles = highest(reading->tiles, CpisRelationOid(CPIS_LEDGER_TILE_IDX),
						 reading->snapshot, &key, 1, TILE_TILE) + 1;
	return Max(in_trail, full_tiles * MERKLE_TILE_WIDTH);
}

/*
 * How many leaves the tree should have.  Where events have been cut off the end,
 * checkpoints may know that there were more, and their numbers must not be given
 * again.
 */
int64
LedgerTreeSize(LedgerReading *reading)
{
	return Max(LedgerLeaves(reading), highest_checkpoint(reading));
}

/*
 * The name of the ledger, NULL where it has none yet; and how many rows say so.
 */
char *
LedgerOrigin(LedgerReading *reading, int *rows)
{
	Relation	table = CpisTableOpen(CPIS_LEDGER, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false,
										  reading->snapshot, 0, NULL);
	HeapTuple	tuple;
	char	   *origin = NULL;

	*rows = 0;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if ((*rows)++ == 0)
			origin = CpisTextAttribute(tuple, RelationGetDescr(table), LEDGER_ORIGIN);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return origin;
}

/*
 * Read a full tile, hashes and root.
 */
void
LedgerReadTile(LedgerReading *reading, int level, int64 tile,
			   LedgerTile *result)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], TILE_LEVEL, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(level));
	ScanKeyInit(&keys[1], TILE_TILE, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(tile));
	scan = systable_beginscan(reading->tiles, CpisRelationOid(CPIS_LEDGER_TILE_IDX),
							  true, reading->snapshot, 2, keys);
	result->rows = 0;
	result->sound = false;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (result->rows++ == 0)
			result->sound =
				take_column(tuple, RelationGetDescr(reading->tiles), TILE_HASHES,
							result->hashes, TILE_LENGTH) &&
				take_column(tuple, RelationGetDescr(reading->tiles), TILE_ROOT,
							result->root.bytes, SHA256_LENGTH);
	}
	systable_endscan(scan);
}

/*
 * Count what was read of a run of adjacent hashes; whatever is not there exactly
 * once is missing.
 */
static void
check_run(LedgerReading *reading, const char *what, int64 first, int width,
		  const uint8 *times, MerkleHash *hashes)
{
	for (int i = 0; i < width; i++)
	{
		if (times[i] == 1)
			continue;
		note_missing(reading, what, first + i);
		memset(&hashes[i], 0, sizeof(MerkleHash));
	}
}

/*
 * Take a hash into its place in a run.
 */
static void
take_hash(int64 place, Datum hash, int width, uint8 *times, MerkleHash *hashes)
{
	/* A row on a damaged page may not be what the index says. */
	if (place >= 0 && place < width &&
		take_bytes(hash, hashes[place].bytes, SHA256_LENGTH))
		times[place] = Min(times[place] + 1, 2);
}

/*
 * The next row of a scan of the index on tiles, from the index alone where the
 * page of the row is known to be visible to everybody; NULL at the end.
 */
static IndexTuple
next_entry(IndexScanDesc scan, TupleTableSlot *slot, Buffer *visibility)
{
	ItemPointer tid;

	while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		bool		visible;

		if (VM_ALL_VISIBLE(scan->heapRelation, ItemPointerGetBlockNumber(tid), visibility))
			return scan->xs_itup;
		visible = index_fetch_heap(scan, slot);
		ExecClearTuple(slot);
		if (visible)
			return scan->xs_itup;
	}
	return NULL;
}

/*
 * Read the roots of adjacent tiles of a level, up to a tile full of them.
 */
void
LedgerReadRoots(LedgerReading *reading, int level, int64 first, int width,
				MerkleHash *roots)
{
	Relation	index = index_open(CpisRelationOid(CPIS_LEDGER_TILE_IDX), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(reading->tiles, NULL);
	Buffer		visibility = InvalidBuffer;
	uint8		times[MERKLE_TILE_WIDTH] = {0};
	ScanKeyData keys[3];
	IndexScanDesc scan;
	IndexTuple	entry;

	ScanKeyInit(&keys[0], INDEX_LEVEL, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(level));
	ScanKeyInit(&keys[1], INDEX_TILE, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first));
	ScanKeyInit(&keys[2], INDEX_TILE, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(first + width));
	scan = CPIS_INDEX_BEGINSCAN(reading->tiles, index, reading->snapshot, 3);
	scan->xs_want_itup = true;
	index_rescan(scan, keys, 3, NULL, 0);
	while ((entry = next_entry(scan, slot, &visibility)) != NULL)
	{
		bool		isnull[2];
		Datum		tile = index_getattr(entry, INDEX_TILE, scan->xs_itupdesc, &isnull[0]);
		Datum		root = index_getattr(entry, INDEX_ROOT, scan->xs_itupdesc, &isnull[1]);

		if (!isnull[0] && !isnull[1])
			take_hash(DatumGetInt64(tile) - first, root, width, times, roots);
	}
	index_endscan(scan);
	if (BufferIsValid(visibility))
		ReleaseBuffer(visibility);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	check_run(reading, "tile", first, width, times, roots);
}

/*
 * Read the leaf hashes of adjacent events, up to a tile full of them.
 */
static void
read_leaves(LedgerReading *reading, int64 first, int width, MerkleHash *leaves)
{
	uint8		times[MERKLE_TILE_WIDTH] = {0};
	ListCell   *cell;

	foreach(cell, reading->months)
	{
		Relation	month = table_open(lfirst_oid(cell), NoLock);
		ScanKeyData keys[2];
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&keys[0], AUDIT_EVENT_ID, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first));
		ScanKeyInit(&keys[1], AUDIT_EVENT_ID, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(first + width));
		scan = systable_beginscan(month, MonthEventIdIndex(lfirst_oid(cell)), true,
								  reading->snapshot, 2, keys);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			TupleDesc	descriptor = RelationGetDescr(month);
			bool		isnull;
			Datum		leaf = heap_getattr(tuple, AUDIT_LEAF_HASH, descriptor, &isnull);

			if (!isnull)
				take_hash(take_int64(tuple, descriptor, AUDIT_EVENT_ID) - first, leaf,
						  width, times, leaves);
		}
		systable_endscan(scan);
		table_close(month, NoLock);
	}
	check_run(reading, "event", first, width, times, leaves);
}

/*
 * For merkle.c: the beginning of a tile.  What was read last of each level is
 * kept, for a proof asks for the same tile several times.
 */
static bool
read_tile(void *context, int level, uint64_t tile, int width,
		  MerkleHash *hashes)
{
	LedgerReading *reading = context;
	KeptTile   *kept = &reading->kept[level];

	CHECK_FOR_INTERRUPTS();
	if (kept->tile != tile || kept->width < width)
	{
		LedgerTile	full;

		kept->width = 0;
		LedgerReadTile(reading, level, tile, &full);
		if (full.rows == 1 && full.sound)
		{
			memcpy(kept->hashes, full.hashes, sizeof(kept->hashes));
			kept->width = MERKLE_TILE_WIDTH;
		}
		else
		{
			int64		first = tile * MERKLE_TILE_WIDTH;

			if (level == 0)
				read_leaves(reading, first, width, kept->hashes);
			else
				LedgerReadRoots(reading, level - 1, first, width, kept->hashes);
			kept->width = width;
		}
		kept->tile = tile;
	}
	memcpy(hashes, kept->hashes, width * sizeof(MerkleHash));
	return true;
}

/*
 * A copy of the row of an event.  22023 where there is none: neither is one
 * where there are several, for who could tell which it is?
 */
HeapTuple
LedgerFindEvent(LedgerReading *reading, int64 event_id, TupleDesc *descriptor)
{
	HeapTuple	found = NULL;
	int			rows = 0;
	ListCell   *cell;

	foreach(cell, reading->months)
	{
		Relation	month = table_open(lfirst_oid(cell), NoLock);
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, AUDIT_EVENT_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(event_id));
		scan = systable_beginscan(month, MonthEventIdIndex(lfirst_oid(cell)), true,
								  reading->snapshot, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			rows++;
			found = heap_copytuple(tuple);
			*descriptor = CreateTupleDescCopy(RelationGetDescr(month));
		}
		systable_endscan(scan);
		table_close(month, NoLock);
	}
	if (rows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event " INT64_FORMAT " is not in the trail", event_id)));
	return found;
}

/*
 * The elements of an array of texts as a list of C strings; NIL where it is
 * anything else.
 */
static List *
text_list(Datum array)
{
	List	   *result = NIL;
	Datum	   *elements;
	bool	   *isnull;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &isnull, &n);
	for (int i = 0; i < n; i++)
	{
		if (!isnull[i])
			result = lappend(result, TextDatumGetCString(elements[i]));
	}
	return result;
}

/*
 * Read a row of cpis.checkpoint, as far as it makes sense.
 */
void
LedgerCheckpointRead(HeapTuple tuple, TupleDesc descriptor,
					 LedgerCheckpoint *checkpoint)
{
	Datum		keys;
	bool		isnull;

	checkpoint->tree_size = take_int64(tuple, descriptor, CHECKPOINT_TREE_SIZE);
	checkpoint->root_is_sound = take_column(tuple, descriptor, CHECKPOINT_ROOT,
											checkpoint->root.bytes, SHA256_LENGTH);
	checkpoint->note = CpisTextAttribute(tuple, descriptor, CHECKPOINT_NOTE);
	checkpoint->at = DatumGetTimestampTz(heap_getattr(tuple, CHECKPOINT_AT,
													  descriptor, &isnull));
	keys = heap_getattr(tuple, CHECKPOINT_VERIFIER_KEYS, descriptor, &isnull);
	checkpoint->verifier_keys = isnull ? NIL : text_list(keys);
}

/*
 * The checkpoint of the largest tree, perhaps only of those that are signed;
 * false where there is none, or none among the newest thousand.
 */
bool
LedgerNewestCheckpoint(LedgerReading *reading, bool signed_only,
					   LedgerCheckpoint *checkpoint)
{
	Relation	table = CpisTableOpen(CPIS_CHECKPOINT, AccessShareLock);
	Relation	index = index_open(CpisRelationOid(CPIS_CHECKPOINT_TREE_SIZE_IDX),
								   AccessShareLock);
	SysScanDesc scan = systable_beginscan_ordered(table, index, reading->snapshot,
												  0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	for (int i = 0; !found && i < CHECKPOINTS_LOOKED_AT &&
		 HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)); i++)
	{
		CHECK_FOR_INTERRUPTS();
		LedgerCheckpointRead(tuple, RelationGetDescr(table), checkpoint);
		found = !signed_only || checkpoint->verifier_keys != NIL;
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
	return found;
}
