/*-------------------------------------------------------------------------
 *
 * submission_guard.c
 *	  The trigger function cpis.guard_submission_record(): records are added to open
 *	  submissions, by who acts for their authority.
 *
 * It fires before each statement that inserts, and before each row.  Where they are left
 * out, submission_id becomes that which the session has opened (submission.c), and
 * line_no the next of it, so that a plain CSV loads.  The salt is always random, and
 * the answer empty: who may only send cannot answer himself.
 *
 * The owner of the table, superusers, and functions of the extension insert what they give,
 * as a restore does: what they give in full is only looked at for a salt.
 *
 * The first row of a statement that is added to a submission locks the row of that, by an
 * update, to the end of the transaction, as cpis_submission_apply() does: so nothing is added
 * to what has been answered, two who add to one do it in turn, and who applies it under an
 * older snapshot gets an error (40001) instead of overlooking what was added.  When the
 * lock is gone with a subtransaction, or the submission is applied in the middle of the
 * statement, the next row looks again.  An error ends the statement, and nothing of it is
 * there.
 *
 * Not as a foreign key and a default, for these cost more for each row than to store it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "authority.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "own_change.h"
#include "relation.h"
#include "submission.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(cpis_guard_submission_record);

/* Salts are taken from the generator so many at a time. */
#define SALTS_AT_A_TIME 256

/* What the present statement adds to. */
static struct
{
	bool		begun;			/* else nothing yet */
	int64		submission_id;
	int32		line_no;		/* the last */
}			adding;

/* The submission whose row this transaction has locked last, if it has. */
static struct
{
	bool		is_locked;
	int64		submission_id;
}			locked;

/*
 * What was locked in a transaction, or a part of it, that has ended, is not locked any more.
 */
static void
on_transaction_end(XactEvent event, void *arg)
{
	adding.begun = false;
	locked.is_locked = false;
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		adding.begun = false;
		locked.is_locked = false;
	}
}

/*
 * Nothing is being added to any more: look again.
 */
void
SubmissionGuardForget(void)
{
	adding.begun = false;
}

/*
 * 16 random bytes that nobody else has.
 */
static Datum
random_salt(void)
{
	static uint8 salts[SALTS_AT_A_TIME][AUDIT_SALT_LENGTH];
	static int	left = 0;
	bytea	   *salt = palloc(VARHDRSZ + AUDIT_SALT_LENGTH);

	if (left == 0)
	{
		if (!pg_strong_random(salts, sizeof(salts)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random salt")));
		left = SALTS_AT_A_TIME;
	}
	SET_VARSIZE(salt, VARHDRSZ + AUDIT_SALT_LENGTH);
	memcpy(VARDATA(salt), salts[--left], AUDIT_SALT_LENGTH);
	memset(salts[left], 0, AUDIT_SALT_LENGTH);
	return PointerGetDatum(salt);
}

static void
take_line(SPITupleTable *rows, void *context)
{
	bool		isnull;

	*(int32 *) context = DatumGetInt32(SPI_getbinval(rows->vals[0], rows->tupdesc, 1, &isnull));
}

/*
 * Begin to add to this submission: 22023 where there is none that the role acts for,
 * 55000 where it has been answered.
 */
static void
begin_adding(int64 submission_id)
{
	static const Oid types[] = {INT8OID};
	static bool registered = false;
	Datum		value = Int64GetDatum(submission_id);
	Submission	submission;

	if (!registered)
	{
		RegisterXactCallback(on_transaction_end, NULL);
		RegisterSubXactCallback(on_subtransaction_end, NULL);
		registered = true;
	}
	adding.begun = false;
	SubmissionRequire(submission_id, &submission);
	/* Once: each lock makes a version of the row, which a transaction cannot clear away. */
	if (!locked.is_locked || locked.submission_id != submission_id)
		SubmissionLock(submission_id, &submission);
	locked.is_locked = true;
	locked.submission_id = submission_id;
	if (submission.answered)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("submission " INT64_FORMAT " has been answered", submission_id),
				 errhint("Open another with cpis_submission_open().")));
	(void) OwnRead(CpisRelationOid(CPIS_SUBMISSION_RECORD),
				   "SELECT COALESCE((SELECT line_no FROM cpis.submission_record WHERE submission_id = $1"
				   " ORDER BY line_no DESC LIMIT 1), 0)",
				   lengthof(types), types, &value, NULL, take_line, &adding.line_no);
	adding.submission_id = submission_id;
	adding.begun = true;
}

/*
 * The line after the last.
 */
static int32
next_line(void)
{
	if (adding.line_no == PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("submission has no more lines")));
	return ++adding.line_no;
}

/*
 * The submission that a row is for.
 */
static int64
submission_of(Datum given, bool isnull)
{
	int64		submission_id = isnull ? SubmissionOpened() : DatumGetInt64(given);

	if (isnull && submission_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no submission is open in this session"),
				 errhint("Call cpis_submission_open() first, or give the submission_id that it answered.")));
	return submission_id;
}

/*
 * May who inserts decide about the whole row?
 */
static bool
is_trusted(const TriggerData *trigger)
{
	return has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner);
}

/*
 * The row as it is to be stored.
 */
static HeapTuple
fill_row(const TriggerData *trigger)
{
	static int	columns[] = {RECORD_SUBMISSION_ID, RECORD_LINE_NO, RECORD_COMMITMENT_SALT,
	RECORD_RECORD_CODE, RECORD_DETAIL_CODE, RECORD_FIELD};
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	HeapTuple	row = trigger->tg_trigtuple;
	Datum		values[lengthof(columns)] = {0};
	bool		isnull[lengthof(columns)];
	bool		trusted = is_trusted(trigger);

	for (int i = 0; i < lengthof(columns); i++)
		values[i] = heap_getattr(row, columns[i], descriptor, &isnull[i]);
	if (trusted && !isnull[0] && !isnull[1])
	{
		if (!isnull[2])
			return row;
	}
	else
	{
		int64		submission_id = submission_of(values[0], isnull[0]);

		if (!adding.begun || submission_id != adding.submission_id)
			begin_adding(submission_id);
		values[0] = Int64GetDatum(submission_id);
		if (isnull[1])
			values[1] = Int32GetDatum(next_line());
		else
			adding.line_no = Max(adding.line_no, DatumGetInt32(values[1]));
		isnull[0] = isnull[1] = false;
	}
	for (int i = 3; !trusted && i < lengthof(columns); i++)
		isnull[i] = true;
	if (!trusted || isnull[2])
		values[2] = random_salt();
	isnull[2] = false;
	return heap_modify_tuple_by_cols(row, descriptor, lengthof(columns), columns, values, isnull);
}

/*
 * cpis.guard_submission_record() as trigger: see above.  39P01 where it is not called as
 * it should be.
 */
Datum
cpis_guard_submission_record(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		RelationGetNumberOfAttributes(trigger->tg_relation) != RECORD_COMMITMENT_SALT ||
		strcmp(RelationGetRelationName(trigger->tg_relation), "submission_record") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as trigger of \"%s\", before INSERT",
						"cpis.guard_submission_record", "cpis.submission_record")));

	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return PointerGetDatum(fill_row(trigger));
	/* Another may have been answered or added to since the last statement. */
	adding.begun = false;
	return PointerGetDatum(NULL);
}
