/*-------------------------------------------------------------------------
 *
 * history.c
 *	  cpis_access_history(): who else has looked this child up.
 *
 * The history belongs to a look-up: it is open to the role that made that
 * look-up, for an hour, while it may speak for the organisation, and needs no event of its own.  A look-up that found
 * nothing has no history: that somebody once looked, and found a plan, would
 * tell what is held no more.
 *
 * Shown are accesses that were notified, the 25 newest.  Of one worker's
 * accesses in one organisation only the first within 24 hours is shown; the
 * look-up that asks is always shown, unless it was silent.  Everything is read
 * under the newest snapshot, newest first, and no further back than it takes to
 * know which 25 these are: whether an access is shown depends on earlier ones
 * of the same worker, back to the last pause of 24 hours.  (Where the clock was
 * set back, what was not read is taken to be earlier all the same.)  That spares
 * rows; the index of each month is opened in any case.
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
#include "miscadmin.h"
#include "month.h"
#include "reference.h"
#include "register.h"
#include "relation.h"
#include "request.h"
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

/* How many accesses to read before looking whether they suffice. */
#define FIRST_READ 64

/* Is an access shown?  What was read may not suffice to tell. */
typedef enum Showing
{
	SHOWN,
	HIDDEN,
	UNKNOWN
} Showing;

/* What the history needs of an event. */
typedef struct Access
{
	Showing		showing;
	int64		event_id;
	TimestampTz accessed_at;
	char	   *worker_name;
	char	   *worker_id;		/* or NULL */
	char	   *job_role;		/* or NULL */
	char	   *organisation;
	char	   *care_setting;
	bool		by_device;
	char	   *system_id;		/* which, where it was a device */
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

/* What is known of a worker from the accesses judged so far, oldest first. */
typedef struct Worker
{
	char		name[ORGANISATION_LENGTH + WORKER_NAME_LENGTH + 4]; /* key */
	bool		known;			/* is last_shown the last that is shown? */
	TimestampTz last;			/* access */
	TimestampTz last_shown;
} Worker;

/* The accesses to a person in one partition, newest first. */
typedef struct Source
{
	Relation	table;
	Relation	index;
	SysScanDesc scan;
	HeapTuple	tuple;			/* the next, or NULL */
	int64		event_id;		/* of it */
} Source;

typedef struct Sources
{
	int			n;
	Source	   *source;
} Sources;

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
 * May the role in force still speak for the organisation of this row?
 */
static bool
is_in_scope(HeapTuple tuple, TupleDesc descriptor, const Reading *reading)
{
	char	   *organisation = CpisTextAttribute(tuple, descriptor, AUDIT_ORGANISATION);
	ScopeRights rights;

	return organisation != NULL && EntitledToSpeakFor(organisation, reading, &rights);
}

/*
 * Judge a row of the look-up that asks.
 */
static void
judge_asking(HeapTuple tuple, TupleDesc descriptor, const Reading *reading,
			 Asking *asking)
{
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
		GetCurrentTimestamp() - recorded_at <= HISTORY_OPEN_FOR &&
		is_in_scope(tuple, descriptor, reading);
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
	ListCell   *cell;

	foreach(cell, trail->partitions)
	{
		Relation	table = table_open(lfirst_oid(cell), NoLock);
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, AUDIT_EVENT_ID, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(event_id));
		scan = systable_beginscan(table, MonthEventIdIndex(lfirst_oid(cell)),
								  true, trail->reading.snapshot, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
			judge_asking(tuple, RelationGetDescr(table), &trail->reading, &asking);
		systable_endscan(scan);
		table_close(table, NoLock);
	}

	if (asking.rows != 1 || !asking.may_see)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for access history"),
				 errdetail("The history is open to the login and role that made the look-up, for an hour, while it may speak for the organisation.")));
	return asking;
}

/*
 * Advance to the next row.
 */
static void
advance(Source *source)
{
	bool		isnull;

	source->tuple = systable_getnext_ordered(source->scan, BackwardScanDirection);
	if (HeapTupleIsValid(source->tuple))
		source->event_id = DatumGetInt64(attribute(source->tuple,
												   RelationGetDescr(source->table),
												   AUDIT_EVENT_ID, &isnull));
}

/*
 * Begin to read what the trail has on a person.
 */
