/*-------------------------------------------------------------------------
 *
 * plan_put.c
 *	  cpis_plan_put() and cpis_plan_end(): one record of an authority.
 *
 * Each makes a submission of one record and applies it (submission_apply.c), so that
 * what is sent so goes by the same rules, is recorded, kept, held and removed like a record
 * of a file, and is answered with the same codes.  A record that is not loaded is no error: what
 * was sent, and the answer to it, would be gone with the transaction.
 *
 * cpis_plan_end() sends an end date alone, and what else the register has of the plan
 * stays.
 *
 * Locks are those of submission.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "argument.h"
#include "authority.h"
#include "catalog/pg_type.h"
#include "day.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mod11.h"
#include "own_change.h"
#include "relation.h"
#include "request.h"
#include "submission_apply.h"
#include "utils/builtins.h"
#include "utils/date.h"

PG_FUNCTION_INFO_V1(cpis_plan_put);
PG_FUNCTION_INFO_V1(cpis_plan_end);

/* The arguments that both have. */
enum
{
	ARG_LOCAL_AUTHORITY,
	ARG_NHS_NUMBER,
	ARG_PLAN_TYPE,
	ARG_START_DATE,
	ARG_END_DATE,
	ARG_DELETE_DATE,
	ARG_DATE_OF_BIRTH,
	ARG_LOCAL_REFERENCE
};

/* A record, as it is to be sent. */
typedef struct SentRecord
{
	char	   *fields[SENT_NCOLUMNS];	/* NULL: not sent */
} SentRecord;

/*
 * A date as it is sent, or NULL; 22008 for one that is infinite.
 */
static char *
date_text(Datum date, bool isnull)
{
	if (isnull)
		return NULL;
	if (DATE_NOT_FINITE(DatumGetDateADT(date)))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a date of a plan must be finite")));
	return DayText(DatumGetDateADT(date));
}

/*
 * The arguments that say which plan: NULL is left out like any other field, and answered so.
 */
static void
take_key(FunctionCallInfo fcinfo, SentRecord *record)
{
	memset(record, 0, sizeof(SentRecord));
	if (!PG_ARGISNULL(ARG_NHS_NUMBER))
	{
		record->fields[SENT_NHS_NUMBER] = palloc(NHS_NUMBER_DIGITS + 1);
		mod11_print(PG_GETARG_INT32(ARG_NHS_NUMBER), record->fields[SENT_NHS_NUMBER]);
	}
	if (!PG_ARGISNULL(ARG_PLAN_TYPE))
		record->fields[SENT_PLAN_TYPE] = text_to_cstring(PG_GETARG_TEXT_PP(ARG_PLAN_TYPE));
	record->fields[SENT_START_DATE] = date_text(PG_GETARG_DATUM(ARG_START_DATE), PG_ARGISNULL(ARG_START_DATE));
	record->fields[SENT_END_DATE] = date_text(PG_GETARG_DATUM(ARG_END_DATE), PG_ARGISNULL(ARG_END_DATE));
}

/*
 * Add the record to the submission, as its only one.
 */
static void
insert(int64 submission_id, const SentRecord *record)
{
	static const Oid types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_SUBMISSION_RECORD)};
	Datum		values[1 + SENT_NCOLUMNS] = {0};
	char		nulls[1 + SENT_NCOLUMNS];

	values[0] = Int64GetDatum(submission_id);
	nulls[0] = ' ';
	for (int i = 0; i < SENT_NCOLUMNS; i++)
	{
		nulls[1 + i] = record->fields[i] == NULL ? 'n' : ' ';
		if (record->fields[i] != NULL)
			values[1 + i] = CStringGetTextDatum(record->fields[i]);
	}
	OwnChangeOne(&change,
				 "INSERT INTO cpis.submission_record (submission_id, line_no, nhs_number, plan_type, start_date, end_date,"
				 " delete_date, date_of_birth, local_reference) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8)",
				 lengthof(types), types, values, nulls, NULL);
}

/*
 * Send the record, and answer it.
 */
static Datum
send(FunctionCallInfo fcinfo, const char *local_authority, const char *kind, const SentRecord *record)
{
	Submission	submission;
	RecordRule	rule;
	TupleDesc	descriptor;
	const char *texts[3];
	Datum		values[4] = {0};
	bool		isnull[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(SubmissionInsert(local_authority, kind, cpis_minimum_client_version));
	insert(DatumGetInt64(values[0]), record);
	SubmissionLock(DatumGetInt64(values[0]), &submission);
	SubmissionApply(&submission, RECORDS_NOT_COUNTED, &rule);
	texts[0] = record_rule_code(rule);
	texts[1] = rule == RULE_FILE_REFUSED ? submission.detail_code : record_rule_detail(rule);
	texts[2] = record_rule_field(rule);
	for (int i = 0; i < lengthof(texts); i++)
	{
		isnull[1 + i] = texts[i] == NULL;
		if (texts[i] != NULL)
			values[1 + i] = CStringGetTextDatum(texts[i]);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, isnull));
}

/*
 * Take the locks that come first, and see that the role may act for the authority.
 */
static char *
begin(FunctionCallInfo fcinfo, const char *function)
{
	char	   *local_authority;

	ChangeCheckCallable(function);
	local_authority = ArgumentText(fcinfo, ARG_LOCAL_AUTHORITY, "local_authority", true, LOCAL_AUTHORITY_LENGTH);
	AuthorityRequire(local_authority, SUBMISSION_ACTION);
	SubmissionLockTables();
	return local_authority;
}

/*
 * cpis_plan_put(local_authority, nhs_number, plan_type, start_date, end_date, delete_date,
 * date_of_birth, local_reference) -> cpis.record_answer.
 */
Datum
cpis_plan_put(PG_FUNCTION_ARGS)
{
	char	   *local_authority = begin(fcinfo, "cpis_plan_put()");
	SentRecord	record;

	take_key(fcinfo, &record);
	record.fields[SENT_DELETE_DATE] = date_text(PG_GETARG_DATUM(ARG_DELETE_DATE), PG_ARGISNULL(ARG_DELETE_DATE));
	record.fields[SENT_DATE_OF_BIRTH] = date_text(PG_GETARG_DATUM(ARG_DATE_OF_BIRTH), PG_ARGISNULL(ARG_DATE_OF_BIRTH));
	if (!PG_ARGISNULL(ARG_LOCAL_REFERENCE))
		record.fields[SENT_LOCAL_REFERENCE] = text_to_cstring(PG_GETARG_TEXT_PP(ARG_LOCAL_REFERENCE));
	return send(fcinfo, local_authority, SUBMISSION_PUT, &record);
}

/*
 * cpis_plan_end(local_authority, nhs_number, plan_type, start_date, end_date) ->
 * cpis.record_answer.
 */
Datum
cpis_plan_end(PG_FUNCTION_ARGS)
{
	char	   *local_authority = begin(fcinfo, "cpis_plan_end()");
	SentRecord	record;

	take_key(fcinfo, &record);
	if (record.fields[SENT_END_DATE] == NULL)
		record.fields[SENT_END_DATE] = DayText(DayToday());
	return send(fcinfo, local_authority, SUBMISSION_END, &record);
}
