/*-------------------------------------------------------------------------
 *
 * submission_record.c
 *	  The commitment to a record that an authority has sent.
 *
 * SHA-256 over its canonical bytes: ASCII "cpis/submission_record/1" and a line feed,
 * then the columns of cpis.submission_record that are not NULL as canonical.h says,
 * each with its number as tag; integers are i64, texts are as they were sent.  The last
 * is the salt of the record, as in plan_record.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "canonical.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "ledger.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(cpis_submission_record_commitment);

#define CANONICAL_HEADER "cpis/submission_record/1\n"

/*
 * Append one column; 55000 where it is none that this version of the library knows.
 */
static void
put_column(StringInfo out, int column, Oid type, Datum value)
{
	switch (type)
	{
		case INT4OID:
			canonical_tag(out, column, sizeof(uint64));
			canonical_uint64(out, (int64) DatumGetInt32(value));
			break;
		case INT8OID:
			canonical_tag(out, column, sizeof(uint64));
			canonical_uint64(out, DatumGetInt64(value));
			break;
		case TEXTOID:
		case BYTEAOID:
			canonical_bytes(out, column, value);
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" does not have the columns that this version of the library writes",
							"submission_record"),
					 errhint("Run ALTER EXTENSION cpis UPDATE.")));
	}
}

static void
put_record(StringInfo out, HeapTuple tuple, TupleDesc descriptor)
{
	canonical_put(out, CANONICAL_HEADER, strlen(CANONICAL_HEADER));
	for (int column = 1; column <= descriptor->natts; column++)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, column, descriptor, &isnull);

		if (!isnull)
			put_column(out, column, TupleDescAttr(descriptor, column - 1)->atttypid, value);
	}
}

/*
 * cpis.submission_record_commitment(cpis.submission_record) -> bytea.
 */
Datum
cpis_submission_record_commitment(PG_FUNCTION_ARGS)
{
	HeapTupleHeader header = PG_GETARG_HEAPTUPLEHEADER(0);
	TupleDesc	descriptor = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
													HeapTupleHeaderGetTypMod(header));
	uint8		commitment[SHA256_LENGTH];
	HeapTupleData tuple;
	StringInfoData bytes;
	Sha256Part	part;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	initStringInfo(&bytes);
	put_record(&bytes, &tuple, descriptor);
	ReleaseTupleDesc(descriptor);
	part.bytes = bytes.data;
	part.length = bytes.len;
	if (!sha256_parts(LedgerSha256(), &part, 1, commitment))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 of a record")));
	PG_RETURN_BYTEA_P(cstring_to_text_with_len((char *) commitment, SHA256_LENGTH));
}
