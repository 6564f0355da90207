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
 * partitions of the trail, from when something in them is first looked for,
 * until the transaction ends.  Memory is the caller's context at
 * LedgerReadingBegin(); after an error it goes with that.
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
#include "checkpoint_row.h"
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

/* Columns of the index on tiles. */
#define INDEX_LEVEL 1
#define INDEX_TILE 2
#define INDEX_ROOT 3
static const AttrNumber tile_index[] = {TILE_LEVEL, TILE_TILE, TILE_ROOT};

static const AttrNumber event_index[] = {AUDIT_EVENT_ID};
static const AttrNumber checkpoint_index[] = {CHECKPOINT_TREE_SIZE};

static const Oid ledger_columns[LEDGER_NCOLUMNS] = {TEXTOID, TIMESTAMPTZOID};
static const Oid tile_columns[TILE_NCOLUMNS] = {INT2OID, INT8OID, BYTEAOID, BYTEAOID};

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
 * Lock what a session reads in which it will look at more than tiles, until the
 * transaction ends: in the order in which the tables were made, which is that of
 * DROP EXTENSION.
 */
void
LedgerLockToRead(void)
{
	static const CpisRelation tables[] =
	{CPIS_AUDIT_EVENT, CPIS_NOTIFICATION, CPIS_LEDGER, CPIS_LEDGER_TILE, CPIS_CHECKPOINT};

	for (int i = 0; i < lengthof(tables); i++)
		table_close(CpisTableOpen(tables[i], AccessShareLock), NoLock);
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
	CpisCheckColumns(reading->tiles, tile_columns, TILE_NCOLUMNS);
	reading->source.sha256 = LedgerSha256();
	reading->source.read = read_tile;
	reading->source.context = reading;
	return reading;
}

/*
 * End it.  Tiles stay locked until the transaction ends, as the months do: who
 * waits for the ones must not hold the others.
 */
void
LedgerReadingEnd(LedgerReading *reading)
{
	table_close(reading->tiles, NoLock);
	UnregisterSnapshot(reading->snapshot);
	list_free(reading->months);
	pfree(reading);
}

/*
 * The partitions of the trail, a list of OIDs, locked.
 */
List *
LedgerMonths(LedgerReading *reading)
{
	if (reading->months == NIL)
	{
		MemoryContext context = MemoryContextSwitchTo(GetMemoryChunkContext(reading));

		reading->months = MonthPartitions();
		MemoryContextSwitchTo(context);
	}
	return reading->months;
}

/*
 * Open a partition, and its index on event numbers, or, where nothing is in it,
 * as in next month's, no index.
 */
static Relation
open_month(Oid month, Relation *index)
{
	Relation	table = table_open(month, NoLock);

	AuditCheckColumns(table);
	*index = RelationGetNumberOfBlocks(table) == 0 ? NULL :
		CpisIndexOpen(table, MonthEventIdIndex(month), event_index, lengthof(event_index), false);
	return table;
}

