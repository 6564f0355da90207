/*-------------------------------------------------------------------------
 *
 * submission_load.c
 *	  Bring the register to what was sent, and answer each record.
 *
 * Records are decided about in the order of number, kind and start, beside the plan of the
 * authority that has these, if there is one: no other plan is read or changed.  What was
 * sent counts: the plan gets its dates and reference, whether that makes it longer or
 * shorter, for the authority that owns a record is the one to say, and the event of the
 * submission (submission_apply.c) commits to every record.  A plan that has these already
 * is left as it is, so that the same file again changes nothing.  Of two records for
 * one plan the first one counts.
 *
 * What would not be held today (plan_term.c) is not loaded, unless it is a delete date that
 * says so: a year that was mistyped must not hide a child.
 *
 * Some thousand records at a time go through the executor, with its triggers and
 * constraints, so that memory does not grow with the file.  Answers are written to where
 * the records were read: whoever calls has locked the submission.  Who changes or removes one
 * of the plans meanwhile is waited for; where a plan has gone then, or come, the whole is
 * an error (40001, 23505), nothing has happened, and it can be applied again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "demographics.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "plan_term.h"
#include "retention_days.h"
#include "submission_load.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* So many records at a time. */
#define BATCH_SIZE 8192

/* More records than this are not looked up one by one. */
#define FILE_SIZE 64

/* What is to be done about a record. */
typedef enum Act
{
	ACT_NONE,
	ACT_ADD,
	ACT_CHANGE
} Act;

/* Columns of the query that decides; the first ones are those of the batch, too. */
enum
{
	DECIDE_TID = 1,
	DECIDE_NHS_NUMBER,
	DECIDE_PLAN_TYPE,
	DECIDE_START_DATE,
	DECIDE_END_DATE,
	DECIDE_DELETE_DATE,
	DECIDE_LOCAL_REFERENCE,
	DECIDE_PLAN_ID,
	DECIDE_RULE,				/* of what was sent */
	DECIDE_KNOWN_RULE,			/* of the demographics service */
	DECIDE_IS_INACTIVE,
	DECIDE_IS_SUPERSEDED,
	DECIDE_OLD_END_DATE,		/* of the plan that is there */
	DECIDE_OLD_DELETE_DATE,
	DECIDE_OLD_LOCAL_REFERENCE,
	DECIDE_DATE_OF_BIRTH,
	DECIDE_NCOLUMNS = DECIDE_DATE_OF_BIRTH
};

/* And the others of a batch. */
enum
{
	BATCH_ACT = DECIDE_PLAN_ID + 1,
	BATCH_RECORD_CODE,
	BATCH_DETAIL_CODE,
	BATCH_FIELD,
	BATCH_NCOLUMNS = BATCH_FIELD
};

/* A row of the query, taken apart. */
typedef struct Decision
{
	Datum		values[DECIDE_NCOLUMNS];
	bool		isnull[DECIDE_NCOLUMNS];
	RecordRule	rule;
	Act			act;
} Decision;

/* The records at hand. */
typedef struct Batch
{
	Loading    *loading;
	PlanPolicy *policy;
	MemoryContext context;		/* of what goes with the batch */
	MemoryContext row_context;
	OwnGiven	rows;
	int64		ids[BATCH_SIZE];	/* of plans to be changed */
	int			nadded;
	int			nchanged;

	/* The plan that was added or changed last, for the next record may be of the same. */
	bool		has_previous;
	int32		previous_number;
	char		previous_type[NAMEDATALEN];
	DateADT		previous_start;
	char		previous_rest[256]; /* what else that record said */
} Batch;

static bool
is_null(const Decision *decision, int column)
{
	return decision->isnull[column - 1];
}

static Datum
value_of(const Decision *decision, int column)
{
	return decision->values[column - 1];
}

/*
 * The last day on which a plan with these dates is held; without a delete date where that
 * has no column.
 */
