/*-------------------------------------------------------------------------
 *
 * removed_month.c
 *	  Months of the trail whose time has run.
 *
 * Where an administrator has set a term for the events of the trail, the purge
 * drops whole months, the oldest first, whose events are all older than that, and
 * which nothing keeps: cpis.trail_months() in sql/retention.sql says what does.
 * Their tiles stay, so that everything else can still be proved; how many events of
 * which sort there were goes to cpis.event_count, and events that others lean on to
 * cpis.kept_event.
 *
 * What is dropped is recorded first, in an event of action "removal"; the row in
 * cpis.removed_month names it.  Verification begins after the last event removed,
 * if the newest row agrees with its event, which is always younger than what it
 * removed.
 *
 * Dropping a partition needs AccessExclusiveLock on the parent, which a pg_dump may
 * keep for hours, and look-ups would queue up behind who waits for it.  So the
 * purge waits a tenth of a second at most, having tried before it recorded anything,
 * and leaves the month to the next purge.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "audit_event.h"
#include "audit_row.h"
#include "catalog/pg_type.h"
#include "event_scan.h"
#include "fmgr.h"
#include "funcapi.h"
#include "ledger.h"
#include "month.h"
#include "own_change.h"
#include "relation.h"
#include "removed_month.h"
#include "request.h"
#include "retention.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "verify.h"

PG_FUNCTION_INFO_V1(cpis_month_events);

/* How long to wait for the lock, in milliseconds. */
#define LOCK_PATIENCE_MS "100"

/* Columns of cpis.removed_month. */
#define REMOVED_MONTH 1
#define REMOVED_FIRST_EVENT 2
#define REMOVED_LAST_EVENT 3
#define REMOVED_EVENT_ID 7

/* The newest row. */
typedef struct NewestRow
{
	int64		rows;
	int64		last_event;		/* -1: there is none */
	int64		events;			/* of all rows together */
	int64		event_id;
	char	   *month;
} NewestRow;

/*
 * What is recorded when the events up to this one go with a month.
 */
static char *
announcement(const char *month, int64 last_event)
{
	return psprintf("month: %s, events: up to " INT64_FORMAT, month, last_event);
}

/*
 * Read cpis.removed_month.
 */
static void
read_newest(Snapshot snapshot, NewestRow *newest)
{
	Relation	table = CpisTableOpen(CPIS_REMOVED_MONTH, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, snapshot, 0, NULL);
	TupleDesc	descriptor = RelationGetDescr(table);
	HeapTuple	tuple;
	bool		isnull;

	memset(newest, 0, sizeof(NewestRow));
	newest->last_event = -1;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		int64		first = DatumGetInt64(heap_getattr(tuple, REMOVED_FIRST_EVENT, descriptor, &isnull));
		int64		last = DatumGetInt64(heap_getattr(tuple, REMOVED_LAST_EVENT, descriptor, &isnull));

		newest->rows++;
		newest->events += last - first + 1;
		if (last <= newest->last_event)
			continue;
		newest->last_event = last;
		newest->month = CpisTextAttribute(tuple, descriptor, REMOVED_MONTH);
		newest->event_id = DatumGetInt64(heap_getattr(tuple, REMOVED_EVENT_ID, descriptor, &isnull));
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

/*
 * The number of the first event that has not been removed.
 */
int64
RemovedMonthsFloor(Snapshot snapshot)
{
	NewestRow	newest;

	read_newest(snapshot, &newest);
	return newest.last_event + 1;
}

static bool
text_is(const TupleTableSlot *slot, AuditColumn column, const char *value)
{
	return !slot->tts_isnull[column - 1] &&
		strcmp(TextDatumGetCString(slot->tts_values[column - 1]), value) == 0;
}

/*
 * Verify that the removal of months was recorded.
 */
void
VerifyRemovedMonths(Verifier *verifier)
{
	NewestRow	newest;
	TupleTableSlot *slot;
	int64		event_id;
	bool		recorded = false;

	read_newest(verifier->reading->snapshot, &newest);
	if (newest.rows == 0)
		return;
	EventScanBegin(verifier->trail, newest.event_id, newest.event_id + 1);
	slot = EventScanNext(verifier->trail, &event_id);
	if (slot != NULL && newest.event_id > newest.last_event)
		recorded = text_is(slot, AUDIT_ACTION, REMOVAL_ACTION) &&
			text_is(slot, AUDIT_DETAIL, announcement(newest.month, newest.last_event));
	EventScanEnd(verifier->trail);
	if (!recorded || newest.events != newest.last_event + 1)
		VerifyProblem(verifier, newest.last_event, "nothing has recorded the removal of the events up to this one");
}

/*
 * cpis.month_events() -> partition, first_event, last_event: of each month that has
 * events.
 */
Datum
cpis_month_events(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	EventTrail *trail;

	InitMaterializedSRF(fcinfo, 0);
	trail = EventTrailOpen(MonthPartitions(), snapshot);
	for (int i = 0; i < trail->nmonths; i++)
	{
		const EventMonth *month = &trail->months[i];
		Datum		values[3];
		bool		isnull[3] = {false};

		if (!month->has_numbers)
			continue;
		values[0] = ObjectIdGetDatum(RelationGetRelid(month->table));
		values[1] = Int64GetDatum(month->lowest);
		values[2] = Int64GetDatum(month->highest);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	}
	EventTrailClose(trail);
	UnregisterSnapshot(snapshot);
	return (Datum) 0;
}

/* A month that may go. */
typedef struct DueMonth
{
	Oid			partition;
	char	   *month;
	int64		last_event;
} DueMonth;

/*
 * Find the oldest month that may go; false where there is none.
 */
static bool
find_due(DueMonth *due)
{
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_REMOVED_MONTH)};
	Oid			type = OIDOID;
	int64		partition;
	Datum		value;
	int			year;
	int			month;

	if (OwnChangeExecute(&as_owner,
						 "SELECT partition::bigint FROM cpis.trail_months(clock_timestamp())"
						 " WHERE obstacle IS NULL ORDER BY first_event LIMIT 1",
						 0, NULL, NULL, NULL, &partition) != 1)
		return false;
	due->partition = (Oid) partition;
	value = ObjectIdGetDatum(due->partition);
	if (OwnChangeExecute(&as_owner, "SELECT last_event FROM cpis.month_events() WHERE partition = $1",
						 1, &type, &value, NULL, &due->last_event) != 1 ||
		sscanf(get_rel_name(due->partition), "audit_event_%4d_%2d", &year, &month) != 2)
		return false;
	due->month = psprintf("%04d-%02d", year, month);
	return true;
}

