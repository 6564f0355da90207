/*-------------------------------------------------------------------------
 *
 * proof.c
 *	  Proofs over the ledger, and their verification.
 *
 * Those that make proofs read the ledger under the newest snapshot, a few tiles
 * of it, and raise an error where something that they need is missing.  Those
 * that verify look at their arguments alone: they can be asked in any database.
 *
 * The canonical bytes of an event are audit_row.c's; the formats are those of
 * RFC 9162 (proofs) and of C2SP tlog-proof.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "audit_row.h"
#include "catalog/pg_type.h"
#include "checkpoint_row.h"
#include "checkpoint_sql.h"
#include "fmgr.h"
#include "request.h"
#include "signed_note.h"
#include "ledger.h"
#include "proof.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(cpis_event_bytes);
PG_FUNCTION_INFO_V1(cpis_inclusion_proof);
PG_FUNCTION_INFO_V1(cpis_consistency_proof);
PG_FUNCTION_INFO_V1(cpis_tlog_proof);
PG_FUNCTION_INFO_V1(cpis_verify_inclusion);
PG_FUNCTION_INFO_V1(cpis_verify_consistency);

#define BASE64_HASH_SIZE 45		/* with the zero */

/*
 * cpis_event_bytes(event_id) -> bytea: the canonical bytes of an event.  22023
 * where there is no such event, XX001 where its row is none that the writer
 * wrote.
 */
Datum
cpis_event_bytes(PG_FUNCTION_ARGS)
{
	LedgerReading *reading = LedgerReadingBegin(GetLatestSnapshot(), false);
	Datum		values[AUDIT_NCOLUMNS];
	bool		isnull[AUDIT_NCOLUMNS];
	TupleDesc	descriptor;
	HeapTuple	tuple = LedgerFindEvent(reading, PG_GETARG_INT64(0), &descriptor);
	StringInfoData bytes;

	heap_deform_tuple(tuple, descriptor, values, isnull);
	initStringInfo(&bytes);
	if (AuditRowBytes(values, isnull, &bytes) != AUDIT_ROW_SOUND)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("event " INT64_FORMAT " has been changed", PG_GETARG_INT64(0)),
				 errdetail("A column has a value that is never recorded.")));
	LedgerReadingEnd(reading);
	PG_RETURN_BYTEA_P(cstring_to_text_with_len(bytes.data, bytes.len));
}

/*
 * A proof as bytea[].
 */
Datum
ProofDatum(const MerkleProof *proof)
{
	Datum		elements[MERKLE_PROOF_MOST];

	for (int i = 0; i < proof->length; i++)
		elements[i] = PointerGetDatum(cstring_to_text_with_len((const char *) proof->hashes[i].bytes,
															   SHA256_LENGTH));
	return PointerGetDatum(construct_array(elements, proof->length, BYTEAOID,
										   -1, false, TYPALIGN_INT));
}

static void
raise_no_such_tree(int64 size)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the ledger has had no tree of " INT64_FORMAT " events", size)));
}

static void
raise_contradiction(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the ledger is not the one of its checkpoint"),
			 errhint("cpis_audit_verify() says what is wrong.")));
}

/*
 * Prove that the event is in the tree of this size.
 */
static void
prove_inclusion(LedgerReading *reading, int64 event_id, int64 tree_size,
				MerkleProof *proof)
{
	if (event_id < 0 || event_id >= tree_size)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event " INT64_FORMAT " is not in the tree of " INT64_FORMAT " events",
						event_id, tree_size)));
	if (!merkle_inclusion_proof(&reading->source, event_id, tree_size, proof))
		elog(ERROR, "could not make an inclusion proof");
}

/*
 * cpis_inclusion_proof(event_id, tree_size = NULL) -> bytea[]: hashes from the
 * leaf's sibling up.
 */
Datum
cpis_inclusion_proof(PG_FUNCTION_ARGS)
{
	LedgerReading *reading;
	MerkleProof proof;
	int64		tree_size;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	reading = LedgerReadingBegin(GetLatestSnapshot(), false);
	tree_size = PG_ARGISNULL(1) ? LedgerLeaves(reading) : PG_GETARG_INT64(1);
	if (!PG_ARGISNULL(1) && !LedgerHasTree(reading, tree_size))
		raise_no_such_tree(tree_size);
	prove_inclusion(reading, PG_GETARG_INT64(0), tree_size, &proof);
	LedgerReadingEnd(reading);
	PG_RETURN_DATUM(ProofDatum(&proof));
}

