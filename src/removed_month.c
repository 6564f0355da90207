/*-------------------------------------------------------------------------
 *
 * removed_month.c
 *	  Months of the trail whose time has run.
 *
 * Where an administrator has set a term for the events of the trail, the purge
 * drops whole months, the oldest first, whose events are all older than that, and
 * which nothing keeps: cpis.trail_months() in sql/retention.sql says what does.  By then the
 * purge has summarised them for analysts (summary.c).
 * Their tiles stay, so that everything else can still be proved; how many events of
 * which sort there were goes to cpis.event_count, without what an application gave that
 * is in no register, and events that others lean on to cpis.kept_event.
 *
 * What is dropped is recorded first, in an event of action "removal"; the row in
 * cpis.removed_month names it.  Verification begins after the last event removed,
 * if the newest row agrees with its event, which is always younger than what it
 * removed.
 *
 * What is kept is read under ShareLock on the month, which stops nobody who looks up.
 * Dropping it needs AccessExclusiveLock on the parent, which a pg_dump may keep for
 * hours, and look-ups would queue up behind who waits for it.  So the purge waits a
 * tenth of a second at most, having tried before it recorded anything, and leaves the
 * month to the next purge; and holds that lock no longer than it takes to drop a table.
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
#include "day.h"
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
#include "summary.h"
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
#define REMOVED_DUE_ON 4
#define REMOVED_RETENTION_DAYS 5
#define REMOVED_EVENT_ID 7

/* A month of the trail. */
typedef struct Month
{
	Oid			partition;		/* while it is there */
	char	   *month;			/* year and month */
	int64		first_event;
	int64		last_event;
	DateADT		due_on;
	int			retention_days;
} Month;

/* What cpis.removed_month says. */
typedef struct RemovedMonths
{
	int64		rows;
	int64		events;			/* of all rows together */
	Month		newest;			/* last_event -1: there is none */
	int64		event_id;		/* by which it was recorded */
} RemovedMonths;

/*
 * What is recorded when a month goes.
 */
static char *
announcement(const Month *month)
{
	return psprintf("month: %s, events: " INT64_FORMAT " to " INT64_FORMAT ", due on: %s, days: %d",
					month->month, month->first_event, month->last_event,
					DayText(month->due_on), month->retention_days);
}

/*
 * Read cpis.removed_month.
 */
static void
read_removed(Snapshot snapshot, RemovedMonths *removed)
{
	Relation	table = CpisTableOpen(CPIS_REMOVED_MONTH, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, snapshot, 0, NULL);
	TupleDesc	descriptor = RelationGetDescr(table);
	Month	   *newest = &removed->newest;
	HeapTuple	tuple;
	bool		isnull;

	memset(removed, 0, sizeof(RemovedMonths));
	newest->last_event = -1;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		int64		first = DatumGetInt64(heap_getattr(tuple, REMOVED_FIRST_EVENT, descriptor, &isnull));
		int64		last = DatumGetInt64(heap_getattr(tuple, REMOVED_LAST_EVENT, descriptor, &isnull));

		removed->rows++;
		removed->events += last - first + 1;
		if (last <= newest->last_event)
			continue;
		newest->first_event = first;
		newest->last_event = last;
		newest->month = CpisTextAttribute(tuple, descriptor, REMOVED_MONTH);
		newest->due_on = DatumGetDateADT(heap_getattr(tuple, REMOVED_DUE_ON, descriptor, &isnull));
		newest->retention_days = DatumGetInt32(heap_getattr(tuple, REMOVED_RETENTION_DAYS, descriptor, &isnull));
		removed->event_id = DatumGetInt64(heap_getattr(tuple, REMOVED_EVENT_ID, descriptor, &isnull));
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
	RemovedMonths removed;

	read_removed(snapshot, &removed);
	return removed.newest.last_event + 1;
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
	RemovedMonths removed;
	int64		last_event;
	TupleTableSlot *slot;
	int64		event_id;
	bool		recorded = false;

	read_removed(verifier->reading->snapshot, &removed);
	if (removed.rows == 0)
		return;
	last_event = removed.newest.last_event;
	EventScanBegin(verifier->trail, removed.event_id, removed.event_id + 1);
	slot = EventScanNext(verifier->trail, &event_id);
	if (slot != NULL && removed.event_id > last_event && !DATE_NOT_FINITE(removed.newest.due_on))
		recorded = text_is(slot, AUDIT_ACTION, REMOVAL_ACTION) &&
			text_is(slot, AUDIT_DETAIL, announcement(&removed.newest));
	EventScanEnd(verifier->trail);
	if (!recorded || removed.events != last_event + 1)
		VerifyProblem(verifier, last_event, "nothing has recorded the removal of the events up to this one");
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

static void
take_month(SPITupleTable *rows, void *context)
{
	Month	   *month = context;
	HeapTuple	row = rows->vals[0];
	TupleDesc	descriptor = rows->tupdesc;
	bool		isnull;

	month->partition = DatumGetObjectId(SPI_getbinval(row, descriptor, 1, &isnull));
	strlcpy(month->month, SPI_getvalue(row, descriptor, 2), NAMEDATALEN);
	month->first_event = DatumGetInt64(SPI_getbinval(row, descriptor, 3, &isnull));
	month->last_event = DatumGetInt64(SPI_getbinval(row, descriptor, 4, &isnull));
	month->due_on = DatumGetDateADT(SPI_getbinval(row, descriptor, 5, &isnull));
	month->retention_days = DatumGetInt32(SPI_getbinval(row, descriptor, 6, &isnull));
}

/*
 * Find the oldest month that may go; false where there is none.
 */
static bool
find_due(Month *due)
{
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_REMOVED_MONTH)};

	due->month = palloc(NAMEDATALEN);
	return OwnChangeQuery(&as_owner,
						  "SELECT partition, month, first_event, last_event, due_on, retention_days"
						  " FROM cpis.trail_months(clock_timestamp())"
						  " WHERE obstacle IS NULL ORDER BY first_event LIMIT 1",
						  0, NULL, NULL, NULL, take_month, due) == 1;
}

