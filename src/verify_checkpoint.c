/*-------------------------------------------------------------------------
 *
 * verify_checkpoint.c
 *	  Verification of the checkpoints that are kept, and of what else the ledger
 *	  has.
 *
 * A checkpoint is whole if its note says what its columns say, is signed with
 * each of its keys and nothing else; if it follows from the one before it, its
 * keys being the same or events saying so; and if its root is that of the tree as
 * it is now read.  A problem is that of the last event that it covers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "audit_event.h"
#include "checkpoint_row.h"
#include "miscadmin.h"
#include "relation.h"
#include "signed_note.h"
#include "signing_key.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "verify.h"

/*
 * How many lines there are after the empty one of a note.
 */
static int
signature_lines(const char *signatures)
{
	int			n = 0;

	for (; *signatures != '\0'; signatures++)
		n += *signatures == '\n';
	return n;
}

static bool
is_twice_among(const List *strings)
{
	for (int i = 0; i < list_length(strings); i++)
	{
		for (int j = 0; j < i; j++)
		{
			if (strcmp(list_nth(strings, i), list_nth(strings, j)) == 0)
				return true;
		}
	}
	return false;
}

/*
 * Is the note signed with each of the keys, and with no other?
 */
static bool
signatures_hold(const char *note, size_t text_length, const List *verifier_keys)
{
	ListCell   *cell;

	/* Else a line of another key could stand in for the second. */
	if (list_length(verifier_keys) > SIGNING_KEYS_MOST || is_twice_among(verifier_keys))
		return false;
	foreach(cell, verifier_keys)
	{
		NoteKey		key;

		if (!note_key_parse(LedgerSha256(), lfirst(cell), strlen(lfirst(cell)), &key) ||
			note_verify(note, strlen(note), &key) != NOTE_VERIFIED)
			return false;
	}
	return signature_lines(note + text_length + 1) == list_length(verifier_keys);
}

/*
 * Says the note what the columns say?
 */
static bool
note_holds(const CheckpointRow *row, const char *origin)
{
	char		expected[CHECKPOINT_TEXT_SIZE];
	Checkpoint	said;
	size_t		text_length;

	said.origin = origin;
	said.origin_length = strlen(origin);
	said.size = row->tree_size;
	said.root = row->root;
	checkpoint_print(&said, expected);
	if (row->verifier_keys == NIL)
		return strcmp(row->note, expected) == 0;
	return note_split(row->note, strlen(row->note), &text_length) &&
		text_length == strlen(expected) &&
		memcmp(row->note, expected, text_length) == 0 &&
		signatures_hold(row->note, text_length, row->verifier_keys);
}

/*
 * Does the checkpoint have the seal that follows from the one before it, or, of
 * the first, from the name of the ledger?
 */
static bool
seal_holds(const Verifier *verifier, const CheckpointRow *row,
		   const CheckpointRow *before)
{
	MerkleHash	seal;

	if (before != NULL)
		seal = before->seal;
	else
		CheckpointFirstSeal(verifier->origin, verifier->created_at, &seal);
	CheckpointNextSeal(&seal, row->at, row->note, &seal);
	return merkle_equal(&seal, &row->seal);
}

/*
 * Do the last events that the checkpoint covers tell of these changes of keys,
 * and in this order?
 */
static bool
events_tell_of(Verifier *verifier, int64 tree_size, const List *changes)
{
	int64		expected = tree_size - list_length(changes);
	ListCell   *cell = list_head(changes);
	TupleTableSlot *slot;
	int64		event_id;
	bool		told = expected >= 0;

	if (changes == NIL || !told)
		return told;
	EventScanBegin(verifier->trail, expected, tree_size);
	while (told && (slot = EventScanNext(verifier->trail, &event_id)) != NULL)
	{
		told = cell != NULL && event_id == expected++ &&
			VerifyIsKeyEvent(slot) && !slot->tts_isnull[AUDIT_DETAIL - 1] &&
			strcmp(TextDatumGetCString(slot->tts_values[AUDIT_DETAIL - 1]), lfirst(cell)) == 0;
		cell = told ? lnext(changes, cell) : NULL;
	}
	EventScanEnd(verifier->trail);
	return told && expected == tree_size;
}