/*
 * Lock the month and its parent, or, after a moment, do not.
 */
static bool
try_to_lock(const DueMonth *due)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool locked = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		(void) set_config_option("lock_timeout", LOCK_PATIENCE_MS, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
		LockRelationOid(CpisRelationOid(CPIS_AUDIT_EVENT), AccessExclusiveLock);
		LockRelationOid(due->partition, AccessExclusiveLock);
		ReleaseCurrentSubTransaction();
		locked = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return locked;
}

/*
 * Could the month be locked just now?  Locks nothing.
 */
static bool
is_free(const DueMonth *due)
{
	Oid			parent = CpisRelationOid(CPIS_AUDIT_EVENT);

	if (!ConditionalLockRelationOid(parent, AccessExclusiveLock))
		return false;
	if (!ConditionalLockRelationOid(due->partition, AccessExclusiveLock))
	{
		UnlockRelationOid(parent, AccessExclusiveLock);
		return false;
	}
	UnlockRelationOid(due->partition, AccessExclusiveLock);
	UnlockRelationOid(parent, AccessExclusiveLock);
	return true;
}

/*
 * Keep what is to be kept of a month that is locked, and drop it.
 */
static void
drop_month(const DueMonth *due, const AuditEvent *event)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, INT8OID};
	static const char *const commands[] =
	{
		"INSERT INTO cpis.event_count (month, action, outcome, organisation, care_setting, notify, events)"
		" SELECT $1, action, outcome, organisation, care_setting, notify, count(*)"
		" FROM cpis.%s WHERE $2 IS NOT NULL AND $3 IS NOT NULL"
		" GROUP BY action, outcome, organisation, care_setting, notify",
		"INSERT INTO cpis.kept_event (event_id, recorded_at, action, detail, event_bytes)"
		" SELECT event_id, recorded_at, action, detail, cpis.event_bytes(event_id)"
		" FROM cpis.%s WHERE action IN ('key', 'purge', 'removal', 'retention')"
		" AND $1 IS NOT NULL AND $2 IS NOT NULL AND $3 IS NOT NULL",
		"INSERT INTO cpis.removed_month (month, first_event, last_event, due_on, retention_days, removed_at, event_id)"
		" SELECT month, first_event, last_event, due_on, retention_days, $2, $3"
		" FROM cpis.trail_months(clock_timestamp()) WHERE month = $1",
	};
	OwnChange	change = {.table = CpisRelationOid(CPIS_REMOVED_MONTH)};
	const char *table = quote_identifier(get_rel_name(due->partition));
	Datum		values[3];

	values[0] = CStringGetTextDatum(due->month);
	values[1] = TimestampTzGetDatum(event->recorded_at);
	values[2] = Int64GetDatum(event->event_id);
	for (int i = 0; i < lengthof(commands); i++)
		(void) OwnChangeExecute(&change, psprintf(commands[i], table),
								lengthof(types), types, values, NULL, NULL);
	(void) OwnChangeExecute(&change, psprintf("DROP TABLE cpis.%s", table), 0, NULL, NULL, NULL, NULL);
}

/*
 * Remove the oldest month that may go, in the present transaction, which is then to
 * be committed; false where there is none, or it is in use.
 */
bool
RemovedMonthNext(void)
{
	DueMonth	due;
	DueMonth	locked;
	AuditEvent	event;

	LockRelationOid(CpisRelationOid(CPIS_RETENTION_POLICY), ShareLock);
	LockRelationOid(CpisRelationOid(CPIS_HOLD), ShareLock);
	if (!find_due(&due))
		return false;
	if (!is_free(&due))
	{
		ereport(NOTICE, (errmsg("month %s of the trail is in use, and left to the next purge", due.month)));
		return false;
	}

	/* The writer reads what is going to be locked. */
	AuditEventInit(&event, REMOVAL_ACTION);
	strlcpy(event.detail, announcement(due.month, due.last_event), sizeof(event.detail));
	RecordChange(&event);

	/* Meanwhile, the clock may have been set back into it. */
	if (!try_to_lock(&due) || !find_due(&locked) || locked.partition != due.partition ||
		locked.last_event != due.last_event)
	{
		ereport(NOTICE, (errmsg("month %s of the trail is in use, and left to the next purge", due.month)));
		return false;
	}
	drop_month(&due, &event);
	ereport(NOTICE, (errmsg("month %s of the trail removed", due.month)));
	return true;
}