static int64
last_day(Batch *batch, const Decision *decision, int end_column, int delete_column)
{
	int64		last = TERM_WITHOUT_END;

	if (!is_null(decision, end_column))
	{
		int			days = PlanPolicyDays(batch->policy, TextDatumGetCString(value_of(decision, DECIDE_PLAN_TYPE)));

		if (days != RETENTION_WITHOUT_END)
			last = (int64) DatumGetDateADT(value_of(decision, end_column)) + days;
	}
	if (delete_column != 0 && !is_null(decision, delete_column))
		last = Min(last, (int64) DatumGetDateADT(value_of(decision, delete_column)) - 1);
	return last;
}

static bool
same_date(const Decision *decision, int one, int other)
{
	return is_null(decision, one) == is_null(decision, other) &&
		(is_null(decision, one) ||
		 DatumGetDateADT(value_of(decision, one)) == DatumGetDateADT(value_of(decision, other)));
}

static bool
same_text(const Decision *decision, int one, int other)
{
	return is_null(decision, one) == is_null(decision, other) &&
		(is_null(decision, one) ||
		 strcmp(TextDatumGetCString(value_of(decision, one)), TextDatumGetCString(value_of(decision, other))) == 0);
}

/*
 * Is the plan that is there as it was sent?
 */
static bool
is_as_sent(const Decision *decision)
{
	return same_date(decision, DECIDE_END_DATE, DECIDE_OLD_END_DATE) &&
		same_date(decision, DECIDE_DELETE_DATE, DECIDE_OLD_DELETE_DATE) &&
		same_text(decision, DECIDE_LOCAL_REFERENCE, DECIDE_OLD_LOCAL_REFERENCE);
}

/*
 * Is the record for the plan that the last loaded one was for?
 */
static bool
is_duplicate(const Batch *batch, const Decision *decision)
{
	return batch->has_previous &&
		DatumGetInt32(value_of(decision, DECIDE_NHS_NUMBER)) == batch->previous_number &&
		DatumGetDateADT(value_of(decision, DECIDE_START_DATE)) == batch->previous_start &&
		strcmp(TextDatumGetCString(value_of(decision, DECIDE_PLAN_TYPE)), batch->previous_type) == 0;
}

/*
 * What a record says besides which plan it is for.
 */
static void
describe_rest(const Decision *decision, char *rest, size_t size)
{
	static const int dates[] = {DECIDE_END_DATE, DECIDE_DELETE_DATE, DECIDE_DATE_OF_BIRTH};
	size_t		length = 0;

	for (int i = 0; i < lengthof(dates); i++)
		length += snprintf(rest + length, size - length, "%d ",
						   is_null(decision, dates[i]) ? DATEVAL_NOEND : DatumGetDateADT(value_of(decision, dates[i])));
	if (!is_null(decision, DECIDE_LOCAL_REFERENCE))
		strlcpy(rest + length, TextDatumGetCString(value_of(decision, DECIDE_LOCAL_REFERENCE)), size - length);
}

/*
 * Is it, word for word, the record that was loaded last?
 */
static bool
is_same_again(const Batch *batch, const Decision *decision)
{
	char		rest[sizeof(batch->previous_rest)];

	describe_rest(decision, rest, sizeof(rest));
	return strcmp(rest, batch->previous_rest) == 0;
}

static void
note_loaded(Batch *batch, const Decision *decision)
{
	batch->has_previous = true;
	batch->previous_number = DatumGetInt32(value_of(decision, DECIDE_NHS_NUMBER));
	batch->previous_start = DatumGetDateADT(value_of(decision, DECIDE_START_DATE));
	strlcpy(batch->previous_type, TextDatumGetCString(value_of(decision, DECIDE_PLAN_TYPE)), NAMEDATALEN);
	describe_rest(decision, batch->previous_rest, sizeof(batch->previous_rest));
}

static bool
only_ends(const Batch *batch)
{
	return strcmp(batch->loading->submission->kind, SUBMISSION_END) == 0;
}

/*
 * Which rule does the number break, by what is known of it?  To end a plan its number may
 * be inactive.
 */