/*
 * What is wrong with a checkpoint, or NULL.
 */
static const char *
checkpoint_problem(Verifier *verifier, const CheckpointRow *row,
				   const CheckpointRow *before)
{
	List	   *changes = CheckpointKeyChanges(before == NULL ? NIL : before->verifier_keys,
											   row->verifier_keys);
	bool		has_events = row->tree_size - list_length(changes) >= verifier->shared->floor;
	MerkleHash	root;

	/* Events that tell of them may have been removed. */
	if (has_events)
		verifier->key_changes += list_length(changes);
	if (verifier->origin == NULL || strlen(verifier->origin) > ORIGIN_LENGTH)
		return "the name of the ledger is missing or has been changed";
	if (!row->sound || !note_holds(row, verifier->origin))
		return "the checkpoint of " INT64_FORMAT " events has been changed";
	if (before != NULL && before->tree_size == row->tree_size)
		return "the checkpoint of " INT64_FORMAT " events is there more than once";
	if (!seal_holds(verifier, row, before))
		return "the checkpoint of " INT64_FORMAT " events, or what was before it, has been changed";
	if (has_events && !events_tell_of(verifier, row->tree_size, changes))
		return "the checkpoint of " INT64_FORMAT " events has other signatures than events tell of";
	if (merkle_root(&verifier->reading->source, row->tree_size, &root) &&
		merkle_equal(&root, &row->root))
		return NULL;
	if (verifier->reading->missing)
		return "the root of the first " INT64_FORMAT " events cannot be computed: something is missing from the ledger";
	return "the first " INT64_FORMAT " events are not those of their checkpoint";
}

/*
 * A row with memory of its own.
 */
typedef struct KeptRow
{
	MemoryContext context;
	CheckpointRow row;
} KeptRow;

static void
read_row(KeptRow *kept, HeapTuple tuple, TupleDesc descriptor)
{
	MemoryContext previous = MemoryContextSwitchTo(kept->context);

	MemoryContextReset(kept->context);
	CheckpointRowRead(tuple, descriptor, &kept->row);
	MemoryContextSwitchTo(previous);
}

/*
 * Read the checkpoint of the largest tree up to this size; false where there is
 * none.
 */
static bool
read_row_up_to(KeptRow *kept, LedgerReading *reading, int64 up_to)
{
	MemoryContext previous = MemoryContextSwitchTo(kept->context);
	bool		found;

	MemoryContextReset(kept->context);
	found = CheckpointRowNewest(reading, up_to, false, &kept->row);
	MemoryContextSwitchTo(previous);
	return found;
}

/*
 * Verify a checkpoint after the one before it, which may be NULL.
 */
static void
verify_checkpoint(Verifier *verifier, const CheckpointRow *row,
				  const CheckpointRow *before)
{
	MemoryContext context = MemoryContextSwitchTo(verifier->row_context);
	const char *problem = checkpoint_problem(verifier, row, before);

	if (problem != NULL)
		VerifyProblem(verifier, Max(row->tree_size - 1, 0), problem, row->tree_size);
	verifier->checkpoints++;
	MemoryContextSwitchTo(context);
	VerifyProgress(verifier, 0);
}

/*
 * Verify the checkpoints of trees that are larger than the one and not larger
 * than the other.
 */
void
VerifyCheckpoints(Verifier *verifier, int64 above, int64 up_to)
{
	Relation	table = CheckpointTableOpen();
	Relation	index = CheckpointIndexOpen(table, false);
	KeptRow		kept[2];		/* they take turns */
	KeptRow    *present = &kept[0];
	KeptRow    *before = NULL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	for (int i = 0; i < 2; i++)
		kept[i].context = AllocSetContextCreate(CurrentMemoryContext, "cpis checkpoint",
												ALLOCSET_SMALL_SIZES);
	if (above >= 0 && read_row_up_to(&kept[1], verifier->reading, above))
		before = &kept[1];
	ScanKeyInit(&keys[0], CHECKPOINT_TREE_SIZE, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(above));
	ScanKeyInit(&keys[1], CHECKPOINT_TREE_SIZE, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(up_to));
	scan = systable_beginscan_ordered(table, index, verifier->reading->snapshot, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		read_row(present, tuple, RelationGetDescr(table));
		verify_checkpoint(verifier, &present->row, before == NULL ? NULL : &before->row);
		before = present;
		present = (present == &kept[0]) ? &kept[1] : &kept[0];
	}
	systable_endscan_ordered(scan);
	for (int i = 0; i < 2; i++)
		MemoryContextDelete(kept[i].context);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
}

