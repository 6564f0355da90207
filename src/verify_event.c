/*-------------------------------------------------------------------------
 *
 * verify_event.c
 *	  Verification of events against their leaf hashes, and of tiles.
 *
 * An event is whole if its number comes next, its leaf hash is that of its row,
 * and the tile that it is in has that hash.  A tile is whole if it is there
 * once and its root is that of its hashes; and the tile above has that root.
 * When all are, there are no others if the tables have as many rows.
 *
 * The first problem ends the part that a process is at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "audit_row.h"
#include "checkpoint_row.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "verify.h"

/* The tile that the events under verification are in. */
typedef struct PresentTile
{
	int64		number;
	bool		must_be;		/* full, so that it must be in the table */
	bool		is_there;		/* so that rows can be compared with it */
	LedgerTile	stored;
} PresentTile;

/*
 * Is a tile that must be there sound?  Reports what is wrong with it.
 */
static bool
tile_is_sound(Verifier *verifier, int level, int64 number, int64 event_id,
			  const LedgerTile *tile)
{
	MerkleHash	root;

	if (tile->rows == 0)
		VerifyProblem(verifier, event_id, "tile " INT64_FORMAT " of level %d is missing", number, level);
	else if (tile->rows > 1)
		VerifyProblem(verifier, event_id, "tile " INT64_FORMAT " of level %d is there more than once", number, level);
	else if (!tile->sound ||
			 !merkle_tile_root(LedgerSha256(), tile->hashes, &root) ||
			 !merkle_equal(&root, &tile->root))
		VerifyProblem(verifier, event_id, "tile " INT64_FORMAT " of level %d has been changed", number, level);
	else
		return true;
	return false;
}

/*
 * Read the tile of an event, if it is full.  One that is not there is a problem
 * only when it is known that its events are.
 */
static bool
read_present_tile(Verifier *verifier, int64 event_id, PresentTile *tile)
{
	tile->number = event_id / MERKLE_TILE_WIDTH;
	tile->must_be = tile->number < verifier->shared->tree_size / MERKLE_TILE_WIDTH;
	tile->is_there = false;
	if (!tile->must_be)
		return true;
	LedgerReadTile(verifier->reading, 0, tile->number, &tile->stored);
	tile->is_there = tile->stored.rows > 0;
	return !tile->is_there ||
		tile_is_sound(verifier, 0, tile->number, tile->number * MERKLE_TILE_WIDTH,
					  &tile->stored);
}

/*
 * The leaf hash that a row says it has; false where it is none.
 */
static bool
stored_leaf(const TupleTableSlot *slot, MerkleHash *leaf)
{
	bytea	   *value;

	if (slot->tts_isnull[AUDIT_LEAF_HASH - 1])
		return false;
	value = DatumGetByteaPP(slot->tts_values[AUDIT_LEAF_HASH - 1]);
	if (VARSIZE_ANY_EXHDR(value) != SHA256_LENGTH)
		return false;
	memcpy(leaf->bytes, VARDATA_ANY(value), SHA256_LENGTH);
	return true;
}

/*
 * What is wrong with the row of an event, or NULL.
 */
static const char *
row_problem(Verifier *verifier, int64 event_id, const TupleTableSlot *slot,
			const PresentTile *tile)
{
	const MerkleHash *in_tile = tile->is_there ?
		&tile->stored.hashes[event_id % MERKLE_TILE_WIDTH] : NULL;
	MerkleHash	of_row;
	MerkleHash	in_row;

	if (AuditRowLeaf(slot->tts_values, slot->tts_isnull, LedgerSha256(),
					 &verifier->buffer, &of_row) != AUDIT_ROW_SOUND)
		return "the event has been changed: a column has a value that is never recorded";
	if (!stored_leaf(slot, &in_row))
		return "the event has been changed: its leaf hash is none";
	if (in_tile == NULL)
		return merkle_equal(&of_row, &in_row) ? NULL :
			"the event has been changed: it does not have its leaf hash";
	if (!merkle_equal(&of_row, in_tile))
		return merkle_equal(&in_row, in_tile) ?
			"the event has been changed: it does not have its leaf hash" :
			"the event has been changed: it is not the one in the ledger";
	return merkle_equal(&in_row, in_tile) ? NULL : "the leaf hash of the event has been changed";
}

/*
 * Does the event tell of a change of keys?
 */
