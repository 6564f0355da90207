/*-------------------------------------------------------------------------
 *
 * history.c
 *	  cpis_access_history(): who else has looked this child up.
 *
 * The history belongs to a look-up: it is open to the role that made that
 * look-up, for an hour, and needs no event of its own.  A look-up that found
 * nothing has no history: that somebody once looked, and found a plan, would
 * tell what is held no more.
 *
 * Shown are accesses that were notified, the 25 newest.  Of one worker's
 * accesses in one organisation only the first within 24 hours is shown; the
 * look-up that asks is always shown, unless it was silent.  Everything is read
 * under the newest snapshot.
 *
 * Reads only; errors say the same whether an event does not exist, is
 * somebody else's, or is too old.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "audit_event.h"
#include "entitlement.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lookup.h"
#include "miscadmin.h"
#include "month.h"
#include "reference.h"
#include "register.h"
#include "relation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(cpis_access_history);

#define ACCESSES_SHOWN 25
#define HISTORY_OPEN_FOR (USECS_PER_HOUR)
#define REPEAT_HIDDEN_FOR (USECS_PER_DAY)

/* What the history needs of an event. */
typedef struct Access
{
	int64		event_id;
	TimestampTz accessed_at;
	char	   *worker_name;
	char	   *worker_id;		/* or NULL */
	char	   *job_role;		/* or NULL */
	char	   *organisation;
	char	   *care_setting;
} Access;

/* What is read, and how. */
typedef struct Trail
{
	List	   *partitions;
	Reading		reading;
} Trail;

/* The look-up that asks. */
typedef struct Asking
{
	int			rows;			/* found with its number; there should be one */
	bool		may_see;		/* made by these roles within the hour? */
	bool		found;
	int32		nhs_number;
} Asking;

/* When a worker's last shown access was. */
typedef struct LastShown
{
	char		worker[ORGANISATION_LENGTH + WORKER_NAME_LENGTH + 4];	/* key */
	TimestampTz at;
} LastShown;

static Datum
attribute(HeapTuple tuple, TupleDesc descriptor, AuditColumn column,
		  bool *isnull)
{
	return heap_getattr(tuple, column, descriptor, isnull);
}

static bool
text_is(HeapTuple tuple, TupleDesc descriptor, AuditColumn column,
		const char *value)
{
	char	   *text = CpisTextAttribute(tuple, descriptor, column);

	return text != NULL && strcmp(text, value) == 0;
}

/*
 * Call "each" for every row of the trail whose column equals the key, found by
 * an index that leads with that column.
 */
static void
for_each_row(const Trail *trail, AuditColumn column, Oid (*index_of) (Oid),
			 RegProcedure equal, Datum value,
			 void (*each) (HeapTuple, TupleDesc, void *), void *argument)
{
	ListCell   *cell;

	foreach(cell, trail->partitions)
	{
		Relation	table = table_open(lfirst_oid(cell), NoLock);
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, column, BTEqualStrategyNumber, equal, value);
		scan = systable_beginscan(table, index_of(RelationGetRelid(table)),
								  true, trail->reading.snapshot, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			each(tuple, RelationGetDescr(table), argument);
			CHECK_FOR_INTERRUPTS();
		}
		systable_endscan(scan);
		table_close(table, NoLock);
	}
}

/*
 * Judge a row of the look-up that asks.
 */
static void
judge(HeapTuple tuple, TupleDesc descriptor, void *argument)
{
	Asking	   *asking = argument;
	TimestampTz recorded_at;
	bool		isnull;

	recorded_at = DatumGetTimestampTz(attribute(tuple, descriptor,
												AUDIT_RECORDED_AT, &isnull));
	asking->rows++;
	asking->may_see =
		text_is(tuple, descriptor, AUDIT_ACTION, "lookup") &&
		text_is(tuple, descriptor, AUDIT_EFFECTIVE_ROLE,
				GetUserNameFromId(GetUserId(), false)) &&
		text_is(tuple, descriptor, AUDIT_SESSION_ROLE,
				GetUserNameFromId(GetAuthenticatedUserId(), false)) &&
		GetCurrentTimestamp() - recorded_at <= HISTORY_OPEN_FOR;
	asking->found = text_is(tuple, descriptor, AUDIT_OUTCOME, "found");
	asking->nhs_number = DatumGetInt32(attribute(tuple, descriptor,
												 AUDIT_NHS_NUMBER, &isnull));
}

/*
 * Find the look-up that asks.  Several rows with one number are a trail that
 * somebody has tampered with; none of them opens it.
 */
static Asking
find_asking(const Trail *trail, int64 event_id)
{
	Asking		asking = {0};

	for_each_row(trail, AUDIT_EVENT_ID, MonthEventIdIndex, F_INT8EQ,
				 Int64GetDatum(event_id), judge, &asking);
	if (asking.rows != 1 || !asking.may_see)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for access history"),
				 errdetail("The history is open to the role that made the look-up, for an hour.")));
	return asking;
}

/*
 * Add the access in a row to the list, if it is for the shared history.
 */
