/*-------------------------------------------------------------------------
 *
 * submission_apply.c
 *	  Check the records of a submission, change the register, answer.
 *
 * SubmissionApply() first decides about the file as a whole, before anything is changed: a
 * file that is refused changes nothing, and each of its records is answered so.  Then it
 * loads the records (submission_load.c) and, where the file is full, ends what is not
 * in it.
 *
 * A full file ends the running plans of its authority for which it has no record, on
 * the present day; not those that were sent after it was opened, by another submission, for
 * it is older than they.  A record that is rejected, for whatever reason, still keeps plans
 * from being ended: those of its number and of its reference.  Where neither leads to a
 * running plan that has no record of its own, the file ends nothing, for nobody knows which
 * it means; unless it says itself that the plan has ended, or is the same record twice.  A file
 * that would end more than cpis.full_submission_share of the running plans is refused: most
 * likely it was cut off.
 *
 * The answer is recorded before the caller can commit it, by an event that has the root
 * of the Merkle tree (RFC 9162) over the commitments to all records with their
 * answers, in the order of line_no; where records were rejected, by another that says how
 * many for each code.  What is one record by itself (cpis_plan_put(), cpis_plan_end()) has
 * its NHS number and plan in the event.
 *
 * Whoever calls has locked the submission.  One submission of an authority is applied at a
 * time: the next waits for the transaction of the first to end.  An error leaves everything
 * as it was, and the submission open; an event may then announce what was not done.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "authority.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "day.h"
#include "demographics.h"
#include "executor/spi.h"
#include "ledger.h"
#include "merkle.h"
#include "miscadmin.h"
#include "plan_record.h"
#include "reference.h"
#include "register.h"
#include "request.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "submission_apply.h"
#include "submission_load.h"
#include "submission_sent.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

double		cpis_full_submission_share = 0.1;
int			cpis_minimum_client_version = 1;

/* Columns that name the event by which a row was recorded. */
#define INACTIVE_EVENT_ID 4
#define SUBMISSION_EVENT_ID 12

/* Running plans of an authority, and those of them that a full file does not have. */
typedef struct Running
{
	int64		plans;
	int64		absent;
	int64		unclear;		/* records of which nobody knows which plan they mean */
} Running;

/* $1 is the authority, $2 today, $3 when the submission was opened. */
#define RUNNING \
	"p.local_authority = $1 AND p.end_date IS NULL AND (p.delete_date IS NULL OR p.delete_date > $2)"
#define WITHOUT_RECORD \
	"NOT EXISTS (SELECT FROM accepted a WHERE a.nhs_number %1$s p.nhs_number AND a.plan_type = p.plan_type AND a.start_date = p.start_date)"
#define ABSENT \
	"NOT EXISTS (SELECT FROM rejected r WHERE r.nhs_number %1$s p.nhs_number)" \
	" AND NOT EXISTS (SELECT FROM rejected r WHERE r.local_reference = p.local_reference)" \
	" AND NOT EXISTS (SELECT FROM cpis.submission w WHERE w.submission_id = p.submission_id AND w.answered_at > $3)"

/*
 * Take the lock of an authority.  There is no such object to lock in a catalogue: the tag
 * is of the table of authorities and a hash of the code.
 */
static bool
lock_authority(const char *local_authority, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, CpisRelationOid(CPIS_LOCAL_AUTHORITY),
					   hash_bytes((const unsigned char *) local_authority, strlen(local_authority)), 0);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Could a submission of this authority be applied without waiting for another?
 */
bool
SubmissionTryAuthority(const char *local_authority)
{
	return lock_authority(local_authority, false);
}

/*
 * The events that rows of a table name, by this snapshot: a sum that tells whether they
 * have changed.
 */
static uint64
events_of(CpisRelation relation, AttrNumber column, Snapshot snapshot)
{
	Relation	table = CpisTableOpen(relation, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, snapshot, 0, NULL);
	uint64		sum = 0;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		int64		event_id = DatumGetInt64(heap_getattr(tuple, column, RelationGetDescr(table), &isnull));

		if (!isnull)
			sum += hash_bytes_extended((const unsigned char *) &event_id, sizeof(event_id), 0);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return sum;
}

