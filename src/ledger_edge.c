/*-------------------------------------------------------------------------
 *
 * ledger_edge.c
 *	  The right edge of the ledger, where the writer lets it grow.
 *
 * For the writer alone.  It keeps in memory the hashes that are in no full tile
 * yet, at most 255 a level, and reads them once in its life: leaf hashes from
 * the trail, the others from the roots of tiles.  Tiles that become full are
 * stored in the transaction of the event that filled them, so that there is
 * never an event without its tile.  The number of leaves is also the number of
 * the next event.
 *
 * A transaction that fails has let the edge grow by leaves that nobody will
 * see: LedgerForget() must then be called, and the edge is read again.
 *
 * What should be there and is not - somebody has taken it away - is read as
 * zeros, and logged.  The root then never again is what it would have been, and
 * every later checkpoint contradicts the earlier ones.  A name that somebody has
 * changed into none is left as it is: look-ups go on, without checkpoints.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bulk_insert.h"
#include "catalog/pg_class.h"
#include "common/string.h"
#include "ledger_edge.h"
#include "relation.h"
#include "signed_note.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

/* Random bytes in the name of a ledger that nobody has named. */
#define RANDOM_ORIGIN_BYTES 16

/* A tile that is full and not stored yet; in the memory of the batch. */
typedef struct FullTile
{
	int			level;
	int64		tile;
	MerkleHash	hashes[MERKLE_TILE_WIDTH];
	MerkleHash	root;
} FullTile;

char	   *cpis_log_origin = NULL;

static MerkleEdge edge;
static bool edge_is_known = false;
static List *full_tiles = NIL;	/* of FullTile */
static char name[ORIGIN_LENGTH + 1];	/* empty: there is none that will do */
static TimestampTz named_at;
static bool is_named = false;	/* if only with a name that will not do */

/*
 * May a ledger have this name?  It goes into notes, which are UTF-8, and may come
 * from a file of settings, which can be anything: ASCII is both.
 */
bool
LedgerOriginIsValid(const char *origin)
{
	return strlen(origin) <= ORIGIN_LENGTH && pg_is_ascii(origin) &&
		strchr(origin, 0x7f) == NULL && note_key_name_is_valid(origin);
}

/*
 * Read everything again from the tables when it is next needed.
 */
void
LedgerForget(void)
{
	edge_is_known = false;
	full_tiles = NIL;
	name[0] = '\0';
	is_named = false;
}

/*
 * Take, for this transaction, the locks that LedgerStore() needs, and see that
 * what is written there will last.
 */
void
LedgerLock(void)
{
	Oid			tiles = CpisRelationOid(CPIS_LEDGER_TILE);
	Oid			ledger = CpisRelationOid(CPIS_LEDGER);

	LockRelationOid(tiles, RowExclusiveLock);
	LockRelationOid(ledger, RowExclusiveLock);
	if (get_rel_persistence(tiles) != RELPERSISTENCE_PERMANENT ||
		get_rel_persistence(ledger) != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a table of the ledger is unlogged")));
}

/*
 * Read edge and name, where they are not known.
 */
static void
read_edge(void)
{
	LedgerReading *reading;
	char	   *origin;
	int			rows;

	if (edge_is_known)
		return;

	reading = LedgerReadingBegin(GetLatestSnapshot(), true);
	if (!merkle_edge_read(&reading->source, LedgerTreeSize(reading), &edge))
		elog(ERROR, "could not read the edge of the ledger");
	if (reading->missing)
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("something is missing from the ledger"),
				 errhint("cpis_audit_verify() says what is wrong.")));
	origin = LedgerOrigin(reading, &named_at, &rows);
	is_named = (rows > 0);
	if (origin != NULL && LedgerOriginIsValid(origin))
		strlcpy(name, origin, sizeof(name));
	LedgerReadingEnd(reading);
	edge_is_known = true;
}

/*
 * How many leaves there are, those of this transaction included.
 */
int64
LedgerSize(void)
{
	read_edge();
	return edge.size;
}