static Sources
open_sources(const Trail *trail, int32 nhs_number)
{
	Sources		sources = {0};
	ListCell   *cell;

	sources.source = palloc(list_length(trail->partitions) * sizeof(Source));
	foreach(cell, trail->partitions)
	{
		Source	   *source = &sources.source[sources.n++];
		ScanKeyData key;

		ScanKeyInit(&key, AUDIT_NHS_NUMBER, BTEqualStrategyNumber, F_INT4EQ,
					Int32GetDatum(nhs_number));
		source->table = table_open(lfirst_oid(cell), NoLock);
		source->index = index_open(MonthNhsNumberIndex(lfirst_oid(cell)),
								   AccessShareLock);
		source->scan = systable_beginscan_ordered(source->table, source->index,
												  trail->reading.snapshot,
												  1, &key);
		advance(source);
	}
	return sources;
}

static void
close_sources(Sources *sources)
{
	for (int i = 0; i < sources->n; i++)
	{
		Source	   *source = &sources->source[i];

		systable_endscan_ordered(source->scan);
		index_close(source->index, AccessShareLock);
		table_close(source->table, NoLock);
	}
}

/*
 * The source whose next row is the newest of all, or NULL at the end.
 */
static Source *
newest_source(Sources *sources)
{
	Source	   *newest = NULL;

	for (int i = 0; i < sources->n; i++)
	{
		Source	   *source = &sources->source[i];

		if (source->tuple != NULL &&
			(newest == NULL || source->event_id > newest->event_id))
			newest = source;
	}
	return newest;
}

/*
 * The access in the next row of a source, or NULL where it is not for the
 * shared history.
 */
static Access *
make_access(const Source *source)
{
	HeapTuple	tuple = source->tuple;
	TupleDesc	descriptor = RelationGetDescr(source->table);
	Access	   *access;
	bool		isnull;
	bool		notify;

	notify = DatumGetBool(attribute(tuple, descriptor, AUDIT_NOTIFY, &isnull));
	if (isnull || !notify ||
		!text_is(tuple, descriptor, AUDIT_ACTION, "lookup") ||
		!text_is(tuple, descriptor, AUDIT_OUTCOME, "found"))
		return NULL;

	access = palloc(sizeof(Access));
	access->event_id = source->event_id;
	access->accessed_at = DatumGetTimestampTz(attribute(tuple, descriptor,
														AUDIT_RECORDED_AT, &isnull));
	access->worker_name = CpisTextAttribute(tuple, descriptor, AUDIT_WORKER_NAME);
	access->worker_id = CpisTextAttribute(tuple, descriptor, AUDIT_WORKER_ID);
	access->job_role = CpisTextAttribute(tuple, descriptor, AUDIT_JOB_ROLE);
	access->organisation = CpisTextAttribute(tuple, descriptor, AUDIT_ORGANISATION);
	access->care_setting = CpisTextAttribute(tuple, descriptor, AUDIT_CARE_SETTING);
	access->by_device = text_is(tuple, descriptor, AUDIT_DETAIL, DEVICE_DETAIL);
	access->system_id = CpisTextAttribute(tuple, descriptor, AUDIT_SYSTEM_ID);
	return access;
}

/*
 * Read on until there are so many accesses, newest first; false at the end of
 * the trail.
 */
static bool
read_accesses(Sources *sources, List **accesses, int wanted)
{
	while (list_length(*accesses) < wanted)
	{
		Source	   *source = newest_source(sources);
		Access	   *access;

		if (source == NULL)
			return false;
		CHECK_FOR_INTERRUPTS();
		access = make_access(source);
		if (access != NULL)
			*accesses = lappend(*accesses, access);
		advance(source);
	}
	return true;
}