/*
 * In a transaction whose snapshot is older, see that no submission has been answered and no
 * number has become inactive since; 40001 where one has.
 */
static void
require_present(void)
{
	Reading		reading;
	bool		same;

	if (!IsolationUsesXactSnapshot())
		return;
	reading = ReadingBegin();
	same = events_of(CPIS_INACTIVE_NUMBER, INACTIVE_EVENT_ID, reading.snapshot) ==
		events_of(CPIS_INACTIVE_NUMBER, INACTIVE_EVENT_ID, GetActiveSnapshot()) &&
		events_of(CPIS_SUBMISSION, SUBMISSION_EVENT_ID, reading.snapshot) ==
		events_of(CPIS_SUBMISSION, SUBMISSION_EVENT_ID, GetActiveSnapshot());
	ReadingEnd(&reading);
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("submissions have been applied, or NHS numbers changed, since the transaction began"),
				 errhint("Try again.")));
}

/*
 * An empty table for what the demographics service knows.
 */
static void
begin_known(Oid number_type, OwnGiven *known)
{
	known->name = "known";
	known->descriptor = CreateTemplateTupleDesc(DEMOGRAPHICS_RULE);
	TupleDescInitEntry(known->descriptor, DEMOGRAPHICS_NHS_NUMBER, "nhs_number", number_type, -1, 0);
	TupleDescInitEntry(known->descriptor, DEMOGRAPHICS_RULE, "rule", INT4OID, -1, 0);
	known->rows = tuplestore_begin_heap(true, false, work_mem);
	known->n = 0;
}

/*
 * And those for what will be accepted and rejected.
 */
static void
begin_decided(Oid number_type, OwnGiven *accepted, OwnGiven *rejected)
{
	accepted->name = "accepted";
	accepted->descriptor = CreateTemplateTupleDesc(ACCEPTED_NCOLUMNS);
	TupleDescInitEntry(accepted->descriptor, ACCEPTED_NHS_NUMBER, "nhs_number", number_type, -1, 0);
	TupleDescInitEntry(accepted->descriptor, ACCEPTED_PLAN_TYPE, "plan_type", TEXTOID, -1, 0);
	TupleDescInitEntry(accepted->descriptor, ACCEPTED_START_DATE, "start_date", DATEOID, -1, 0);
	TupleDescInitEntryCollation(accepted->descriptor, ACCEPTED_PLAN_TYPE, C_COLLATION_OID);
	accepted->rows = tuplestore_begin_heap(true, false, work_mem);
	accepted->n = 0;

	rejected->name = "rejected";
	rejected->descriptor = CreateTemplateTupleDesc(REJECTED_NCOLUMNS);
	TupleDescInitEntry(rejected->descriptor, REJECTED_NHS_NUMBER, "nhs_number", number_type, -1, 0);
	TupleDescInitEntry(rejected->descriptor, REJECTED_LOCAL_REFERENCE, "local_reference", TEXTOID, -1, 0);
	TupleDescInitEntry(rejected->descriptor, REJECTED_RUNS, "runs", BOOLOID, -1, 0);
	rejected->rows = tuplestore_begin_heap(true, false, work_mem);
	rejected->n = 0;
}

static void
take_running(SPITupleTable *rows, void *context)
{
	Running    *running = context;
	bool		isnull;

	running->plans = DatumGetInt64(SPI_getbinval(rows->vals[0], rows->tupdesc, 1, &isnull));
	running->absent = DatumGetInt64(SPI_getbinval(rows->vals[0], rows->tupdesc, 2, &isnull));
	running->unclear = DatumGetInt64(SPI_getbinval(rows->vals[0], rows->tupdesc, 3, &isnull));
}

/*
 * What would a full file end?
 */
