/*-------------------------------------------------------------------------
 *
 * purge_submission.c
 *	  What authorities have sent, when its term has ended.
 *
 * The records of a submission are held for a number of days after the day, in
 * England, of its answer (retention_days.c); the submission itself, which names nobody,
 * stays.  cpis.submission_due() in sql/retention.sql says which submissions are due,
 * to the purge as to its preview.  A hold on the number that a record gives, on the
 * authority, or on everything keeps the record; where a record gives something else
 * than a number, none on a number is on it.
 *
 * A batch is of one submission, whose answers are summarised with it (summary.c), if they are not
 * yet.  It takes locks in the order of DROP EXTENSION: on
 * cpis.retention_policy (Share), cpis.submission_record (RowExclusive) and cpis.hold
 * (Share), so that who is just setting a term or placing a hold is waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "audit_event.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "hold.h"
#include "mod11.h"
#include "own_change.h"
#include "purge_submission.h"
#include "reference.h"
#include "retention.h"
#include "storage/lmgr.h"
#include "summary.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* A submission that is due. */
typedef struct DueSubmission
{
	int64		submission_id;
	char		local_authority[LOCAL_AUTHORITY_LENGTH + 1];
	DateADT		due_on;
	int			retention_days;
} DueSubmission;

/* What is to become of its records. */
typedef struct Finding
{
	MemoryContext context;		/* of what is put into the batch */
	const DueSubmission *submission;
	Holds		holds;
	SubmissionCursor *cursor;
	PurgeBatch *batch;
	int64	   *held_back;
} Finding;

static void
take_submission(SPITupleTable *rows, void *context)
{
	DueSubmission *submission = context;
	HeapTuple	row = rows->vals[0];
	TupleDesc	descriptor = rows->tupdesc;
	bool		isnull;

	submission->submission_id = DatumGetInt64(SPI_getbinval(row, descriptor, 1, &isnull));
	strlcpy(submission->local_authority, SPI_getvalue(row, descriptor, 2),
			sizeof(submission->local_authority));
	submission->due_on = DatumGetDateADT(SPI_getbinval(row, descriptor, 3, &isnull));
	submission->retention_days = DatumGetInt32(SPI_getbinval(row, descriptor, 4, &isnull));
}

/*
 * Find the first submission that is due from the cursor's on; false where there is
 * none.
 */
static bool
find_submission(const SubmissionCursor *cursor, DueSubmission *submission)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT8OID};
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_SUBMISSION_RECORD)};
	Datum		values[2];

	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = Int64GetDatum(cursor->submission_id);
	return OwnChangeQuery(&as_owner,
						  "SELECT submission_id, local_authority, due_on, retention_days"
						  " FROM cpis.submission_due($1) WHERE submission_id OPERATOR(pg_catalog.>=) $2"
						  " ORDER BY submission_id LIMIT 1",
						  lengthof(types), types, values, NULL, take_submission, submission) > 0;
}

/*
 * The first nine digits of the NHS number that was sent, or -1.
 */
static int32
number_sent(Datum sent, bool isnull)
{
	text	   *number = isnull ? NULL : DatumGetTextPP(sent);
	int32		nine_digits;

	if (number == NULL ||
		mod11_parse(VARDATA_ANY(number), VARSIZE_ANY_EXHDR(number), &nine_digits) != NHS_NUMBER_VALID)
		return -1;
	return nine_digits;
}

/*
 * Put into the batch the records that nothing holds.
 */
static void
take_records(SPITupleTable *rows, void *context)
{
	Finding    *finding = context;
	const DueSubmission *submission = finding->submission;
	PurgeBatch *batch = finding->batch;
	MemoryContext outer = MemoryContextSwitchTo(finding->context);

	for (uint64 i = 0; i < rows->numvals; i++)
	{
		HeapTuple	row = rows->vals[i];
		Removal    *removal = &batch->removals[batch->n];
		Datum		value;
		bool		isnull;

		finding->cursor->line_no = DatumGetInt32(SPI_getbinval(row, rows->tupdesc, 2, &isnull));
		value = SPI_getbinval(row, rows->tupdesc, 3, &isnull);
		if (HoldsFind(&finding->holds, number_sent(value, isnull), submission->local_authority) != 0)
		{
			(*finding->held_back)++;
			continue;
		}
		batch->keys[batch->n].id = submission->submission_id;
		batch->keys[batch->n].line_no = finding->cursor->line_no;
		value = SPI_getbinval(row, rows->tupdesc, 1, &isnull);
		batch->tids[batch->n] = *(ItemPointer) DatumGetPointer(value);
		removal->kind = CStringGetTextDatum(RETENTION_OF_SUBMISSION_RECORDS);
		removal->local_authority = CStringGetTextDatum(submission->local_authority);
		removal->due_on = submission->due_on;
		removal->has_days = true;
		removal->retention_days = submission->retention_days;
		value = SPI_getbinval(row, rows->tupdesc, 4, &isnull);
		memcpy(removal->commitment, VARDATA_ANY(DatumGetByteaPP(value)), SHA256_LENGTH);
		batch->n++;
	}
	MemoryContextSwitchTo(outer);
}

/*
 * Find the records of the submission behind the cursor, and move that on;
 * false where they are its last.
 */
static bool
find_records(Finding *finding)
{
	static const Oid types[] = {INT8OID, INT4OID, INT4OID};
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_SUBMISSION_RECORD)};
	Datum		values[3];

	values[0] = Int64GetDatum(finding->submission->submission_id);
	values[1] = Int32GetDatum(finding->cursor->line_no);
	values[2] = Int32GetDatum(finding->batch->size);
	return OwnChangeQuery(&as_owner,
						  "SELECT r.ctid, r.line_no, r.nhs_number, cpis.submission_record_commitment(r)"
						  " FROM cpis.submission_record r"
						  " WHERE r.submission_id OPERATOR(pg_catalog.=) $1 AND r.line_no OPERATOR(pg_catalog.>) $2"
						  " ORDER BY r.line_no LIMIT $3",
						  lengthof(types), types, values, NULL, take_records, finding) == finding->batch->size;
}

/*
 * Find records that are to go, as many as the batch has room for, and move
 * the cursor behind what has been seen; false at the end.
 */
bool
PurgeSubmissionFind(SubmissionCursor *cursor, PurgeBatch *batch, int64 *held_back)
{
	DueSubmission submission;
	Finding		finding = {.context = CurrentMemoryContext, .submission = &submission,
		.cursor = cursor, .batch = batch, .held_back = held_back};
	Reading		reading;

	LockRelationOid(CpisRelationOid(CPIS_RETENTION_POLICY), ShareLock);
	LockRelationOid(CpisRelationOid(CPIS_SUBMISSION_RECORD), RowExclusiveLock);
	LockRelationOid(CpisRelationOid(CPIS_HOLD), ShareLock);
	if (!find_submission(cursor, &submission))
		return false;
	if (submission.submission_id != cursor->submission_id)
	{
		cursor->submission_id = submission.submission_id;
		cursor->line_no = 0;
	}

	reading = ReadingBegin();
	HoldsRead(&finding.holds, reading.snapshot);
	ReadingEnd(&reading);
	batch->holds = finding.holds.digest;
	SummariseAnswers(submission.submission_id);
	if (!find_records(&finding))
	{
		cursor->submission_id++;
		cursor->line_no = 0;
	}
	return true;
}