static RecordRule
number_rule(const Batch *batch, const Decision *decision)
{
	if (only_ends(batch))
		return RULE_NONE;
	if (DatumGetBool(value_of(decision, DECIDE_IS_INACTIVE)))
		return DatumGetBool(value_of(decision, DECIDE_IS_SUPERSEDED)) ? RULE_SUPERSEDED : RULE_INACTIVE;
	return is_null(decision, DECIDE_KNOWN_RULE) ? RULE_NONE : DatumGetInt32(value_of(decision, DECIDE_KNOWN_RULE));
}

/*
 * Which rule does the record break, that the plan which is there, if any, decides about?
 */
static RecordRule
plan_rule(Batch *batch, const Decision *decision)
{
	DateADT		today = batch->loading->today;
	bool		is_there = !is_null(decision, DECIDE_PLAN_ID);
	bool		is_deleted = !is_null(decision, DECIDE_DELETE_DATE) &&
		DatumGetDateADT(value_of(decision, DECIDE_DELETE_DATE)) <= today;

	if (is_duplicate(batch, decision))
		return RULE_DUPLICATE;
	if (!is_there && only_ends(batch))
		return RULE_NO_SUCH_PLAN;
	if (today <= last_day(batch, decision, DECIDE_END_DATE, DECIDE_DELETE_DATE) ||
		(is_there && (is_deleted || is_as_sent(decision))))
		return RULE_NONE;
	/* Without its delete date, is it the end? */
	return today <= last_day(batch, decision, DECIDE_END_DATE, 0) ? RULE_DELETED : RULE_NOT_HELD;
}

/*
 * Of a record that only ends a plan, the rest is what the plan has.
 */
static void
take_rest(Decision *decision)
{
	static const int columns[][2] = {
		{DECIDE_DELETE_DATE, DECIDE_OLD_DELETE_DATE}, {DECIDE_LOCAL_REFERENCE, DECIDE_OLD_LOCAL_REFERENCE}
	};

	for (int i = 0; i < lengthof(columns); i++)
	{
		decision->values[columns[i][0] - 1] = decision->values[columns[i][1] - 1];
		decision->isnull[columns[i][0] - 1] = decision->isnull[columns[i][1] - 1];
	}
}

/*
 * Decide about a record.
 */
static void
decide(Batch *batch, Decision *decision)
{
	Loading    *loading = batch->loading;

	if (only_ends(batch))
		take_rest(decision);
	decision->act = ACT_NONE;
	decision->rule = DatumGetInt32(value_of(decision, DECIDE_RULE));
	if (decision->rule == RULE_NONE && loading->refused)
		decision->rule = RULE_FILE_REFUSED;
	if (decision->rule == RULE_NONE)
		decision->rule = number_rule(batch, decision);
	if (decision->rule == RULE_NONE)
		decision->rule = plan_rule(batch, decision);
	loading->rules[decision->rule]++;
	loading->last = decision->rule;
	if (decision->rule != RULE_NONE)
		return;
	note_loaded(batch, decision);
	if (is_null(decision, DECIDE_PLAN_ID))
		decision->act = ACT_ADD;
	else if (!is_as_sent(decision))
		decision->act = ACT_CHANGE;
	else
		loading->unchanged++;
}

/*
 * Would the plan be held for less long than its dates said?  A first end date gives it
 * its term.
 */
static bool
is_shorter(Batch *batch, const Decision *decision)
{
	bool		gets_end = is_null(decision, DECIDE_OLD_END_DATE) &&
		same_date(decision, DECIDE_DELETE_DATE, DECIDE_OLD_DELETE_DATE);

	return !gets_end &&
		last_day(batch, decision, DECIDE_END_DATE, DECIDE_DELETE_DATE) <
		last_day(batch, decision, DECIDE_OLD_END_DATE, DECIDE_OLD_DELETE_DATE);
}

/*
 * Note what is to be done, for the statements to come and for the event.
 */
static void
count_act(Batch *batch, const Decision *decision)
{
	if (decision->act == ACT_ADD)
		batch->nadded++;
	if (decision->act != ACT_CHANGE)
		return;
	batch->ids[batch->nchanged++] = DatumGetInt64(value_of(decision, DECIDE_PLAN_ID));
	if (is_shorter(batch, decision))
		batch->loading->shortened++;
}