/*
 * cpis_consistency_proof(old_size, new_size) -> bytea[].
 */
Datum
cpis_consistency_proof(PG_FUNCTION_ARGS)
{
	LedgerReading *reading = LedgerReadingBegin(GetLatestSnapshot(), false);
	int64		old_size = PG_GETARG_INT64(0);
	int64		new_size = PG_GETARG_INT64(1);
	MerkleProof proof;

	if (!LedgerHasTree(reading, new_size))
		raise_no_such_tree(new_size);
	if (old_size < 0 || old_size > new_size)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the old tree must not be larger than the new one")));
	if (!merkle_consistency_proof(&reading->source, old_size, new_size, &proof))
		elog(ERROR, "could not make a consistency proof");
	LedgerReadingEnd(reading);
	PG_RETURN_DATUM(ProofDatum(&proof));
}

/*
 * See that there is such an event before the writer is asked for anything.
 */
static void
check_event(int64 event_id)
{
	LedgerReading *reading = LedgerReadingBegin(GetLatestSnapshot(), false);

	if (event_id < 0 || event_id == PG_INT64_MAX || !LedgerHasTree(reading, event_id + 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event " INT64_FORMAT " is not in the ledger", event_id)));
	LedgerReadingEnd(reading);
}

/*
 * Have the writer make a checkpoint, which a standby cannot.
 */
static char *
new_checkpoint(int64 event_id)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("no checkpoint on this standby covers event " INT64_FORMAT " yet", event_id),
				 errhint("Ask the primary.")));
	RequestCheckCallable("cpis_tlog_proof()");
	return CheckpointObtain();
}

/*
 * The newest checkpoint that is signed, if it covers the event; on a standby,
 * which cannot have another made, the newest of all will do.  Else NULL.
 */
static char *
checkpoint_that_covers(int64 event_id)
{
	LedgerReading *reading = LedgerReadingBegin(GetLatestSnapshot(), false);
	int64		size = LedgerLeaves(reading);
	CheckpointRow row;
	char	   *note = NULL;

	if (CheckpointRowNewest(reading, size, true, &row) && row.tree_size > event_id)
		note = row.note;
	else if (RecoveryInProgress() &&
			 CheckpointRowNewest(reading, size, false, &row) && row.tree_size > event_id)
	{
		note = row.note;
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("proof leads to a checkpoint that is not signed")));
	}
	LedgerReadingEnd(reading);
	return note;
}

/*
 * Read what a checkpoint of this ledger says.
 */
static void
parse_own(const char *note, Checkpoint *checkpoint)
{
	size_t		text_length;

	if (!note_split(note, strlen(note), &text_length))
		text_length = strlen(note);
	if (!checkpoint_parse(note, text_length, checkpoint))
		raise_contradiction();
}

/*
 * Prove that the event is in the tree of the checkpoint; only what anybody would
 * accept leaves this function.
 */
static void
prove_to_checkpoint(int64 event_id, const Checkpoint *checkpoint, MerkleProof *proof)
{
	LedgerReading *reading = LedgerReadingBegin(GetLatestSnapshot(), false);
	MerkleHash	leaves[MERKLE_TILE_WIDTH];
	int			place = event_id % MERKLE_TILE_WIDTH;

	prove_inclusion(reading, event_id, checkpoint->size, proof);
	if (!reading->source.read(reading->source.context, 0, event_id / MERKLE_TILE_WIDTH,
							  place + 1, leaves) ||
		!merkle_verify_inclusion(LedgerSha256(), &leaves[place], event_id,
								 checkpoint->size, proof, &checkpoint->root))
		raise_contradiction();
	LedgerReadingEnd(reading);
}

/*
 * The text of a proof of this inclusion, which leads to this checkpoint.
 */
