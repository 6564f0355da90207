/*-------------------------------------------------------------------------
 *
 * removal.c
 *	  Certificates of removal.
 *
 * A certificate says that a record was removed: of which kind, whose, since when
 * it was due, after how many days (none, where the authority's delete date
 * decided), and the commitment to the record (plan_record.c), by which the holder
 * of a copy proves that it was this very one, and others learn nothing.
 *
 * Its canonical bytes are ASCII "cpis/removal/1" and a line feed, then fields as
 * canonical.h says: 1 kind, 2 local_authority, 3 due_on, days since 1970-01-01 as
 * i32, 4 retention_days as i32, if there are any, 5 commitment.
 *
 * The records that one transaction removes have one event of action "removal",
 * which says how many they are, the root of the Merkle tree over the canonical
 * bytes of their certificates (RFC 9162), in the order of leaf_index, and which holds
 * were in force (hold.c).  So a certificate leads to an event, and that to the ledger.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "bulk_insert.h"
#include "canonical.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "ledger.h"
#include "proof.h"
#include "relation.h"
#include "removal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cpis_removal_bytes);
PG_FUNCTION_INFO_V1(cpis_removal_tree);

#define CANONICAL_HEADER "cpis/removal/1\n"

#define REMOVAL_NCOLUMNS 8

/* Tags of the fields. */
enum
{
	TAG_KIND = 1,
	TAG_LOCAL_AUTHORITY,
	TAG_DUE_ON,
	TAG_RETENTION_DAYS,
	TAG_COMMITMENT
};

static void
put_certificate(StringInfo out, const Removal *removal)
{
	resetStringInfo(out);
	canonical_put(out, CANONICAL_HEADER, strlen(CANONICAL_HEADER));
	canonical_bytes(out, TAG_KIND, removal->kind);
	canonical_bytes(out, TAG_LOCAL_AUTHORITY, removal->local_authority);
	canonical_date(out, TAG_DUE_ON, removal->due_on);
	if (removal->has_days)
	{
		canonical_tag(out, TAG_RETENTION_DAYS, sizeof(uint32));
		canonical_uint32(out, removal->retention_days);
	}
	canonical_tag(out, TAG_COMMITMENT, SHA256_LENGTH);
	canonical_put(out, removal->commitment, SHA256_LENGTH);
}

static void
raise_no_hash(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("could not compute SHA-256 of a certificate of removal")));
}

/*
 * The leaf of a certificate; "buffer" is overwritten.
 */
void
RemovalLeaf(const Removal *removal, StringInfo buffer, MerkleHash *leaf)
{
	put_certificate(buffer, removal);
	if (!merkle_leaf(LedgerSha256(), buffer->data, buffer->len, leaf))
		raise_no_hash();
}

/*
 * The root of the tree over these leaves.
 */
void
RemovalRoot(const MerkleHash *leaves, int n, MerkleHash *root)
{
	MerkleEdge *edge = palloc0(sizeof(MerkleEdge));

	for (int i = 0; i < n; i++)
	{
		if (!merkle_edge_append(edge, LedgerSha256(), &leaves[i], NULL, NULL))
			raise_no_hash();
	}
	if (!merkle_edge_root(edge, LedgerSha256(), root))
		raise_no_hash();
	pfree(edge);
}

/*
 * Insert the certificates of an event, in the order of its tree.
 */
void
RemovalInsert(const Removal *removals, int n, int64 event_id, TimestampTz removed_at)
{
	BulkInsert *insert = BulkInsertBegin(CpisRelationOid(CPIS_REMOVAL), REMOVAL_NCOLUMNS, n);

	insert->same_key = true;
	for (int i = 0; i < n; i++)
	{
		TupleTableSlot *slot = insert->slots[i];
		const Removal *removal = &removals[i];

		ExecClearTuple(slot);
		memset(slot->tts_isnull, 0, REMOVAL_NCOLUMNS * sizeof(bool));
		slot->tts_values[0] = Int64GetDatum(event_id);
		slot->tts_values[1] = Int32GetDatum(i);
		slot->tts_values[2] = removal->kind;
		slot->tts_values[3] = removal->local_authority;
		slot->tts_values[4] = DateADTGetDatum(removal->due_on);
		slot->tts_values[5] = Int32GetDatum(removal->retention_days);
		slot->tts_isnull[5] = !removal->has_days;
		slot->tts_values[6] =
			PointerGetDatum(cstring_to_text_with_len((const char *) removal->commitment, SHA256_LENGTH));
		slot->tts_values[7] = TimestampTzGetDatum(removed_at);
		ExecStoreVirtualTuple(slot);
	}
	BulkInsertEnd(insert);
}

