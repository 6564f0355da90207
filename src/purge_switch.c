/*-------------------------------------------------------------------------
 *
 * purge_switch.c
 *	  Whether the purge runs by itself in this database, and whether at all.
 *
 * cpis_purge_automatic() and cpis_purge_pause() are recorded in the trail, and
 * durable there, before they count.  What they set is in cpis.purge_switch, one row
 * for this database by its OID: it is not dumped, and a copy of the database (CREATE
 * DATABASE ... TEMPLATE) has another OID, so that in either the purge begins
 * switched off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "argument.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "own_change.h"
#include "purge_switch.h"
#include "purge_worker.h"
#include "reference.h"
#include "relation.h"
#include "request.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(cpis_purge_automatic);
PG_FUNCTION_INFO_V1(cpis_purge_pause);

/* Columns of cpis.purge_switch. */
#define SWITCH_DATABASE 1
#define SWITCH_AUTOMATIC 2
#define SWITCH_PAUSED 4

/*
 * What one column of this database's row says; false where there is none.
 */
static bool
read_switch(int column)
{
	Relation	table = CpisTableOpen(CPIS_PURGE_SWITCH, AccessShareLock);
	Reading		reading = ReadingBegin();
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, reading.snapshot, 0, NULL);
	TupleDesc	descriptor = RelationGetDescr(table);
	HeapTuple	tuple;
	bool		isnull;
	bool		result = false;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (DatumGetObjectId(heap_getattr(tuple, SWITCH_DATABASE, descriptor, &isnull)) == MyDatabaseId)
			result = DatumGetBool(heap_getattr(tuple, column, descriptor, &isnull));
	}
	systable_endscan(scan);
	ReadingEnd(&reading);
	table_close(table, AccessShareLock);
	return result;
}

bool
PurgeIsPaused(void)
{
	return read_switch(SWITCH_PAUSED);
}

bool
PurgeIsAutomatic(void)
{
	return read_switch(SWITCH_AUTOMATIC);
}

/*
 * Set one column, having recorded it.
 */
static void
set_switch(FunctionCallInfo fcinfo, const char *argument, const char *column)
{
	static const Oid types[] = {OIDOID, BOOLOID, INT8OID};
	OwnChange	change = {0};
	Datum		values[3];
	AuditEvent	event;

	if (PG_ARGISNULL(0))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, argument, "must not be null");
	/* Of two who set it at once, the later event has the last word. */
	change.table = CpisRelationOid(CPIS_PURGE_SWITCH);
	LockRelationOid(change.table, ShareRowExclusiveLock);
	AuditEventInit(&event, "purge");
	snprintf(event.detail, sizeof(event.detail), "%s: %s", column,
			 PG_GETARG_BOOL(0) ? "on" : "off");
	RecordChange(&event);

	values[0] = ObjectIdGetDatum(MyDatabaseId);
	values[1] = BoolGetDatum(PG_GETARG_BOOL(0));
	values[2] = Int64GetDatum(event.event_id);
	OwnChangeOne(&change,
							psprintf("INSERT INTO cpis.purge_switch (database, %s, %s_event) VALUES ($1, $2, $3)"
									 " ON CONFLICT (database) DO UPDATE SET %s = excluded.%s, %s_event = excluded.%s_event",
									 column, column, column, column, column, column),
							lengthof(types), types, values, NULL, NULL);
}

/*
 * cpis_purge_automatic(switch_on): shall the purge run by itself?
 */
Datum
cpis_purge_automatic(PG_FUNCTION_ARGS)
{
	ChangeCheckCallable("cpis_purge_automatic()");
	set_switch(fcinfo, "switch_on", "automatic");
	if (PG_GETARG_BOOL(0) && !PurgeWorkerIsRegistered())
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("nothing will run by itself as long as the library is not preloaded"),
				 errhint("Add \"cpis\" to shared_preload_libraries and restart the server, or CALL cpis_purge() from a scheduler.")));
	PG_RETURN_VOID();
}

/*
 * cpis_purge_pause(pause): shall every purge end after its batch, and none begin?
 */
Datum
cpis_purge_pause(PG_FUNCTION_ARGS)
{
	ChangeCheckCallable("cpis_purge_pause()");
	set_switch(fcinfo, "pause", "paused");
	PG_RETURN_VOID();
}
