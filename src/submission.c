/*-------------------------------------------------------------------------
 *
 * submission.c
 *	  Submissions: what an authority sends, and how it is answered.
 *
 * cpis_submission_open() makes a row of cpis.submission; INSERT and COPY add records to it
 * (submission_guard.c); cpis_submission_apply() checks them, changes the register and answers
 * (submission_apply.c), once: called again, it answers the same.  cpis_submission_answer()
 * shows the answer to each record.
 *
 * What is never applied would be kept for ever: the purge refuses submissions that have been
 * open for long (SubmissionAbandon()).
 *
 * A session remembers the submission that it has opened last, for its role, so that a plain
 * CSV needs no column for it.
 *
 * Locks, in this order: cpis.plan, cpis.inactive_number, cpis.submission and
 * cpis.submission_record (RowExclusiveLock), the row of the submission, the authority
 * (submission_apply.c); all to the end of the transaction.  Who adds records has locked
 * cpis.submission_record first; only what locks whole tables, such as DROP EXTENSION, could
 * wait for him while he waits for it, which the deadlock detector ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "argument.h"
#include "authority.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "own_change.h"
#include "relation.h"
#include "request.h"
#include "storage/lmgr.h"
#include "submission.h"
#include "submission_apply.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(cpis_submission_open);
PG_FUNCTION_INFO_V1(cpis_submission_apply);
PG_FUNCTION_INFO_V1(cpis_submission_answer);

/* What this session has opened last; 0: nothing. */
static struct
{
	int64		submission_id;
	Oid			role;
}			opened;

/*
 * The submission that this session has opened last as the role in force, or 0.
 */
int64
SubmissionOpened(void)
{
	return opened.role == GetUserId() ? opened.submission_id : 0;
}

static void
take_text(SPITupleTable *rows, int column, char *text, size_t size)
{
	char	   *value = SPI_getvalue(rows->vals[0], rows->tupdesc, column);

	strlcpy(text, value == NULL ? "" : value, size);
}

static int32
take_integer(SPITupleTable *rows, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(rows->vals[0], rows->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

static void
take_submission(SPITupleTable *rows, void *context)
{
	Submission *submission = context;
	bool		isnull;

	take_text(rows, 1, submission->local_authority, sizeof(submission->local_authority));
	take_text(rows, 2, submission->kind, sizeof(submission->kind));
	submission->client_version = take_integer(rows, 3);
	take_text(rows, 4, submission->file_code, sizeof(submission->file_code));
	submission->accepted = take_integer(rows, 5);
	submission->rejected = take_integer(rows, 6);
	submission->ended = take_integer(rows, 7);
	take_text(rows, 8, submission->detail_code, sizeof(submission->detail_code));
	submission->answered = submission->file_code[0] != '\0';
	submission->opened_at = DatumGetTimestampTz(SPI_getbinval(rows->vals[0], rows->tupdesc, 9, &isnull));
}

#define SUBMISSION_COLUMNS \
	"local_authority, kind, client_version, file_code, accepted, rejected, ended, detail_code, opened_at"

static void
raise_none(int64 submission_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no submission " INT64_FORMAT, submission_id),
			 errhint("Open one with cpis_submission_open(), and commit that.")));
}

/*
 * Read a submission; 22023 where there is none, and 42501 where the role in force does not
 * act for its authority.  Locks nothing.
 */
void
SubmissionRequire(int64 submission_id, Submission *submission)
{
	static const Oid types[] = {INT8OID};
	Datum		value = Int64GetDatum(submission_id);

	submission->submission_id = submission_id;
	if (OwnRead(CpisRelationOid(CPIS_SUBMISSION),
				"SELECT " SUBMISSION_COLUMNS " FROM cpis.submission WHERE submission_id = $1",
				lengthof(types), types, &value, NULL, take_submission, submission) != 1)
		raise_none(submission_id);
	AuthorityRequire(submission->local_authority, SUBMISSION_ACTION);
}

/*
 * Lock the row of a submission, by a new version of it, and read it.
 */
void
SubmissionLock(int64 submission_id, Submission *submission)
{
	static const Oid types[] = {INT8OID};
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_SUBMISSION)};
	Datum		value = Int64GetDatum(submission_id);

	submission->submission_id = submission_id;
	if (OwnChangeQuery(&as_owner,
					   "UPDATE cpis.submission SET kind = kind WHERE submission_id = $1 RETURNING " SUBMISSION_COLUMNS,
					   lengthof(types), types, &value, NULL, take_submission, submission) != 1)
		raise_none(submission_id);
}

/*
 * Make a submission.
 */
int64
SubmissionInsert(const char *local_authority, const char *kind, int32 client_version)
{
	static const Oid types[] = {TEXTOID, TEXTOID, INT4OID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_SUBMISSION)};
	Datum		values[3];
	int64		submission_id = 0;

	values[0] = CStringGetTextDatum(local_authority);
	values[1] = CStringGetTextDatum(kind);
	values[2] = Int32GetDatum(client_version);
	OwnChangeOne(&change,
				 "INSERT INTO cpis.submission (local_authority, kind, client_version) VALUES ($1, $2, $3) RETURNING submission_id",
				 lengthof(types), types, values, NULL, &submission_id);
	return submission_id;
}

/*
 * cpis_submission_open(local_authority, kind, client_version) -> bigint.
 */