/*
 * cpis.removal_bytes(kind, local_authority, due_on, retention_days, commitment) ->
 * bytea: the canonical bytes of a certificate; NULL where one of those that must be
 * there is.
 */
Datum
cpis_removal_bytes(PG_FUNCTION_ARGS)
{
	Removal		removal = {0};
	StringInfoData bytes;
	bytea	   *commitment;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(4))
		PG_RETURN_NULL();
	commitment = PG_GETARG_BYTEA_PP(4);
	if (VARSIZE_ANY_EXHDR(commitment) != SHA256_LENGTH)
		PG_RETURN_NULL();
	removal.kind = PG_GETARG_DATUM(0);
	removal.local_authority = PG_GETARG_DATUM(1);
	removal.due_on = PG_GETARG_DATEADT(2);
	removal.has_days = !PG_ARGISNULL(3);
	removal.retention_days = removal.has_days ? PG_GETARG_INT32(3) : 0;
	memcpy(removal.commitment, VARDATA_ANY(commitment), SHA256_LENGTH);

	initStringInfo(&bytes);
	put_certificate(&bytes, &removal);
	PG_RETURN_BYTEA_P(cstring_to_text_with_len(bytes.data, bytes.len));
}

/* The leaves of a small tree, to be read as its tiles. */
typedef struct Leaves
{
	int			n;
	MerkleHash *hashes;
} Leaves;

static bool
read_tile(void *context, int level, uint64_t tile, int width, MerkleHash *hashes)
{
	const Leaves *leaves = context;
	int64		span = INT64CONST(1) << (level * MERKLE_TILE_HEIGHT);

	for (int i = 0; i < width; i++)
	{
		int64		first = (tile * MERKLE_TILE_WIDTH + i) * span;

		if (first + span > leaves->n)
			return false;
		RemovalRoot(leaves->hashes + first, span, &hashes[i]);
	}
	return true;
}

/*
 * cpis.removal_tree(certificates bytea[], leaf_index) -> root bytea, proof bytea[]:
 * the root of the tree over these canonical bytes, and the proof that the one of
 * this index, from 0, is in it.
 */
Datum
cpis_removal_tree(PG_FUNCTION_ARGS)
{
	Leaves		leaves;
	MerkleSource source = {.sha256 = LedgerSha256(), .read = read_tile, .context = &leaves};
	MerkleHash	root;
	MerkleProof proof;
	TupleDesc	descriptor;
	Datum	   *elements;
	Datum		values[2];
	bool		isnull[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), BYTEAOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &leaves.n);
	leaves.hashes = palloc(leaves.n * sizeof(MerkleHash));
	for (int i = 0; i < leaves.n; i++)
	{
		bytea	   *bytes = DatumGetByteaPP(elements[i]);

		if (!merkle_leaf(LedgerSha256(), VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), &leaves.hashes[i]))
			raise_no_hash();
	}
	if (PG_GETARG_INT32(1) < 0 || PG_GETARG_INT32(1) >= leaves.n)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no certificate %d", PG_GETARG_INT32(1))));
	RemovalRoot(leaves.hashes, leaves.n, &root);
	if (!merkle_inclusion_proof(&source, PG_GETARG_INT32(1), leaves.n, &proof))
		elog(ERROR, "could not make an inclusion proof");

	values[0] = PointerGetDatum(cstring_to_text_with_len((char *) root.bytes, SHA256_LENGTH));
	values[1] = ProofDatum(&proof);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(descriptor, values, isnull)));
}