static void
find_running(const Loading *loading, Running *running)
{
	static const Oid types[] = {TEXTOID, DATEOID, TIMESTAMPTZOID};
	char	   *query = psprintf("WITH open AS MATERIALIZED (SELECT p.nhs_number, p.local_reference, p.submission_id"
								 " FROM cpis.plan p WHERE " RUNNING " AND " WITHOUT_RECORD ")"
								 " SELECT (SELECT count(*) FROM cpis.plan p WHERE " RUNNING "),"
								 " (SELECT count(*) FROM open p WHERE " ABSENT "),"
								 " (SELECT count(*) FROM rejected r WHERE r.runs"
								 " AND NOT EXISTS (SELECT FROM open p WHERE p.nhs_number %1$s r.nhs_number)"
								 " AND NOT EXISTS (SELECT FROM open p WHERE p.local_reference = r.local_reference))",
								 loading->equals);
	Datum		values[3];
	int			nest_level = OwnPlannerWithout("enable_nestloop", NULL);

	values[0] = CStringGetTextDatum(loading->submission->local_authority);
	values[1] = DateADTGetDatum(loading->today);
	values[2] = TimestampTzGetDatum(loading->submission->opened_at);
	(void) OwnReadEach(CpisRelationOid(CPIS_PLAN), loading->given, GIVEN_COUNT, query,
					   lengthof(types), types, values, take_running, running);
	AtEOXact_GUC(true, nest_level);
}

/*
 * End what the full file does not have; answers how many plans that were.  40001 where they
 * are more than there were when the file was looked at.
 */
static int64
end_absent(const Loading *loading, int64 expected)
{
	static const Oid types[] = {TEXTOID, DATEOID, TIMESTAMPTZOID, INT8OID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_PLAN), .given = loading->given, .ngiven = GIVEN_COUNT};
	Datum		values[4];
	int			nest_level = OwnPlannerWithout("enable_nestloop", NULL);
	int64		ended;

	values[0] = CStringGetTextDatum(loading->submission->local_authority);
	values[1] = DateADTGetDatum(loading->today);
	values[2] = TimestampTzGetDatum(loading->submission->opened_at);
	values[3] = Int64GetDatum(loading->submission->submission_id);
	ended = OwnChangeExecute(&change,
							 psprintf("UPDATE cpis.plan p SET end_date = GREATEST(p.start_date, $2), submission_id = $4"
									  " WHERE " RUNNING " AND " WITHOUT_RECORD " AND " ABSENT, loading->equals),
							 lengthof(types), types, values, NULL, NULL);
	AtEOXact_GUC(true, nest_level);
	if (ended > expected)
		LoadRaiseChanged();
	return ended;
}

/*
 * Refuse the file as a whole.
 */
static void
refuse(Loading *loading, Submission *submission, const char *file_code, const char *detail_code)
{
	loading->refused = true;
	strlcpy(submission->file_code, file_code, sizeof(submission->file_code));
	strlcpy(submission->detail_code, detail_code, sizeof(submission->detail_code));
}

/*
 * Is the file to be refused as a whole?  It must have so many records, where they were
 * counted.  Answers how many plans it may end, if it is full, because it does not have
 * them.
 */
static int64
check_file(Loading *loading, Submission *submission, int records)
{
	Running		running = {0};

	if (submission->client_version < cpis_minimum_client_version)
		refuse(loading, submission, FILE_CLIENT_TOO_OLD, "client_version");
	else if (records == RECORDS_ABANDONED)
		refuse(loading, submission, FILE_ERROR, "abandoned");
	else if (records != RECORDS_NOT_COUNTED && loading->given[GIVEN_SENT].n != records)
		refuse(loading, submission, FILE_ERROR, "record_count");
	else if (loading->given[GIVEN_SENT].n == 0)
		refuse(loading, submission, FILE_ERROR, "no_records");
	else if (strcmp(submission->kind, SUBMISSION_END) != 0 &&
			 !DemographicsAsk(&loading->given[GIVEN_SENT], loading->number_type, &loading->given[GIVEN_KNOWN]))
		refuse(loading, submission, FILE_UNAVAILABLE, "demographics_unavailable");
	if (loading->refused || strcmp(submission->kind, SUBMISSION_FULL) != 0)
		return 0;

	LoadDecided(loading);
	find_running(loading, &running);
	if (running.unclear > 0)
		strlcpy(submission->detail_code, "nothing_ended", sizeof(submission->detail_code));
	else if (running.absent > running.plans * cpis_full_submission_share)
		refuse(loading, submission, FILE_ERROR, "would_end_too_many");
	return running.unclear > 0 || loading->refused ? 0 : running.absent;
}

/*
 * The code of a file that was not refused.
 */
static const char *
code_of(const Submission *submission)
{
	if (submission->rejected == 0)
		return FILE_LOADED;
	return submission->accepted == 0 ? FILE_NOT_LOADED : FILE_LOADED_IN_PART;
}