/*
 * Put a decided record into the batch.
 */
static void
put(Batch *batch, const Decision *decision)
{
	const char *texts[3];
	Datum		values[BATCH_NCOLUMNS];
	bool		isnull[BATCH_NCOLUMNS];

	memcpy(values, decision->values, DECIDE_PLAN_ID * sizeof(Datum));
	memcpy(isnull, decision->isnull, DECIDE_PLAN_ID * sizeof(bool));
	values[BATCH_ACT - 1] = Int32GetDatum(decision->act);
	isnull[BATCH_ACT - 1] = false;
	texts[0] = record_rule_code(decision->rule);
	texts[1] = record_rule_detail(decision->rule);
	texts[2] = record_rule_field(decision->rule);
	for (int i = 0; i < lengthof(texts); i++)
	{
		isnull[BATCH_RECORD_CODE - 1 + i] = texts[i] == NULL;
		values[BATCH_RECORD_CODE - 1 + i] = texts[i] == NULL ? (Datum) 0 : CStringGetTextDatum(texts[i]);
	}
	tuplestore_putvalues(batch->rows.rows, batch->rows.descriptor, values, isnull);
	batch->rows.n++;
}

/*
 * Somebody has changed plans meanwhile.
 */
void
LoadRaiseChanged(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("plans have been changed while a submission was applied"),
			 errhint("Apply it again.")));
}

/*
 * Run a statement about the batch, which must concern so many rows.
 */
static void
run(const Batch *batch, OwnChange *change, const char *command, int n)
{
	static const Oid types[] = {TEXTOID, INT8OID};
	Datum		values[2];

	change->given = &batch->rows;
	change->ngiven = 1;
	values[0] = CStringGetTextDatum(batch->loading->submission->local_authority);
	values[1] = Int64GetDatum(batch->loading->submission->submission_id);
	if (OwnChangeExecute(change, command, lengthof(types), types, values, NULL, NULL) != n)
		LoadRaiseChanged();
}

static int
compare_ids(const void *a, const void *b)
{
	int64		one = *(const int64 *) a;
	int64		other = *(const int64 *) b;

	return one < other ? -1 : one > other;
}

/*
 * Change the register, and write the answers.
 */
static void
store(Batch *batch)
{
	OwnChange	plans = {.table = CpisRelationOid(CPIS_PLAN)};
	OwnChange	records = {.table = CpisRelationOid(CPIS_SUBMISSION_RECORD)};
	int			nest_level;

	if (batch->nadded > 0)
		run(batch, &plans,
			"INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date, delete_date, local_reference, submission_id)"
			" SELECT b.nhs_number, b.plan_type, $1, b.start_date, b.end_date, b.delete_date, b.local_reference, $2"
			" FROM batch b WHERE b.act = 1", batch->nadded);
	if (batch->nchanged > 0)
	{
		qsort(batch->ids, batch->nchanged, sizeof(int64), compare_ids);
		plans.operation = CMD_UPDATE;
		plans.ids = batch->ids;
		plans.nids = batch->nchanged;
		run(batch, &plans,
			"UPDATE cpis.plan p SET end_date = b.end_date, delete_date = b.delete_date, local_reference = b.local_reference, submission_id = $2"
			" FROM batch b WHERE b.act = 2 AND p.plan_id = b.plan_id AND $1 IS NOT NULL", batch->nchanged);
	}
	/* Each record where it was read: not all of the submission for each batch. */
	nest_level = OwnPlannerWithout("enable_hashjoin", "enable_mergejoin", "enable_seqscan", NULL);
	if (batch->rows.n > 0)
		run(batch, &records,
			"UPDATE cpis.submission_record r SET record_code = b.record_code, detail_code = b.detail_code, field = b.field"
			/* Not by the index: a submission is younger than all statistics, which say that it has one record. */
			" FROM batch b WHERE r.ctid = b.tid AND r.submission_id + 0 = $2 AND $1 IS NOT NULL", batch->rows.n);
	AtEOXact_GUC(true, nest_level);
	batch->loading->added += batch->nadded;
	batch->loading->changed += batch->nchanged;
}

