/*-------------------------------------------------------------------------
 *
 * direct_read_switch.c
 *	  That direct reads are not recorded any more is recorded.
 *
 * Who has the server's configuration can take the library out of shared_preload_libraries, or
 * switch cpis.record_direct_reads off, and then read the tables unrecorded (direct_read.c).  So
 * the writer looks, with its first batch and after each reload, whether direct reads are
 * recorded on this server, compares that with the newest row of cpis.direct_read_switch, and,
 * where it is otherwise, adds an event of its own and a row.  That they are recorded for the
 * first time is no event.
 *
 * Runs in the writer's transaction, after TrailLock() and before the events of the batch.  A lock
 * that somebody holds on the table is not waited for: the next batch tries again.  After a
 * transaction that failed, DirectReadSwitchForget() must be called.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "audit_event.h"
#include "direct_read.h"
#include "direct_read_switch.h"
#include "relation.h"
#include "storage/lmgr.h"
#include "trail.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of cpis.direct_read_switch. */
#define SWITCH_NO 1
#define SWITCH_RECORDED 2
#define SWITCH_NCOLUMNS 4

/* The newest row. */
typedef struct Newest
{
	bool		known;
	int			no;				/* 0: there is none */
	bool		recorded;
} Newest;

static Newest newest = {0};

/*
 * Read the table again when it is next needed.
 */
void
DirectReadSwitchForget(void)
{
	newest.known = false;
}

static void
read_newest(Relation table)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, snapshot, 0, NULL);
	TupleDesc	descriptor = RelationGetDescr(table);
	HeapTuple	tuple;
	bool		isnull;

	newest.no = 0;
	newest.recorded = false;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		int			no = DatumGetInt32(heap_getattr(tuple, SWITCH_NO, descriptor, &isnull));

		if (no <= newest.no)
			continue;
		newest.no = no;
		newest.recorded = DatumGetBool(heap_getattr(tuple, SWITCH_RECORDED, descriptor, &isnull));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	newest.known = true;
}

/*
 * Append the event; answers its number.
 */
static int64
append_event(bool recorded, TimestampTz now)
{
	AuditEvent *event = palloc(sizeof(AuditEvent));

	AuditEventInit(event, DIRECT_READ_ACTION);
	strlcpy(event->outcome, "done", sizeof(event->outcome));
	strlcpy(event->detail, recorded ? "direct reads are recorded from now on" : cpis_record_direct_reads ?
			"direct reads are not recorded from now on: the library is not preloaded" :
			"direct reads are not recorded from now on: cpis.record_direct_reads is off", sizeof(event->detail));
	TrailAppend(&event, 1, now);
	return event->event_id;
}

/*
 * Note whether direct reads are recorded, where that has changed.
 */
void
DirectReadSwitchNote(TimestampTz now)
{
	bool		recorded = DirectReadIsOn();
	Oid			oid = CpisRelationOid(CPIS_DIRECT_READ_SWITCH);
	Relation	table;
	Datum		values[SWITCH_NCOLUMNS];
	bool		isnull[SWITCH_NCOLUMNS] = {false};

	if ((newest.known && newest.recorded == recorded) ||
		!ConditionalLockRelationOid(oid, RowExclusiveLock))
		return;
	table = table_open(oid, NoLock);
	if (!newest.known)
		read_newest(table);
	if (newest.recorded != recorded)
	{
		values[0] = Int32GetDatum(++newest.no);
		values[1] = BoolGetDatum(recorded);
		values[2] = TimestampTzGetDatum(now);
		isnull[3] = newest.no == 1;
		values[3] = isnull[3] ? (Datum) 0 : Int64GetDatum(append_event(recorded, now));
		simple_heap_insert(table, heap_form_tuple(RelationGetDescr(table), values, isnull));
		newest.recorded = recorded;
	}
	table_close(table, NoLock);
}