static HTAB *
make_workers(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(((Worker *) NULL)->name);
	control.entrysize = sizeof(Worker);
	control.hcxt = CurrentMemoryContext;
	return hash_create("cpis access history", 64, &control,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/*
 * Judge whether an access repeats one that is shown, given what is known of its
 * worker from the earlier ones.  Where there is none, one may not have been
 * read; it does not matter if it is 24 hours before the oldest that was.
 */
static void
judge_access(Access *access, HTAB *workers, TimestampTz read_from, bool all_read)
{
	char		name[sizeof(((Worker *) NULL)->name)];
	char		kind;
	const char *who;
	Worker	   *worker;
	bool		found;
	TimestampTz before;

	/* An identifier and a name that are spelt alike are not the same, nor is a device whom it acts for. */
	if (access->by_device)
	{
		kind = 'd';
		who = access->system_id;
	}
	else if (access->worker_id != NULL)
	{
		kind = 'i';
		who = access->worker_id;
	}
	else
	{
		kind = 'n';
		who = access->worker_name;
	}
	snprintf(name, sizeof(name), "%s %c %s", access->organisation, kind, who);
	worker = hash_search(workers, name, HASH_ENTER, &found);
	if (!found)
		worker->known = false;

	before = found ? worker->last : read_from;
	if (worker->known)
		access->showing =
			(access->accessed_at - worker->last_shown >= REPEAT_HIDDEN_FOR) ?
			SHOWN : HIDDEN;
	else if ((!found && all_read) ||
			 access->accessed_at - before >= REPEAT_HIDDEN_FOR)
	{
		worker->known = true;
		access->showing = SHOWN;
	}
	else
		access->showing = UNKNOWN;

	worker->last = access->accessed_at;
	if (access->showing == SHOWN)
		worker->last_shown = access->accessed_at;
}

/*
 * Judge the accesses, which are newest first; true where they suffice to know
 * which are shown: 25 and the one that asks, or all there are.
 */
static bool
judge_accesses(List *accesses, int64 asking_event_id, bool all_read)
{
	Access	   *oldest = (accesses == NIL) ? NULL : llast(accesses);
	HTAB	   *workers = make_workers();
	int			shown = 0;

	for (int i = list_length(accesses) - 1; i >= 0; i--)
	{
		Access	   *access = list_nth(accesses, i);

		judge_access(access, workers, oldest->accessed_at, all_read);
		if (access->event_id == asking_event_id)
			access->showing = SHOWN;
	}
	hash_destroy(workers);
	if (all_read)
		return true;

	for (int i = 0; i < list_length(accesses) && shown < ACCESSES_SHOWN; i++)
	{
		Access	   *access = list_nth(accesses, i);

		if (access->showing == UNKNOWN)
			return false;
		if (access->showing == SHOWN)
			shown++;
	}
	return shown == ACCESSES_SHOWN && oldest->event_id <= asking_event_id;
}

/*
 * The accesses to a person, newest first, as far back as is needed, each judged.
 */
static List *
judged_accesses(const Trail *trail, int32 nhs_number, int64 asking_event_id)
{
	Sources		sources = open_sources(trail, nhs_number);
	List	   *accesses = NIL;
	int			wanted = FIRST_READ;
	bool		all_read;

	do
	{
		all_read = !read_accesses(&sources, &accesses, wanted);
		wanted *= 2;
	} while (!judge_accesses(accesses, asking_event_id, all_read));
	close_sources(&sources);

	return accesses;
}

static void
put_access(ReturnSetInfo *rsinfo, const Access *access, const Reading *reading)
{
	char	   *name = RegisterOrganisationName(access->organisation, reading);
	Datum		values[7] = {0};
	bool		isnull[7] = {false};

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
	values[6] = BoolGetDatum(access->by_device);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
}

/*
 * Put the 25 newest that are shown, newest first; the one that asks takes a
 * place even if it is older.
 */
static void
put_accesses(ReturnSetInfo *rsinfo, List *accesses, int64 asking_event_id,
			 const Reading *reading)
{
	int			places = ACCESSES_SHOWN;
	int			shown = 0;
	ListCell   *cell;

	foreach(cell, accesses)
	{
		Access	   *access = lfirst(cell);

		if (access->event_id == asking_event_id && shown >= ACCESSES_SHOWN)
			places--;
		if (access->showing == SHOWN)
			shown++;
	}

	shown = 0;
	foreach(cell, accesses)
	{
		Access	   *access = lfirst(cell);

		if (access->showing != SHOWN)
			continue;
		if (shown < places || access->event_id == asking_event_id)
			put_access(rsinfo, access, reading);
		shown++;
	}
}

/*
 * cpis_access_history(event_id) -> setof (accessed_at, worker_name, job_role,
 * organisation, organisation_name, care_setting, device), newest first.
 */
Datum
cpis_access_history(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		event_id;
	Trail		trail;
	Asking		asking;

	RequestCheckCallable("cpis_access_history()");
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
				 errhint("The role must be a member of cpis_clinical, and none of cpis_steward.")));

	trail.partitions = MonthPartitions();
	trail.reading = ReadingBegin();
	asking = find_asking(&trail, event_id);
	if (asking.found)
		put_accesses(rsinfo,
					 judged_accesses(&trail, asking.nhs_number, event_id),
					 event_id, &trail.reading);
	ReadingEnd(&trail.reading);

	return (Datum) 0;
}