/*
 * Do what the batch says, and begin another.
 */
static void
flush(Batch *batch)
{
	MemoryContext outer = MemoryContextSwitchTo(batch->context);

	store(batch);
	tuplestore_clear(batch->rows.rows);
	batch->rows.n = 0;
	batch->nadded = batch->nchanged = 0;
	MemoryContextSwitchTo(outer);
	MemoryContextReset(batch->context);
}

/*
 * Does the plan run on, by the dates of the record that could be read?
 */
static bool
runs(const Batch *batch, const Decision *decision)
{
	static const int columns[] = {DECIDE_END_DATE, DECIDE_DELETE_DATE};

	for (int i = 0; i < lengthof(columns); i++)
	{
		if (!is_null(decision, columns[i]) &&
			DatumGetDateADT(value_of(decision, columns[i])) <= batch->loading->today)
			return false;
	}
	return true;
}

StaticAssertDecl((int) ACCEPTED_NCOLUMNS == (int) REJECTED_NCOLUMNS, "one array is for either");

/*
 * Note what will become of a record: a double that says nothing else needs no note.
 */
static void
put_decided(Batch *batch, const Decision *decision)
{
	static const int accepted[] = {DECIDE_NHS_NUMBER, DECIDE_PLAN_TYPE, DECIDE_START_DATE};
	static const int rejected[] = {DECIDE_NHS_NUMBER, DECIDE_LOCAL_REFERENCE};
	bool		is_accepted = decision->rule == RULE_NONE;
	OwnGiven   *given = &batch->loading->given[is_accepted ? GIVEN_ACCEPTED : GIVEN_REJECTED];
	const int  *columns = is_accepted ? accepted : rejected;
	Datum		values[REJECTED_NCOLUMNS];
	bool		isnull[REJECTED_NCOLUMNS] = {false};

	if (decision->rule == RULE_DUPLICATE && is_same_again(batch, decision))
		return;
	values[REJECTED_RUNS - 1] = BoolGetDatum(runs(batch, decision));
	for (int i = 0; i < (is_accepted ? lengthof(accepted) : lengthof(rejected)); i++)
	{
		values[i] = value_of(decision, columns[i]);
		isnull[i] = is_null(decision, columns[i]);
	}
	tuplestore_putvalues(given->rows, given->descriptor, values, isnull);
	given->n++;
}

/*
 * Decide about rows of the query.
 */
static void
take_decisions(SPITupleTable *rows, void *context)
{
	Batch	   *batch = context;
	MemoryContext outer = MemoryContextSwitchTo(batch->row_context);

	for (uint64 i = 0; i < rows->numvals; i++)
	{
		Decision	decision;

		heap_deform_tuple(rows->vals[i], rows->tupdesc, decision.values, decision.isnull);
		decide(batch, &decision);
		if (!batch->loading->only_decides)
		{
			count_act(batch, &decision);
			put(batch, &decision);
		}
		else
			put_decided(batch, &decision);
		MemoryContextReset(batch->row_context);
		if (batch->rows.n == BATCH_SIZE)
			flush(batch);
	}
	MemoryContextSwitchTo(outer);
}