static void
take_commitments(SPITupleTable *rows, void *context)
{
	MerkleEdge *edge = context;

	for (uint64 i = 0; i < rows->numvals; i++)
	{
		bool		isnull;
		bytea	   *commitment = DatumGetByteaPP(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		MerkleHash	leaf;

		if (!merkle_leaf(LedgerSha256(), VARDATA_ANY(commitment), VARSIZE_ANY_EXHDR(commitment), &leaf) ||
			!merkle_edge_append(edge, LedgerSha256(), &leaf, NULL, NULL))
			elog(ERROR, "could not compute SHA-256 of records");
	}
}

/*
 * The root over the commitments to the records and their answers, in hexadecimal
 * digits, or "none".
 */
static const char *
root_of(const Submission *submission)
{
	static const Oid types[] = {INT8OID};
	Datum		value = Int64GetDatum(submission->submission_id);
	MerkleEdge *edge = palloc0(sizeof(MerkleEdge));
	char	   *text = palloc0(2 * SHA256_LENGTH + 1);
	MerkleHash	root;

	if (OwnReadEach(CpisRelationOid(CPIS_SUBMISSION_RECORD), NULL, 0,
					"SELECT cpis.submission_record_commitment(r) FROM cpis.submission_record r"
					" WHERE r.submission_id = $1 ORDER BY r.line_no",
					lengthof(types), types, &value, take_commitments, edge) == 0)
		return "none";
	if (!merkle_edge_root(edge, LedgerSha256(), &root))
		elog(ERROR, "could not compute SHA-256 of records");
	(void) hex_encode((char *) root.bytes, SHA256_LENGTH, text);
	pfree(edge);
	return text;
}

static void
take_person(SPITupleTable *rows, void *context)
{
	AuditEvent *event = context;
	bool		isnull;
	Datum		value = SPI_getbinval(rows->vals[0], rows->tupdesc, 1, &isnull);

	event->has_nhs_number = !isnull;
	event->nhs_number = DatumGetInt32(value);
	value = SPI_getbinval(rows->vals[0], rows->tupdesc, 2, &isnull);
	if (!isnull)
		event->plan_ids[event->nplans++] = DatumGetInt64(value);
}

/*
 * Put into the event of one record whose it is, and which plan.
 */
static void
note_person(const Loading *loading, AuditEvent *event)
{
	static const Oid types[] = {TEXTOID};
	Datum		value = CStringGetTextDatum(loading->submission->local_authority);

	if (strcmp(loading->submission->kind, SUBMISSION_PUT) == 0 || strcmp(loading->submission->kind, SUBMISSION_END) == 0)
		(void) OwnReadEach(CpisRelationOid(CPIS_PLAN), loading->given, 1,
						   psprintf("SELECT s.nhs_number, p.plan_id FROM sent s LEFT JOIN cpis.plan p ON p.local_authority = $1"
									" AND p.nhs_number %s s.nhs_number AND p.plan_type = s.plan_type AND p.start_date = s.start_date",
									loading->equals),
						   lengthof(types), types, &value, take_person, event);
}

/*
 * Record what was rejected, by code.
 */
static void
record_rejection(const Loading *loading)
{
	const Submission *submission = loading->submission;
	StringInfoData words;
	AuditEvent	event;

	initStringInfo(&words);
	for (const char *code = "1234567"; *code != '\0'; code++)
	{
		int64		n = 0;

		for (int rule = RULE_NONE + 1; rule < RULE_COUNT; rule++)
		{
			if (record_rule_code(rule)[4] == *code)
				n += loading->rules[rule];
		}
		if (n > 0)
			appendStringInfo(&words, ", CPR0%c: " INT64_FORMAT, *code, n);
	}
	AuditEventInit(&event, REJECTION_ACTION);
	strlcpy(event.outcome, "refused", sizeof(event.outcome));
	note_person(loading, &event);
	snprintf(event.detail, sizeof(event.detail), "submission " INT64_FORMAT " of %s, rejected: %d%s",
			 submission->submission_id, submission->local_authority, submission->rejected, words.data);
	RecordChange(&event);
}

/*
 * Record the answer.
 */
static void
record_answer(const Loading *loading, AuditEvent *event)
{
	const Submission *submission = loading->submission;
	const char *root = root_of(submission);

	if (submission->rejected > 0)
		record_rejection(loading);
	AuditEventInit(event, SUBMISSION_ACTION);
	note_person(loading, event);
	snprintf(event->detail, sizeof(event->detail),
			 "submission " INT64_FORMAT " of %s, %s: %s%s%s, accepted: %d, rejected: %d, ended: %d, added: " INT64_FORMAT
			 ", changed: " INT64_FORMAT ", shortened: " INT64_FORMAT ", unchanged: " INT64_FORMAT ", root: %s",
			 submission->submission_id, submission->local_authority, submission->kind, submission->file_code,
			 submission->detail_code[0] == '\0' ? "" : " ", submission->detail_code,
			 submission->accepted, submission->rejected, submission->ended, loading->added,
			 loading->changed, loading->shortened, loading->unchanged, root);
	RecordChange(event);
}

/*
 * Write the answer into the row of the submission.
 */
static void
store_answer(const Submission *submission, const AuditEvent *event)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT4OID, INT4OID, TEXTOID, INT8OID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_SUBMISSION)};
	Datum		values[8];
	char		nulls[8];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(submission->submission_id);
	values[1] = TimestampTzGetDatum(event->recorded_at);
	values[2] = CStringGetTextDatum(submission->file_code);
	values[3] = Int32GetDatum(submission->accepted);
	values[4] = Int32GetDatum(submission->rejected);
	values[5] = Int32GetDatum(submission->ended);
	values[6] = CStringGetTextDatum(submission->detail_code);
	nulls[6] = submission->detail_code[0] == '\0' ? 'n' : ' ';
	values[7] = Int64GetDatum(event->event_id);
	OwnChangeOne(&change,
				 "UPDATE cpis.submission SET answered_at = $2, file_code = $3, accepted = $4, rejected = $5, ended = $6,"
				 " detail_code = $7, event_id = $8 WHERE submission_id = $1",
				 lengthof(types), types, values, nulls, NULL);
}