Datum
cpis_submission_open(PG_FUNCTION_ARGS)
{
	char	   *local_authority;
	char	   *kind;

	ChangeCheckCallable("cpis_submission_open()");
	local_authority = ArgumentText(fcinfo, 0, "local_authority", true, LOCAL_AUTHORITY_LENGTH);
	kind = ArgumentText(fcinfo, 1, "kind", true, NAMEDATALEN - 1);
	if (strcmp(kind, SUBMISSION_DELTA) != 0 && strcmp(kind, SUBMISSION_FULL) != 0)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "kind", "must be \"delta\" or \"full\"");
	if (PG_ARGISNULL(2) || PG_GETARG_INT32(2) < 0)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "client_version", "must be a number that is not negative");
	AuthorityRequire(local_authority, SUBMISSION_ACTION);

	opened.submission_id = SubmissionInsert(local_authority, kind, PG_GETARG_INT32(2));
	opened.role = GetUserId();
	PG_RETURN_INT64(opened.submission_id);
}

/*
 * The answer to a file, as a row.
 */
static Datum
answer_datum(FunctionCallInfo fcinfo, const Submission *submission)
{
	TupleDesc	descriptor;
	Datum		values[5];
	bool		isnull[5] = {false};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(submission->file_code);
	values[1] = Int32GetDatum(submission->accepted);
	values[2] = Int32GetDatum(submission->rejected);
	values[3] = Int32GetDatum(submission->ended);
	values[4] = CStringGetTextDatum(submission->detail_code);
	isnull[4] = submission->detail_code[0] == '\0';
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, isnull));
}

/*
 * Take the locks that come first.
 */
void
SubmissionLockTables(void)
{
	LockRelationOid(CpisRelationOid(CPIS_PLAN), RowExclusiveLock);
	LockRelationOid(CpisRelationOid(CPIS_INACTIVE_NUMBER), RowExclusiveLock);
	LockRelationOid(CpisRelationOid(CPIS_SUBMISSION), RowExclusiveLock);
	LockRelationOid(CpisRelationOid(CPIS_SUBMISSION_RECORD), RowExclusiveLock);
}

/*
 * cpis_submission_apply(submission_id, records) -> file_code, accepted, rejected, ended,
 * detail_code.  55000 where it is left out which, and the session has opened none.
 */
Datum
cpis_submission_apply(PG_FUNCTION_ARGS)
{
	Submission	submission;
	int64		submission_id;

	ChangeCheckCallable("cpis_submission_apply()");
	submission_id = PG_ARGISNULL(0) ? SubmissionOpened() : PG_GETARG_INT64(0);
	if (PG_ARGISNULL(0) && submission_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no submission is open in this session"),
				 errhint("Give the submission_id that cpis_submission_open() answered.")));
	SubmissionRequire(submission_id, &submission);
	SubmissionLockTables();
	SubmissionLock(submission_id, &submission);
	/* A script that subtracts a header from nothing counts -1: not what any file has. */
	if (!submission.answered)
		SubmissionApply(&submission, PG_ARGISNULL(1) ? RECORDS_NOT_COUNTED :
						PG_GETARG_INT32(1) < 0 ? PG_INT32_MAX : PG_GETARG_INT32(1), NULL);
	PG_RETURN_DATUM(answer_datum(fcinfo, &submission));
}

/*
 * Refuse a submission that was opened long ago and never applied, so that its records get a
 * term; false where there is none, or somebody has it, or is applying another of the
 * authority: the next purge tries again.
 */
bool
SubmissionAbandon(void)
{
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_SUBMISSION)};
	Submission	submission;
	int64		submission_id;

	SubmissionLockTables();
	if (OwnChangeExecute(&as_owner,
						 "SELECT submission_id FROM cpis.submission WHERE answered_at IS NULL"
						 " AND opened_at < clock_timestamp() - interval '" SUBMISSION_OPEN_FOR "'"
						 " ORDER BY submission_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
						 0, NULL, NULL, NULL, &submission_id) == 0)
		return false;
	SubmissionLock(submission_id, &submission);
	if (!SubmissionTryAuthority(submission.local_authority))
		return false;
	SubmissionApply(&submission, RECORDS_ABANDONED, NULL);
	ereport(NOTICE, (errmsg("submission " INT64_FORMAT " was never applied, and is refused", submission_id)));
	return true;
}

static void
take_answers(SPITupleTable *rows, void *context)
{
	ReturnSetInfo *rsinfo = context;

	for (uint64 i = 0; i < rows->numvals; i++)
		tuplestore_puttuple(rsinfo->setResult, rows->vals[i]);
}

/*
 * cpis_submission_answer(submission_id, rejected_only) -> setof record.  22023 where there is
 * no such submission, 55000 where it has not been answered.
 */
Datum
cpis_submission_answer(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, BOOLOID};
	Oid			table = CpisRelationOid(CPIS_SUBMISSION);
	Submission	submission;
	Datum		values[2];

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, PG_ARGISNULL(0) ? "submission_id" : "rejected_only", "must not be null");
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_GETARG_DATUM(1);
	SubmissionRequire(PG_GETARG_INT64(0), &submission);
	if (!submission.answered)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("submission " INT64_FORMAT " has not been answered", PG_GETARG_INT64(0)),
				 errhint("Call cpis_submission_apply().")));

	InitMaterializedSRF(fcinfo, 0);
	(void) OwnReadEach(table, NULL, 0,
					   "SELECT line_no, record_code, detail_code, field, CASE field"
					   " WHEN 'nhs_number' THEN nhs_number WHEN 'plan_type' THEN plan_type"
					   " WHEN 'start_date' THEN start_date WHEN 'end_date' THEN end_date"
					   " WHEN 'delete_date' THEN delete_date WHEN 'date_of_birth' THEN date_of_birth"
					   " WHEN 'local_reference' THEN local_reference END, local_reference"
					   " FROM cpis.submission_record WHERE submission_id = $1 AND NOT ($2 AND record_code = 'CPR06')"
					   " ORDER BY line_no",
					   lengthof(types), types, values, take_answers, fcinfo->resultinfo);
	return (Datum) 0;
}