static TupleDesc
describe(Oid number_type)
{
	TupleDesc	descriptor = CreateTemplateTupleDesc(BATCH_NCOLUMNS);

	TupleDescInitEntry(descriptor, DECIDE_TID, "tid", TIDOID, -1, 0);
	TupleDescInitEntry(descriptor, DECIDE_NHS_NUMBER, "nhs_number", number_type, -1, 0);
	TupleDescInitEntry(descriptor, DECIDE_PLAN_TYPE, "plan_type", TEXTOID, -1, 0);
	TupleDescInitEntry(descriptor, DECIDE_START_DATE, "start_date", DATEOID, -1, 0);
	TupleDescInitEntry(descriptor, DECIDE_END_DATE, "end_date", DATEOID, -1, 0);
	TupleDescInitEntry(descriptor, DECIDE_DELETE_DATE, "delete_date", DATEOID, -1, 0);
	TupleDescInitEntry(descriptor, DECIDE_LOCAL_REFERENCE, "local_reference", TEXTOID, -1, 0);
	TupleDescInitEntry(descriptor, DECIDE_PLAN_ID, "plan_id", INT8OID, -1, 0);
	TupleDescInitEntry(descriptor, BATCH_ACT, "act", INT4OID, -1, 0);
	TupleDescInitEntry(descriptor, BATCH_RECORD_CODE, "record_code", TEXTOID, -1, 0);
	TupleDescInitEntry(descriptor, BATCH_DETAIL_CODE, "detail_code", TEXTOID, -1, 0);
	TupleDescInitEntry(descriptor, BATCH_FIELD, "field", TEXTOID, -1, 0);
	TupleDescInitEntryCollation(descriptor, DECIDE_PLAN_TYPE, C_COLLATION_OID);
	return descriptor;
}

/*
 * The query that decides: what was sent, beside what is there.
 */
static char *
deciding_query(const Loading *loading)
{
	return psprintf("SELECT s.tid, s.nhs_number, s.plan_type, s.start_date, s.end_date, s.delete_date, s.local_reference,"
					" p.plan_id, s.rule, k.rule, i.nhs_number IS NOT NULL, i.superseded_by IS NOT NULL,"
					" p.end_date, p.delete_date, p.local_reference, s.date_of_birth"
					" FROM sent s"
					" LEFT JOIN cpis.plan p ON p.local_authority = $1 AND p.nhs_number %1$s s.nhs_number"
					" AND p.plan_type = s.plan_type AND p.start_date = s.start_date"
					" LEFT JOIN cpis.inactive_number i ON i.nhs_number %1$s s.nhs_number"
					" LEFT JOIN known k ON k.nhs_number %1$s s.nhs_number"
					" ORDER BY s.nhs_number, s.plan_type, s.start_date, s.line_no", loading->equals);
}

/*
 * Load the records, or, where the file is refused, only answer them.
 */
void
LoadRecords(Loading *loading)
{
	static const Oid types[] = {TEXTOID};
	Datum		value = CStringGetTextDatum(loading->submission->local_authority);
	Reading		reading = ReadingBegin();
	PlanPolicy	policy;
	Batch	   *batch = palloc0(sizeof(Batch));
	int			nest_level;

	PlanPolicyBegin(&policy, &reading);
	batch->loading = loading;
	batch->policy = &policy;
	batch->context = AllocSetContextCreate(CurrentMemoryContext, "cpis batch", ALLOCSET_DEFAULT_SIZES);
	batch->row_context = AllocSetContextCreate(CurrentMemoryContext, "cpis record", ALLOCSET_SMALL_SIZES);
	batch->rows.name = "batch";
	batch->rows.descriptor = describe(loading->number_type);
	batch->rows.rows = tuplestore_begin_heap(true, false, work_mem);
	/* For a file, whatever the planner guesses of the authority's plans; for a record, by the index. */
	nest_level = OwnPlannerWithout(loading->given[GIVEN_SENT].n > FILE_SIZE ? "enable_nestloop" : NULL, NULL);
	(void) OwnReadEach(CpisRelationOid(CPIS_PLAN), loading->given, GIVEN_COUNT, deciding_query(loading),
					   lengthof(types), types, &value, take_decisions, batch);
	AtEOXact_GUC(true, nest_level);
	flush(batch);
	tuplestore_end(batch->rows.rows);
	ReadingEnd(&reading);
	MemoryContextDelete(batch->row_context);
	MemoryContextDelete(batch->context);
	pfree(batch);
}

/*
 * Find what will be accepted and rejected, and change nothing.
 */
void
LoadDecided(Loading *loading)
{
	loading->only_decides = true;
	LoadRecords(loading);
	loading->only_decides = false;
	/* They will be counted when they are. */
	memset(loading->rules, 0, sizeof(loading->rules));
	loading->unchanged = 0;
}