static char *
print_proof(int64 event_id, const MerkleProof *proof, const char *note)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "c2sp.org/tlog-proof@v1\nindex " INT64_FORMAT "\n", event_id);
	for (int i = 0; i < proof->length; i++)
	{
		char		base64[BASE64_HASH_SIZE];

		base64_print(proof->hashes[i].bytes, SHA256_LENGTH, base64);
		appendStringInfo(&out, "%s\n", base64);
	}
	appendStringInfo(&out, "\n%s", note);
	return out.data;
}

/*
 * cpis_tlog_proof(event_id) -> text: a file that proves the event offline.
 * Where no signed checkpoint covers it yet, the writer makes one.  22023 where
 * there is no such event, XX001 where the ledger does not lead to its checkpoint,
 * 25006 on a standby where no checkpoint covers the event.
 */
Datum
cpis_tlog_proof(PG_FUNCTION_ARGS)
{
	int64		event_id = PG_GETARG_INT64(0);
	Checkpoint	checkpoint;
	MerkleProof proof;
	char	   *note;

	LedgerLockToRead();
	check_event(event_id);
	note = checkpoint_that_covers(event_id);
	if (note == NULL)
		note = new_checkpoint(event_id);
	parse_own(note, &checkpoint);
	prove_to_checkpoint(event_id, &checkpoint, &proof);
	PG_RETURN_TEXT_P(cstring_to_text(print_proof(event_id, &proof, note)));
}

/*
 * A hash from SQL.
 */
static void
take_hash(const char *name, bytea *value, MerkleHash *hash)
{
	if (VARSIZE_ANY_EXHDR(value) != SHA256_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a hash in argument \"%s\" must have %d bytes", name, SHA256_LENGTH)));
	memcpy(hash->bytes, VARDATA_ANY(value), SHA256_LENGTH);
}

/*
 * A proof from SQL.
 */
static void
take_proof(ArrayType *array, MerkleProof *proof)
{
	Datum	   *elements;
	bool	   *isnull;

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be a list of hashes", "proof")));
	deconstruct_array(array, BYTEAOID, -1, false, TYPALIGN_INT,
					  &elements, &isnull, &proof->length);
	if (proof->length > MERKLE_PROOF_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not have more than %d hashes", "proof",
						MERKLE_PROOF_MOST)));
	for (int i = 0; i < proof->length; i++)
		take_hash("proof", DatumGetByteaPP(elements[i]), &proof->hashes[i]);
}

/*
 * cpis_verify_inclusion(event_bytes, event_id, tree_size, proof, root) ->
 * boolean.
 */
Datum
cpis_verify_inclusion(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	int64		event_id = PG_GETARG_INT64(1);
	int64		tree_size = PG_GETARG_INT64(2);
	MerkleProof proof;
	MerkleHash	leaf;
	MerkleHash	root;

	take_proof(PG_GETARG_ARRAYTYPE_P(3), &proof);
	take_hash("root", PG_GETARG_BYTEA_PP(4), &root);
	if (!merkle_leaf(LedgerSha256(), VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), &leaf))
		elog(ERROR, "could not compute SHA-256");
	PG_RETURN_BOOL(event_id >= 0 && tree_size >= 0 &&
				   merkle_verify_inclusion(LedgerSha256(), &leaf, event_id, tree_size,
										   &proof, &root));
}

/*
 * cpis_verify_consistency(old_size, new_size, proof, old_root, new_root) ->
 * boolean.
 */
Datum
cpis_verify_consistency(PG_FUNCTION_ARGS)
{
	int64		old_size = PG_GETARG_INT64(0);
	int64		new_size = PG_GETARG_INT64(1);
	MerkleProof proof;
	MerkleHash	old_root;
	MerkleHash	new_root;

	take_proof(PG_GETARG_ARRAYTYPE_P(2), &proof);
	take_hash("old_root", PG_GETARG_BYTEA_PP(3), &old_root);
	take_hash("new_root", PG_GETARG_BYTEA_PP(4), &new_root);
	PG_RETURN_BOOL(old_size >= 0 && new_size >= 0 &&
				   merkle_verify_consistency(LedgerSha256(), old_size, new_size,
											 &proof, &old_root, &new_root));
}