static bool
take_full_tile(void *context, int level, uint64_t tile,
			   const MerkleHash *hashes, const MerkleHash *root)
{
	FullTile   *full = palloc(sizeof(FullTile));

	full->level = level;
	full->tile = tile;
	memcpy(full->hashes, hashes, sizeof(full->hashes));
	full->root = *root;
	full_tiles = lappend(full_tiles, full);
	return true;
}

/*
 * Append the leaf of the next event.  Its tile, where it is full, is kept in the
 * current memory context until LedgerStore().
 */
void
LedgerAppend(const MerkleHash *leaf)
{
	read_edge();
#ifdef CPIS_WITHOUT_LEDGER
	/* For test/bench alone, which measures what the ledger costs. */
	edge.size++;
	return;
#endif
	if (!merkle_edge_append(&edge, LedgerSha256(), leaf, take_full_tile, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not append an event to the ledger")));
}

static Datum
bytea_datum(const void *bytes, int length)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes, length));
}

/*
 * Give the ledger its name: the one that is set, else one that no other ledger
 * has.
 */
static void
store_name(TimestampTz now)
{
	BulkInsert *insert;
	TupleTableSlot *slot;

	if (cpis_log_origin != NULL && cpis_log_origin[0] != '\0')
		strlcpy(name, cpis_log_origin, sizeof(name));
	else
	{
		uint8		random[RANDOM_ORIGIN_BYTES];

		if (!pg_strong_random(random, sizeof(random)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a name for the ledger")));
		strcpy(name, "cpis/");
		(void) hex_encode((char *) random, sizeof(random), name + strlen("cpis/"));
		name[strlen("cpis/") + 2 * sizeof(random)] = '\0';
	}

	insert = BulkInsertBegin(CpisRelationOid(CPIS_LEDGER), LEDGER_NCOLUMNS, 1);
	slot = insert->slots[0];
	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, LEDGER_NCOLUMNS * sizeof(bool));
	slot->tts_values[LEDGER_ORIGIN - 1] = CStringGetTextDatum(name);
	slot->tts_values[LEDGER_CREATED_AT - 1] = TimestampTzGetDatum(now);
	ExecStoreVirtualTuple(slot);
	BulkInsertEnd(insert);
	named_at = now;
	is_named = true;
}

static void
store_tiles(void)
{
	BulkInsert *insert = BulkInsertBegin(CpisRelationOid(CPIS_LEDGER_TILE),
										 TILE_NCOLUMNS, list_length(full_tiles));
	ListCell   *cell;

	foreach(cell, full_tiles)
	{
		FullTile   *full = lfirst(cell);
		TupleTableSlot *slot = insert->slots[foreach_current_index(cell)];

		ExecClearTuple(slot);
		memset(slot->tts_isnull, 0, TILE_NCOLUMNS * sizeof(bool));
		slot->tts_values[TILE_LEVEL - 1] = Int16GetDatum(full->level);
		slot->tts_values[TILE_TILE - 1] = Int64GetDatum(full->tile);
		slot->tts_values[TILE_HASHES - 1] = bytea_datum(full->hashes, TILE_LENGTH);
		slot->tts_values[TILE_ROOT - 1] = bytea_datum(&full->root, SHA256_LENGTH);
		ExecStoreVirtualTuple(slot);
	}
	BulkInsertEnd(insert);
}

/*
 * Store what the appended leaves have filled, and the name of the ledger with
 * its first one.
 */
void
LedgerStore(TimestampTz now)
{
	if (!is_named)
		store_name(now);
	if (full_tiles != NIL)
		store_tiles();
	full_tiles = NIL;
}

/*
 * The name of the ledger, which gets one if it has none, and when it got it.
 */
const char *
LedgerName(TimestampTz now, TimestampTz *since)
{
	read_edge();
	if (!is_named)
		store_name(now);
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the name of the ledger has been changed"),
				 errhint("cpis_audit_verify() says what is wrong.")));
	*since = named_at;
	return name;
}

/*
 * The root of the tree as it is now.
 */
void
LedgerRoot(MerkleHash *root)
{
	read_edge();
	if (!merkle_edge_root(&edge, LedgerSha256(), root))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute the root of the ledger")));
}