static void
add_access(HeapTuple tuple, TupleDesc descriptor, void *argument)
{
	List	  **accesses = argument;
	Access	   *access;
	bool		isnull;
	bool		notify;

	notify = DatumGetBool(attribute(tuple, descriptor, AUDIT_NOTIFY, &isnull));
	if (isnull || !notify ||
		!text_is(tuple, descriptor, AUDIT_ACTION, "lookup") ||
		!text_is(tuple, descriptor, AUDIT_OUTCOME, "found"))
		return;

	access = palloc(sizeof(Access));
	access->event_id = DatumGetInt64(attribute(tuple, descriptor,
											   AUDIT_EVENT_ID, &isnull));
	access->accessed_at = DatumGetTimestampTz(attribute(tuple, descriptor,
														AUDIT_RECORDED_AT, &isnull));
	access->worker_name = CpisTextAttribute(tuple, descriptor, AUDIT_WORKER_NAME);
	access->worker_id = CpisTextAttribute(tuple, descriptor, AUDIT_WORKER_ID);
	access->job_role = CpisTextAttribute(tuple, descriptor, AUDIT_JOB_ROLE);
	access->organisation = CpisTextAttribute(tuple, descriptor, AUDIT_ORGANISATION);
	access->care_setting = CpisTextAttribute(tuple, descriptor, AUDIT_CARE_SETTING);
	*accesses = lappend(*accesses, access);
}

static int
compare_accesses(const ListCell *a, const ListCell *b)
{
	const Access *one = lfirst(a);
	const Access *other = lfirst(b);

	return one->event_id < other->event_id ? -1 : 1;
}

/*
 * All notified accesses to a person, oldest first.
 */
static List *
read_accesses(const Trail *trail, int32 nhs_number)
{
	List	   *accesses = NIL;

	for_each_row(trail, AUDIT_NHS_NUMBER, MonthNhsNumberIndex, F_INT4EQ,
				 Int32GetDatum(nhs_number), add_access, &accesses);
	list_sort(accesses, compare_accesses);
	return accesses;
}

/*
 * Leave out what repeats: of one worker's accesses within 24 hours of one that
 * is shown, none but the one that asks.
 */
static List *
without_repeats(List *accesses, int64 asking_event_id)
{
	HASHCTL		control = {0};
	HTAB	   *workers;
	List	   *shown = NIL;
	ListCell   *cell;

	control.keysize = sizeof(((LastShown *) NULL)->worker);
	control.entrysize = sizeof(LastShown);
	control.hcxt = CurrentMemoryContext;
	workers = hash_create("cpis access history", 64, &control,
						  HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);

	foreach(cell, accesses)
	{
		Access	   *access = lfirst(cell);
		char		worker[sizeof(((LastShown *) NULL)->worker)];
		LastShown  *last;
		bool		found;

		/* An identifier and a name that are spelt alike are not the same. */
		snprintf(worker, sizeof(worker), "%s %c %s", access->organisation,
				 access->worker_id != NULL ? 'i' : 'n',
				 access->worker_id != NULL ? access->worker_id : access->worker_name);
		last = hash_search(workers, worker, HASH_ENTER, &found);
		if (!found || access->accessed_at - last->at >= REPEAT_HIDDEN_FOR)
		{
			last->at = access->accessed_at;
			shown = lappend(shown, access);
		}
		else if (access->event_id == asking_event_id)
			shown = lappend(shown, access);
	}

	hash_destroy(workers);
	return shown;
}

/*
 * Which of the accesses to leave out so that 25 remain: those before this
 * position in the list, except the one that asks, which takes a place.
 */
static int
first_shown(List *accesses, int64 asking_event_id)
{
	int			first = Max(list_length(accesses) - ACCESSES_SHOWN, 0);

	for (int i = 0; i < first; i++)
	{
		Access	   *access = list_nth(accesses, i);

		if (access->event_id == asking_event_id)
			return first + 1;
	}
	return first;
}

static void
put_access(ReturnSetInfo *rsinfo, const Access *access, const Reading *reading)
{
	char	   *name = RegisterOrganisationName(access->organisation, reading);
	Datum		values[6] = {0};
	bool		isnull[6] = {false};

	values[0] = TimestampTzGetDatum(access->accessed_at);
	values[1] = CStringGetTextDatum(access->worker_name);
	isnull[2] = (access->job_role == NULL);
	if (!isnull[2])
		values[2] = CStringGetTextDatum(access->job_role);
	values[3] = CStringGetTextDatum(access->organisation);
	isnull[4] = (name == NULL);
	if (!isnull[4])
		values[4] = CStringGetTextDatum(name);
	values[5] = CStringGetTextDatum(access->care_setting);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
}

/*
 * cpis_access_history(event_id) -> setof (accessed_at, worker_name, job_role,
 * organisation, organisation_name, care_setting), newest first.
 */
Datum
cpis_access_history(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		event_id;
	List	   *accesses = NIL;
	Trail		trail;
	Asking		asking;
	int			first;

	LookupCheckCallable("cpis_access_history()");
	InitMaterializedSRF(fcinfo, 0);

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "event_id")));
	event_id = PG_GETARG_INT64(0);
	if (!EntitledToLookUp())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to look children up"),
				 errhint("The role must be a member of cpis_clinical.")));

	trail.partitions = MonthPartitions();
	trail.reading = ReadingBegin();
	asking = find_asking(&trail, event_id);
	if (asking.found)
		accesses = without_repeats(read_accesses(&trail, asking.nhs_number),
								   event_id);

	first = first_shown(accesses, event_id);
	for (int i = list_length(accesses) - 1; i >= 0; i--)
	{
		Access	   *access = list_nth(accesses, i);

		if (i >= first || access->event_id == event_id)
			put_access(rsinfo, access, &trail.reading);
	}
	ReadingEnd(&trail.reading);

	return (Datum) 0;
}
