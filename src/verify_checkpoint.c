/*-------------------------------------------------------------------------
 *
 * verify_checkpoint.c
 *	  Verification of the checkpoints that are kept, and of what else the ledger
 *	  has.
 *
 * A checkpoint is whole if its note says what its columns say, is signed with
 * each of its keys and nothing else, and its root is that of the tree as it is
 * now read.  A problem is that of the last event that it covers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "miscadmin.h"
#include "relation.h"
#include "utils/fmgroids.h"
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

/*
 * Is the note signed with each of the keys, and with no other?
 */
static bool
signatures_hold(const char *note, size_t text_length, const List *verifier_keys)
{
	ListCell   *cell;

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
 * What is wrong with a checkpoint by itself, or NULL.
 */
static const char *
note_problem(const LedgerCheckpoint *checkpoint, const char *origin)
{
	char		expected[CHECKPOINT_TEXT_SIZE];
	Checkpoint	said;
	size_t		text_length;

	if (origin == NULL || strlen(origin) > ORIGIN_LENGTH)
		return "the name of the ledger is missing or has been changed";
	if (checkpoint->note == NULL || !checkpoint->root_is_sound || checkpoint->tree_size < 0)
		return "the checkpoint of " INT64_FORMAT " events has been changed";

	strcpy(said.origin, origin);
	said.size = checkpoint->tree_size;
	said.root = checkpoint->root;
	checkpoint_print(&said, expected);
	if (checkpoint->verifier_keys == NIL)
		return strcmp(checkpoint->note, expected) == 0 ? NULL :
			"the checkpoint of " INT64_FORMAT " events has been changed";
	if (!note_split(checkpoint->note, strlen(checkpoint->note), &text_length) ||
		text_length != strlen(expected) ||
		memcmp(checkpoint->note, expected, text_length) != 0 ||
		!signatures_hold(checkpoint->note, text_length, checkpoint->verifier_keys))
		return "the checkpoint of " INT64_FORMAT " events has been changed";
	return NULL;
}

/*
 * Verify one checkpoint.
 */
static void
verify_checkpoint(Verifier *verifier, const LedgerCheckpoint *checkpoint)
{
	const char *problem = note_problem(checkpoint, verifier->origin);
	MerkleHash	root;

	if (problem == NULL &&
		(!merkle_root(&verifier->reading->source, checkpoint->tree_size, &root) ||
		 !merkle_equal(&root, &checkpoint->root)))
		problem = "the first " INT64_FORMAT " events are not those of their checkpoint";
	if (problem != NULL)
		VerifyProblem(verifier, Max(checkpoint->tree_size - 1, 0),
					  problem, checkpoint->tree_size);
}

/*
 * Verify the checkpoints of trees that are larger than the one and not larger
 * than the other.
 */
void
VerifyCheckpoints(Verifier *verifier, int64 above, int64 up_to)
{
	Relation	table = CpisTableOpen(CPIS_CHECKPOINT, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], CHECKPOINT_TREE_SIZE, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(above));
	ScanKeyInit(&keys[1], CHECKPOINT_TREE_SIZE, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(up_to));
	scan = systable_beginscan(table, CpisRelationOid(CPIS_CHECKPOINT_TREE_SIZE_IDX),
							  true, verifier->reading->snapshot, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		LedgerCheckpoint checkpoint;
		MemoryContext context = MemoryContextSwitchTo(verifier->row_context);

		LedgerCheckpointRead(tuple, RelationGetDescr(table), &checkpoint);
		verify_checkpoint(verifier, &checkpoint);
		verifier->checkpoints++;
		MemoryContextSwitchTo(context);
		VerifyProgress(verifier, 0);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
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
	int			names;

	for (int level = 0; level < MERKLE_TILE_LEVELS - 1; level++)
		tiles += shared->tree_size >> ((level + 1) * MERKLE_TILE_HEIGHT);
	if (count_rows(verifier, CPIS_LEDGER_TILE) != tiles)
		VerifyProblem(verifier, last_event, "the ledger has tiles that no events fill");
	if (count_rows(verifier, CPIS_CHECKPOINT) != shared->checkpoints)
		VerifyProblem(verifier, last_event, "the ledger has checkpoints of more events than there are");
	(void) LedgerOrigin(verifier->reading, &names);
	if (names != (shared->tree_size > 0 ? 1 : names) || names > 1)
		VerifyProblem(verifier, last_event, "the ledger has no name, or more than one");
}