/*
 * Is the change of keys that this event tells of one of a checkpoint?  The first
 * that covers the event has it.
 */
static bool
has_checkpoint(Verifier *verifier, int64 event_id)
{
	Relation	table = CheckpointTableOpen();
	Relation	index = CheckpointIndexOpen(table, false);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, CHECKPOINT_TREE_SIZE, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(event_id));
	scan = systable_beginscan(table, RelationGetRelid(index), true, verifier->reading->snapshot, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CheckpointRow row;
		CheckpointRow before = {.verifier_keys = NIL};

		CheckpointRowRead(tuple, RelationGetDescr(table), &row);
		(void) CheckpointRowNewest(verifier->reading, row.tree_size - 1, false, &before);
		found = event_id >= row.tree_size -
			list_length(CheckpointKeyChanges(before.verifier_keys, row.verifier_keys));
	}
	systable_endscan(scan);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
	return found;
}

/*
 * Verify that every change of keys that events tell of is one of a checkpoint.
 * All checkpoints have been verified, and that events tell of all of theirs:
 * where there are as many, they are the same.
 */
void
VerifyKeyEvents(Verifier *verifier)
{
	TupleTableSlot *slot;
	int64		event_id;
	bool		found = true;

	if (verifier->shared->key_events == verifier->shared->key_changes)
		return;
	EventScanBegin(verifier->trail, 0, verifier->shared->tree_size);
	while (found && (slot = EventScanNext(verifier->trail, &event_id)) != NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(verifier->row_context);

		found = !VerifyIsKeyEvent(slot) || has_checkpoint(verifier, event_id);
		MemoryContextSwitchTo(context);
		VerifyProgress(verifier, 0);
	}
	EventScanEnd(verifier->trail);
	if (!found)
		VerifyProblem(verifier, event_id, "no checkpoint has the change of keys that the event tells of");
}

/*
 * How many rows a table has.
 */
static int64
count_rows(Verifier *verifier, CpisRelation relation)
{
	Relation	table = CpisTableOpen(relation, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false,
										  verifier->reading->snapshot, 0, NULL);
	int64		n = 0;

	while (HeapTupleIsValid(systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		n++;
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return n;
}

/*
 * Verify that the ledger has nothing that nobody has looked at: a tile of no
 * place in the tree, a checkpoint of no tree, a second name.  All tiles and
 * checkpoints that should be there have been verified.
 */
void
VerifyLedgerCounts(Verifier *verifier)
{
	VerifyShared *shared = verifier->shared;
	int64		last_event = Max(shared->tree_size - 1, 0);
	int64		tiles = 0;
	TimestampTz created_at;
	int			names;

	for (int level = 0; level < MERKLE_TILE_LEVELS - 1; level++)
		tiles += shared->tree_size >> ((level + 1) * MERKLE_TILE_HEIGHT);
	if (count_rows(verifier, CPIS_LEDGER_TILE) != tiles)
		VerifyProblem(verifier, last_event, "the ledger has tiles that no events fill");
	if (count_rows(verifier, CPIS_CHECKPOINT) != shared->checkpoints)
		VerifyProblem(verifier, last_event, "the ledger has checkpoints of more events than there are");
	(void) LedgerOrigin(verifier->reading, &created_at, &names);
	if (names != (shared->tree_size > 0 ? 1 : names) || names > 1)
		VerifyProblem(verifier, last_event, "the ledger has no name, or more than one");
}