/*
 * Change the register and answer the records; what meets a constraint is told without the
 * record.
 */
static void
load(Loading *loading, Submission *submission, int64 absent)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		LoadRecords(loading);
		if (absent > 0)
			submission->ended = end_absent(loading, absent);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		OwnChangeRethrow(error, "the records of the submission could not be loaded");
	}
	PG_END_TRY();
}

/*
 * Apply a submission that has not been answered, and fill in the answer.  It must have so many
 * records, where they were counted.  "only", if not NULL, gets the rule that its one
 * record breaks.
 */
void
SubmissionApply(Submission *submission, int records, RecordRule *only)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "cpis submission", ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(context);
	Loading    *loading = palloc0(sizeof(Loading));
	AuditEvent	event;
	int64		absent;

	SubmissionGuardForget();
	(void) lock_authority(submission->local_authority, true);
	require_present();
	loading->submission = submission;
	loading->today = DayToday();
	loading->number_type = get_atttype(CpisRelationOid(CPIS_PLAN), PLAN_NHS_NUMBER);
	loading->equals = RegisterNumberEquality(loading->number_type);
	SentRead(submission->submission_id, loading->number_type, loading->today, &loading->given[GIVEN_SENT]);
	begin_known(loading->number_type, &loading->given[GIVEN_KNOWN]);
	begin_decided(loading->number_type, &loading->given[GIVEN_ACCEPTED], &loading->given[GIVEN_REJECTED]);

	submission->accepted = submission->rejected = submission->ended = 0;
	submission->detail_code[0] = '\0';
	absent = check_file(loading, submission, records);
	load(loading, submission, absent);
	submission->accepted = loading->rules[RULE_NONE];
	submission->rejected = loading->given[GIVEN_SENT].n - loading->rules[RULE_NONE];
	if (!loading->refused)
		strlcpy(submission->file_code, code_of(submission), sizeof(submission->file_code));
	record_answer(loading, &event);
	store_answer(submission, &event);
	submission->answered = true;
	if (only != NULL)
		*only = loading->last;

	for (int i = 0; i < GIVEN_COUNT; i++)
		tuplestore_end(loading->given[i].rows);
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
}