bool
VerifyIsKeyEvent(const TupleTableSlot *slot)
{
	text	   *action;

	if (slot->tts_isnull[AUDIT_ACTION - 1])
		return false;
	action = DatumGetTextPP(slot->tts_values[AUDIT_ACTION - 1]);
	return VARSIZE_ANY_EXHDR(action) == strlen(KEY_EVENT_ACTION) &&
		memcmp(VARDATA_ANY(action), KEY_EVENT_ACTION, strlen(KEY_EVENT_ACTION)) == 0;
}

/*
 * Add the notices that a row tells of to the fingerprint.
 */
static void
add_notices(Verifier *verifier, int64 event_id, const TupleTableSlot *slot)
{
	const FingerprintKey *key = &verifier->shared->key;
	AuditNotice notices[PLANS_PER_LOOKUP];
	int			n = AuditRowNotices(slot->tts_values, slot->tts_isnull, notices);

	for (int i = 0; i < n; i++)
	{
		uint64		item = fingerprint_text(key, notices[i].local_authority, notices[i].length);

		item = fingerprint_number(key, item, notices[i].notification_no);
		item = fingerprint_number(key, item, event_id);
		verifier->notices = fingerprint_add(key, verifier->notices, item);
	}
}

/*
 * Verify one row, and with the first of a tile, or the last, the tile; false
 * after a problem.
 */
static bool
verify_row(Verifier *verifier, int64 event_id, const TupleTableSlot *slot,
		   PresentTile *tile)
{
	const char *problem;

	if (tile->number != event_id / MERKLE_TILE_WIDTH &&
		!read_present_tile(verifier, event_id, tile))
		return false;
	problem = row_problem(verifier, event_id, slot, tile);
	if (problem != NULL)
	{
		VerifyProblem(verifier, event_id, "%s", problem);
		return false;
	}
	add_notices(verifier, event_id, slot);
	verifier->key_events += VerifyIsKeyEvent(slot);

	if ((event_id + 1) % MERKLE_TILE_WIDTH == 0 && tile->must_be && !tile->is_there)
		return tile_is_sound(verifier, 0, tile->number, tile->number * MERKLE_TILE_WIDTH,
							 &tile->stored);
	return true;
}

/*
 * Verify the events that are read, which should be all from "first" up to but
 * not "end"; false after a problem.
 */
static bool
verify_rows(Verifier *verifier, int64 first, int64 end)
{
	PresentTile tile = {.number = -1};
	TupleTableSlot *slot;
	int64		expected = first;
	int64		event_id;

	while ((slot = EventScanNext(verifier->trail, &event_id)) != NULL)
	{
		MemoryContext context;
		bool		whole;

		if (event_id != expected)
		{
			VerifyProblem(verifier, Min(event_id, expected), event_id < expected ?
						  "the event is there more than once" : "the event is missing");
			return false;
		}
		/* Not what the scan keeps. */
		context = MemoryContextSwitchTo(verifier->row_context);
		whole = verify_row(verifier, event_id, slot, &tile);
		MemoryContextSwitchTo(context);
		VerifyProgress(verifier, 1);
		if (!whole)
			return false;
		expected++;
	}
	if (expected < end)
		VerifyProblem(verifier, expected, "the event is missing");
	/* A part may end inside a tile. */
	else if (tile.must_be && !tile.is_there)
		return tile_is_sound(verifier, 0, tile.number, tile.number * MERKLE_TILE_WIDTH,
							 &tile.stored);
	return expected == end;
}

/*
 * Verify that a tile above has the roots of those below.
 */
static void
verify_parent(Verifier *verifier, int level, int64 number)
{
	int64		events = (int64) 1 << (level * MERKLE_TILE_HEIGHT);	/* under a hash */
	int64		first_event = number * MERKLE_TILE_WIDTH * events;
	LedgerTile	tile;
	MerkleHash	roots[MERKLE_TILE_WIDTH];

	LedgerReadTile(verifier->reading, level, number, &tile);
	if (!tile_is_sound(verifier, level, number, first_event, &tile))
		return;
	LedgerReadRoots(verifier->reading, level - 1, number * MERKLE_TILE_WIDTH,
					MERKLE_TILE_WIDTH, roots);
	for (int i = 0; i < MERKLE_TILE_WIDTH; i++)
	{
		if (merkle_equal(&roots[i], &tile.hashes[i]))
			continue;
		VerifyProblem(verifier, first_event + i * events,
					  "tile " INT64_FORMAT " of level %d is not the one in the level above",
					  number * MERKLE_TILE_WIDTH + i, level - 1);
		return;
	}
}