static void
close_month(Relation table, Relation index)
{
	if (index != NULL)
		index_close(index, AccessShareLock);
	table_close(table, NoLock);
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
 * A hash; false where it has another length.
 */
bool
LedgerTakeHash(Datum value, MerkleHash *hash)
{
	return take_bytes(value, hash->bytes, SHA256_LENGTH);
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

/*
 * An eight-byte number; -1 where it is NULL.
 */
static int64
take_int64(HeapTuple tuple, TupleDesc descriptor, int attribute)
{
	bool		isnull;

	Datum		value = heap_getattr(tuple, attribute, descriptor, &isnull);

	return isnull ? -1 : DatumGetInt64(value);
}

/* A scan of an index that answers from the index alone, where it can. */
typedef struct EntryScan
{
	IndexScanDesc scan;
	TupleTableSlot *slot;
	Buffer		visibility;
} EntryScan;

static void
begin_entries(EntryScan *entries, Relation table, Relation index,
			  Snapshot snapshot, ScanKey keys, int nkeys)
{
	entries->slot = table_slot_create(table, NULL);
	entries->visibility = InvalidBuffer;
	entries->scan = CPIS_INDEX_BEGINSCAN(table, index, snapshot, nkeys);
	entries->scan->xs_want_itup = true;
	index_rescan(entries->scan, keys, nkeys, NULL, 0);
}

static void
end_entries(EntryScan *entries)
{
	index_endscan(entries->scan);
	if (BufferIsValid(entries->visibility))
		ReleaseBuffer(entries->visibility);
	ExecDropSingleTupleTableSlot(entries->slot);
}

/*
 * The entry of the next row that the snapshot sees, without a look at the row
 * where its page is known to be visible to everybody; NULL at the end.
 */
static IndexTuple
next_entry(EntryScan *entries, ScanDirection direction)
{
	IndexScanDesc scan = entries->scan;
	ItemPointer tid;

	while ((tid = index_getnext_tid(scan, direction)) != NULL)
	{
		bool		visible;

		if (VM_ALL_VISIBLE(scan->heapRelation, ItemPointerGetBlockNumber(tid),
						   &entries->visibility))
			return scan->xs_itup;
		visible = index_fetch_heap(scan, entries->slot);
		ExecClearTuple(entries->slot);
		if (visible)
			return scan->xs_itup;
	}
	return NULL;
}

static Relation
open_tile_index(const LedgerReading *reading)
{
	return CpisIndexOpen(reading->tiles, CpisRelationOid(CPIS_LEDGER_TILE_IDX),
						 tile_index, lengthof(tile_index), false);
}

static Datum
entry_attribute(const EntryScan *entries, IndexTuple entry, int attribute,
				bool *isnull)
{
	return index_getattr(entry, attribute, entries->scan->xs_itupdesc, isnull);
}

/*
 * The highest number in a column of an index, of the entries that match the
 * keys; -1 for none.  A number that no ledger reaches, from this limit on, or
 * none, is somebody's who wants to stop look-ups or to hide rows: it does not
 * count.
 */
static int64
highest(Relation table, Relation index, Snapshot snapshot, ScanKey keys,
		int nkeys, int attribute, int64 limit)
{
	EntryScan	entries;
	IndexTuple	entry;
	int64		result = -1;

	begin_entries(&entries, table, index, snapshot, keys, nkeys);
	while ((entry = next_entry(&entries, BackwardScanDirection)) != NULL)
	{
		bool		isnull;
		Datum		value = entry_attribute(&entries, entry, attribute, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (isnull || DatumGetInt64(value) >= limit)
			continue;
		result = Max(DatumGetInt64(value), -1);
		break;
	}
	end_entries(&entries);
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

	foreach(cell, LedgerMonths(reading))
	{
		Relation	index;
		Relation	month = open_month(lfirst_oid(cell), &index);

		if (index != NULL)
			result = Max(result, highest(month, index, reading->snapshot, NULL, 0, 1,
										 LEDGER_SIZE_MOST));
		close_month(month, index);
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
	Oid			oid = CpisRelationOid(CPIS_CHECKPOINT);
	Relation	table;
	Relation	index;
	int64		result;

	if (reading->lenient && !ConditionalLockRelationOid(oid, AccessShareLock))
		return -1;
	table = CpisTableOpen(CPIS_CHECKPOINT, reading->lenient ? NoLock : AccessShareLock);
	index = CpisIndexOpen(table, CpisRelationOid(CPIS_CHECKPOINT_TREE_SIZE_IDX),
						  checkpoint_index, lengthof(checkpoint_index), false);
	result = highest(table, index, reading->snapshot, NULL, 0, 1, LEDGER_SIZE_MOST);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
	return result;
}

/*
 * How many leaves the full tiles have.
 */
static int64
leaves_in_tiles(LedgerReading *reading)
{
	Relation	index = open_tile_index(reading);
	ScanKeyData key;
	int64		tiles;

	ScanKeyInit(&key, INDEX_LEVEL, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(0));
	tiles = highest(reading->tiles, index, reading->snapshot, &key, 1, INDEX_TILE,
					LEDGER_SIZE_MOST / MERKLE_TILE_WIDTH) + 1;
	index_close(index, AccessShareLock);
	return tiles * MERKLE_TILE_WIDTH;
}

/*
 * How many leaves trail and tiles have.
 */
int64
LedgerLeaves(LedgerReading *reading)
{
	int64		in_trail = highest_event(reading) + 1;

	return Max(in_trail, leaves_in_tiles(reading));
}

/*
 * Has the ledger so many leaves?  The trail need not be asked where the tiles
 * have them.
 */
bool
LedgerHasTree(LedgerReading *reading, int64 size)
{
	return size >= 0 &&
		(size <= leaves_in_tiles(reading) || size <= highest_event(reading) + 1);
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
 * The name of the ledger, NULL where it has none yet; when it was made; and how
 * many rows say so.
 */
char *
LedgerOrigin(LedgerReading *reading, TimestampTz *created_at, int *rows)
{
	Relation	table = CpisTableOpen(CPIS_LEDGER, AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *origin = NULL;

	CpisCheckColumns(table, ledger_columns, LEDGER_NCOLUMNS);
	scan = systable_beginscan(table, InvalidOid, false, reading->snapshot, 0, NULL);
	*created_at = 0;
	*rows = 0;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if ((*rows)++ != 0)
			continue;
		origin = CpisTextAttribute(tuple, RelationGetDescr(table), LEDGER_ORIGIN);
		*created_at = take_int64(tuple, RelationGetDescr(table), LEDGER_CREATED_AT);
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
 * Read the roots of adjacent tiles of a level, up to a tile full of them.
 */
void
LedgerReadRoots(LedgerReading *reading, int level, int64 first, int width,
				MerkleHash *roots)
{
	Relation	index = open_tile_index(reading);
	uint8		times[MERKLE_TILE_WIDTH] = {0};
	ScanKeyData keys[3];
	EntryScan	entries;
	IndexTuple	entry;

	ScanKeyInit(&keys[0], INDEX_LEVEL, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(level));
	ScanKeyInit(&keys[1], INDEX_TILE, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first));
	ScanKeyInit(&keys[2], INDEX_TILE, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(first + width));
	begin_entries(&entries, reading->tiles, index, reading->snapshot, keys, 3);
	while ((entry = next_entry(&entries, ForwardScanDirection)) != NULL)
	{
		bool		isnull[2];
		Datum		tile = entry_attribute(&entries, entry, INDEX_TILE, &isnull[0]);
		Datum		root = entry_attribute(&entries, entry, INDEX_ROOT, &isnull[1]);

		if (!isnull[0] && !isnull[1])
			take_hash(DatumGetInt64(tile) - first, root, width, times, roots);
	}
	end_entries(&entries);
	index_close(index, AccessShareLock);
	check_run(reading, "tile", first, width, times, roots);
}

/*
 * Read those of adjacent leaf hashes that are in one month.
 */
static void
read_leaves_of(LedgerReading *reading, Relation month, Oid index, int64 first,
			   int width, uint8 *times, MerkleHash *leaves)
{
	TupleDesc	descriptor = RelationGetDescr(month);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], AUDIT_EVENT_ID, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first));
	ScanKeyInit(&keys[1], AUDIT_EVENT_ID, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(first + width));
	scan = systable_beginscan(month, index, true, reading->snapshot, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		leaf = heap_getattr(tuple, AUDIT_LEAF_HASH, descriptor, &isnull);

		if (!isnull)
			take_hash(take_int64(tuple, descriptor, AUDIT_EVENT_ID) - first, leaf,
					  width, times, leaves);
	}
	systable_endscan(scan);
}

/*
 * Read the leaf hashes of adjacent events, up to a tile full of them.
 */
static void
read_leaves(LedgerReading *reading, int64 first, int width, MerkleHash *leaves)
{
	uint8		times[MERKLE_TILE_WIDTH] = {0};
	ListCell   *cell;

	foreach(cell, LedgerMonths(reading))
	{
		Relation	index;
		Relation	month = open_month(lfirst_oid(cell), &index);

		if (index != NULL)
			read_leaves_of(reading, month, RelationGetRelid(index), first, width, times, leaves);
		close_month(month, index);
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

	foreach(cell, LedgerMonths(reading))
	{
		Relation	month = table_open(lfirst_oid(cell), NoLock);
		Relation	index;
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		AuditCheckColumns(month);
		index = CpisIndexOpen(month, MonthEventIdIndex(lfirst_oid(cell)), event_index,
							  lengthof(event_index), false);
		ScanKeyInit(&key, AUDIT_EVENT_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(event_id));
		scan = systable_beginscan(month, RelationGetRelid(index), true,
								  reading->snapshot, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			rows++;
			found = heap_copytuple(tuple);
			*descriptor = CreateTupleDescCopy(RelationGetDescr(month));
		}
		systable_endscan(scan);
		index_close(index, AccessShareLock);
		table_close(month, NoLock);
	}
	if (rows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event " INT64_FORMAT " is not in the trail", event_id)));
	return found;
}