/*
 * Could the month be locked just now?  Locks nothing.
 */
static bool
is_free(const Month *due)
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
 * Keep what is to be kept of a month whose rows do not change any more.
 */
static void
keep(const Month *due)
{
	const char *table = quote_identifier(get_rel_name(due->partition));
	OwnChange	change = {.table = CpisRelationOid(CPIS_EVENT_COUNT)};
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(due->month);

	(void) OwnChangeExecute(&change,
							psprintf("INSERT INTO cpis.event_count (month, action, outcome, organisation, care_setting, notify, events)"
									 " SELECT $1, action, outcome,"
									 " CASE WHEN cpis.organisation_is_known(outcome, detail) THEN organisation END,"
									 " CASE WHEN cpis.care_setting_is_known(outcome, detail) THEN care_setting END, notify, count(*)"
									 " FROM cpis.%s GROUP BY 2, 3, 4, 5, 6", table),
							1, &type, &value, NULL, NULL);
	change.table = CpisRelationOid(CPIS_KEPT_EVENT);
	(void) OwnChangeExecute(&change,
							psprintf("INSERT INTO cpis.kept_event (event_id, recorded_at, action, detail, event_bytes)"
									 " SELECT event_id, recorded_at, action, detail, cpis.event_bytes(event_id)"
									 " FROM cpis.%s WHERE action IN ('key', 'purge', 'removal', 'retention', 'scope', 'go_live')"
									 " OR (action IN ('hold', 'submission') AND nhs_number IS NULL)", table),
							0, NULL, NULL, NULL, NULL);
	/* Notices of it may have been acknowledged since its events were. */
	SummariseAcknowledgements();
}

/*
 * Drop a month of which what is to be kept is kept.
 */
static void
drop(const Month *due, const AuditEvent *event)
{
	static const Oid types[] = {TEXTOID, INT8OID, INT8OID, DATEOID, INT4OID, TIMESTAMPTZOID, INT8OID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_REMOVED_MONTH)};
	Datum		values[7];

	values[0] = CStringGetTextDatum(due->month);
	values[1] = Int64GetDatum(due->first_event);
	values[2] = Int64GetDatum(due->last_event);
	values[3] = DateADTGetDatum(due->due_on);
	values[4] = Int32GetDatum(due->retention_days);
	values[5] = TimestampTzGetDatum(event->recorded_at);
	values[6] = Int64GetDatum(event->event_id);
	OwnChangeOne(&change,
							"INSERT INTO cpis.removed_month"
							" (month, first_event, last_event, due_on, retention_days, removed_at, event_id)"
							" VALUES ($1, $2, $3, $4, $5, $6, $7)",
							lengthof(types), types, values, NULL, NULL);
	(void) OwnChangeExecute(&change,
							psprintf("DROP TABLE cpis.%s", quote_identifier(get_rel_name(due->partition))),
							0, NULL, NULL, NULL, NULL);
}

/*
 * Remove the month, unless it has changed, for the clock may have been set back into
 * it.  A lock that does not come soon is an error.
 */
static void
remove_month(const Month *due, const AuditEvent *event)
{
	Month		locked;

	(void) set_config_option("lock_timeout", LOCK_PATIENCE_MS, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	LockRelationOid(due->partition, ShareLock);
	if (!find_due(&locked) || locked.partition != due->partition || locked.last_event != due->last_event)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("month %s of the trail has changed", due->month)));
	/* The purge has summarised what there was when it began. */
	if (due->last_event >= SummaryFirstMissing())
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("month %s of the trail is not summarised yet", due->month)));
	keep(due);
	LockRelationOid(CpisRelationOid(CPIS_AUDIT_EVENT), AccessExclusiveLock);
	LockRelationOid(due->partition, AccessExclusiveLock);
	drop(due, event);
}

/*
 * The same in a subtransaction; false, and nothing has happened, where that cannot
 * have its locks.
 */
static bool
try_to_remove(const Month *due, const AuditEvent *event)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool removed = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		remove_month(due, event);
		ReleaseCurrentSubTransaction();
		removed = true;
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
	return removed;
}

/*
 * Remove the oldest month that may go, in the present transaction, which is then to
 * be committed; false where there is none, or it is in use.
 */
bool
RemovedMonthNext(void)
{
	Month		due;
	AuditEvent	event;
	bool		removed = false;

	LockRelationOid(CpisRelationOid(CPIS_RETENTION_POLICY), ShareLock);
	LockRelationOid(CpisRelationOid(CPIS_HOLD), ShareLock);
	if (!find_due(&due))
		return false;
	if (is_free(&due))
	{
		/* The writer reads what is going to be locked. */
		AuditEventInit(&event, REMOVAL_ACTION);
		strlcpy(event.detail, announcement(&due), sizeof(event.detail));
		RecordChange(&event);
		removed = try_to_remove(&due, &event);
	}
	if (removed)
		ereport(NOTICE, (errmsg("month %s of the trail removed", due.month)));
	else
		ereport(NOTICE, (errmsg("month %s of the trail is in use, and left to the next purge", due.month)));
	return removed;
}