/*
 * Verify the tiles of events that have been removed, up to but not "end", which are
 * all full; false after a problem.
 */
static bool
verify_bare_tiles(Verifier *verifier, int64 first, int64 end)
{
	LedgerTile	tile;

	if (first == end)
		return true;
	for (int64 number = first / MERKLE_TILE_WIDTH; number * MERKLE_TILE_WIDTH < end; number++)
	{
		CHECK_FOR_INTERRUPTS();
		LedgerReadTile(verifier->reading, 0, number, &tile);
		if (!tile_is_sound(verifier, 0, number, number * MERKLE_TILE_WIDTH, &tile))
			return false;
	}
	return true;
}

/*
 * Verify events of one chunk, and the tiles that are full with them.
 */
void
VerifyEvents(Verifier *verifier, int64 first, int64 end)
{
	int64		present = Max(first, Min(verifier->shared->floor, end));
	bool		whole = verify_bare_tiles(verifier, first, present);

	if (whole && present < end)
	{
		EventScanBegin(verifier->trail, present, end);
		whole = verify_rows(verifier, present, end);
		EventScanEnd(verifier->trail);
	}
	if (whole && first % VERIFY_CHUNK == 0 && end - first == VERIFY_CHUNK)
		verify_parent(verifier, 1, first / VERIFY_CHUNK);
}

/*
 * Verify the tiles of level 2 and above, of which there are few.
 */
void
VerifyUpperTiles(Verifier *verifier)
{
	for (int level = 2; level < MERKLE_TILE_LEVELS - 1; level++)
	{
		int64		tiles = verifier->shared->tree_size >> ((level + 1) * MERKLE_TILE_HEIGHT);

		for (int64 tile = 0; tile < tiles; tile++)
		{
			CHECK_FOR_INTERRUPTS();
			verify_parent(verifier, level, tile);
		}
	}
}

/*
 * Count the rows of a month, whatever its index has.
 */
static int64
count_rows(Verifier *verifier, const EventMonth *month)
{
	TableScanDesc scan = table_beginscan(month->table, verifier->trail->snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(month->table, NULL);
	int64		n = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		VerifyProgress(verifier, 0);
		n++;
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	return n;
}

/*
 * Count the rows of the months that no process has taken yet.
 */
void
VerifyCountEvents(Verifier *verifier)
{
	VerifyShared *shared = verifier->shared;
	const EventTrail *trail = verifier->trail;
	uint32		month;

	/* Who sees other months, one just attached, leaves it to the others. */
	if (shared->months != EventTrailMonths(trail))
		return;
	while (!VerifyHasProblem(verifier) && (month = pg_atomic_fetch_add_u32(&shared->next_month, 1)) < trail->nmonths)
	{
		int64		rows = count_rows(verifier, &trail->months[month]);

		SpinLockAcquire(&shared->mutex);
		shared->event_rows += rows;
		SpinLockRelease(&shared->mutex);
	}
}

/*
 * Is there an event with a number that is none of the tree's?
 */
static bool
find_number_outside(Verifier *verifier, int64 *event_id)
{
	const EventTrail *trail = verifier->trail;

	for (int i = 0; i < trail->nmonths; i++)
	{
		const EventMonth *month = &trail->months[i];

		*event_id = month->lowest < verifier->shared->floor ? month->lowest : month->highest;
		if (month->has_numbers &&
			(*event_id < verifier->shared->floor || *event_id >= verifier->shared->tree_size))
			return true;
	}
	return false;
}

/*
 * Verify that there are no other events than those of the tree, each of which has
 * been found once.
 */
void
VerifyNoOtherEvents(Verifier *verifier)
{
	VerifyShared *shared = verifier->shared;
	int64		last_event = Max(shared->tree_size - 1, 0);
	int64		events = shared->tree_size - shared->floor;
	int64		event_id;

	if (shared->event_rows == events)
		return;
	if (find_number_outside(verifier, &event_id))
		VerifyProblem(verifier, last_event, "there is an event with the number " INT64_FORMAT, event_id);
	else if (EventTrailHasUnnumbered(verifier->trail))
		VerifyProblem(verifier, last_event, "there is an event without a number");
	else
		VerifyProblem(verifier, last_event,
					  "rows that the index on event numbers does not have: " INT64_FORMAT,
					  shared->event_rows - events);
}
