/*-------------------------------------------------------------------------
 *
 * plan_record.c
 *	  A plan as a row of cpis.plan, and the commitment to it.
 *
 * The commitment to a record is SHA-256 over its canonical bytes: ASCII
 * "cpis/plan/1" and a line feed, then the columns that are not NULL as
 * canonical.h says, each with its number as tag; dates are days since 1970-01-01
 * as i32, the NHS number is its ten digits as u64, other integers are i64.  The
 * last is the salt of the record, 16 random bytes: who has a copy of the record
 * can compute the commitment, and who has not learns nothing from it.
 *
 * The fingerprint of a record is the first eight bytes of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "canonical.h"
#include "fmgr.h"
#include "ledger.h"
#include "plan_record.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(cpis_plan_fingerprint);
PG_FUNCTION_INFO_V1(cpis_plan_commitment);

#define CANONICAL_HEADER "cpis/plan/1\n"

/*
 * Is this the table of plans, of the extension that has this function?  By name, for in
 * the transaction that made the extension nothing else is known yet.
 */
bool
PlanTableIs(Relation table, Oid function)
{
	return RelationGetNamespace(table) == get_func_namespace(function) &&
		strcmp(RelationGetRelationName(table), "plan") == 0;
}

static void
check_columns(TupleDesc descriptor)
{
	if (descriptor->natts != PLAN_NCOLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not have the columns that this version of the library writes",
						"plan"),
				 errhint("Run ALTER EXTENSION cpis UPDATE.")));
}

/*
 * Take a row of cpis.plan apart; 55000 where that has other columns.
 */
void
PlanRecordRead(HeapTuple tuple, TupleDesc descriptor, PlanRecord *plan)
{
	check_columns(descriptor);
	heap_deform_tuple(tuple, descriptor, plan->values, plan->isnull);
}

/*
 * The same for one that is in a slot.
 */
void
PlanRecordReadSlot(TupleTableSlot *slot, PlanRecord *plan)
{
	check_columns(slot->tts_tupleDescriptor);
	slot_getallattrs(slot);
	memcpy(plan->values, slot->tts_values, sizeof(plan->values));
	memcpy(plan->isnull, slot->tts_isnull, sizeof(plan->isnull));
}

/*
 * The same for one that is an argument of a function.
 */
static void
read_datum(Datum datum, PlanRecord *plan)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(datum);
	TupleDesc	descriptor = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
													HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	PlanRecordRead(&tuple, descriptor, plan);
	ReleaseTupleDesc(descriptor);
}

static void
put_column(StringInfo out, PlanColumn column, Datum value)
{
	switch (column)
	{
		case PLAN_NHS_NUMBER:
			if (!canonical_nhs_number(out, column, DatumGetInt32(value)))
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg("a plan has no NHS number")));
			break;
		case PLAN_PLAN_ID:
		case PLAN_SUBMISSION_ID:
			canonical_tag(out, column, sizeof(uint64));
			canonical_uint64(out, DatumGetInt64(value));
			break;
		case PLAN_START_DATE:
		case PLAN_END_DATE:
		case PLAN_DELETE_DATE:
			canonical_date(out, column, DatumGetDateADT(value));
			break;
		default:
			canonical_bytes(out, column, value);
			break;
	}
}

/*
 * The commitment to a record, SHA256_LENGTH bytes.
 */
void
PlanRecordCommitment(const PlanRecord *plan, StringInfo buffer, uint8 *commitment)
{
	Sha256Part	part;

	resetStringInfo(buffer);
	canonical_put(buffer, CANONICAL_HEADER, strlen(CANONICAL_HEADER));
	for (int column = PLAN_PLAN_ID; column <= PLAN_NCOLUMNS; column++)
	{
		if (!plan->isnull[column - 1])
			put_column(buffer, column, plan->values[column - 1]);
	}
	part.bytes = buffer->data;
	part.length = buffer->len;
	if (!sha256_parts(LedgerSha256(), &part, 1, commitment))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 of a plan")));
}

/*
 * Eight bytes that change with any column.
 */
int64
PlanRecordFingerprint(const PlanRecord *plan, StringInfo buffer)
{
	uint8		commitment[SHA256_LENGTH];
	int64		fingerprint;

	PlanRecordCommitment(plan, buffer, commitment);
	memcpy(&fingerprint, commitment, sizeof(fingerprint));
	return pg_ntoh64(fingerprint);
}

/*
 * cpis.plan_fingerprint(cpis.plan) -> bigint.
 */
Datum
cpis_plan_fingerprint(PG_FUNCTION_ARGS)
{
	PlanRecord	plan;
	StringInfoData buffer;

	read_datum(PG_GETARG_DATUM(0), &plan);
	initStringInfo(&buffer);
	PG_RETURN_INT64(PlanRecordFingerprint(&plan, &buffer));
}

/*
 * cpis.plan_commitment(cpis.plan) -> bytea.
 */
Datum
cpis_plan_commitment(PG_FUNCTION_ARGS)
{
	PlanRecord	plan;
	StringInfoData buffer;
	uint8		commitment[SHA256_LENGTH];

	read_datum(PG_GETARG_DATUM(0), &plan);
	initStringInfo(&buffer);
	PlanRecordCommitment(&plan, &buffer, commitment);
	PG_RETURN_BYTEA_P(cstring_to_text_with_len((char *) commitment, SHA256_LENGTH));
}
