/*-------------------------------------------------------------------------
 *
 * event_scan.c
 *	  The events of the trail, in order.
 *
 * Months follow each other, but where the clock has been set back their events
 * do not: a scan reads, of all months that have events of the range, the one
 * with the lowest number next, by the index on it.  What it answers is what the
 * rows say; one that somebody has put in or made another may come twice or out
 * of turn, which is for the caller to see.
 *
 * The months must be locked by the caller, the snapshot be registered.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/skey.h"
#include "access/table.h"
#include "access/tableam.h"
#include "audit_event.h"
#include "common/hashfn.h"
#include "compat.h"
#include "event_scan.h"
#include "month.h"
#include "relation.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

/*
 * Read the next event of a month into its slot.
 */
static void
advance(EventMonth *month, ScanDirection direction)
{
	bool		isnull;

	month->has_event = index_getnext_slot(month->scan, direction, month->slot);
	if (!month->has_event)
		return;
	month->event_id = DatumGetInt64(slot_getattr(month->slot, AUDIT_EVENT_ID, &isnull));
	if (isnull)
		month->event_id = -1;
}

/*
 * Read the first event of a month, in this direction, of those that have a
 * number, or of those that have none; false where there is no such event.
 */
static bool
read_first(EventMonth *month, Snapshot snapshot, int numbered,
		   ScanDirection direction)
{
	ScanKeyData key;
	bool		found;

	ScanKeyEntryInitialize(&key, SK_ISNULL | numbered, AUDIT_EVENT_ID, InvalidStrategy,
						   InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
	month->scan = CPIS_INDEX_BEGINSCAN(month->table, month->index, snapshot, 1);
	index_rescan(month->scan, &key, 1, NULL, 0);
	advance(month, direction);
	found = month->has_event;
	month->has_event = false;
	ExecClearTuple(month->slot);
	index_endscan(month->scan);
	month->scan = NULL;
	return found;
}

/*
 * Find out the lowest number of a month, and the highest.
 */
static void
read_edges(EventMonth *month, Snapshot snapshot)
{
	month->lowest = month->highest = -1;
	month->has_numbers = read_first(month, snapshot, SK_SEARCHNOTNULL, ForwardScanDirection);
	if (!month->has_numbers)
		return;
	month->lowest = month->event_id;
	(void) read_first(month, snapshot, SK_SEARCHNOTNULL, BackwardScanDirection);
	month->highest = month->event_id;
}

/*
 * Is there an event without a number, as somebody can make it who changes the
 * table?
 */
bool
EventTrailHasUnnumbered(EventTrail *trail)
{
	for (int i = 0; i < trail->nmonths; i++)
	{
		if (read_first(&trail->months[i], trail->snapshot, SK_SEARCHNULL, ForwardScanDirection))
			return true;
	}
	return false;
}

/*
 * Open the partitions, a list of OIDs.
 */
EventTrail *
EventTrailOpen(List *months, Snapshot snapshot)
{
	const AttrNumber number = AUDIT_EVENT_ID;
	EventTrail *trail = palloc0(sizeof(EventTrail));
	ListCell   *cell;

	trail->snapshot = snapshot;
	trail->months = palloc0(Max(list_length(months), 1) * sizeof(EventMonth));
	foreach(cell, months)
	{
		EventMonth *month = &trail->months[trail->nmonths++];

		month->table = table_open(lfirst_oid(cell), NoLock);
		AuditCheckColumns(month->table);
		month->index = CpisIndexOpen(month->table, MonthEventIdIndex(lfirst_oid(cell)), &number, 1, false);
		month->slot = table_slot_create(month->table, NULL);
		read_edges(month, snapshot);
	}
	return trail;
}

void
EventTrailClose(EventTrail *trail)
{
	for (int i = 0; i < trail->nmonths; i++)
	{
		ExecDropSingleTupleTableSlot(trail->months[i].slot);
		index_close(trail->months[i].index, AccessShareLock);
		table_close(trail->months[i].table, NoLock);
	}
	pfree(trail->months);
	pfree(trail);
}

/*
 * Begin to read the events from "first" up to but not "end".
 */
void
EventScanBegin(EventTrail *trail, int64 first, int64 end)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], AUDIT_EVENT_ID, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first));
	ScanKeyInit(&keys[1], AUDIT_EVENT_ID, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(end));
	trail->current = NULL;
	for (int i = 0; i < trail->nmonths; i++)
	{
		EventMonth *month = &trail->months[i];

		month->has_event = false;
		if (month->highest < first || month->lowest >= end)
			continue;
		month->scan = CPIS_INDEX_BEGINSCAN(month->table, month->index, trail->snapshot, 2);
		index_rescan(month->scan, keys, 2, NULL, 0);
		advance(month, ForwardScanDirection);
	}
}

/*
 * The next event, all its columns in a slot that is good until the next call;
 * NULL at the end.
 */
TupleTableSlot *
EventScanNext(EventTrail *trail, int64 *event_id)
{
	EventMonth *next = NULL;

	if (trail->current != NULL)
		advance(trail->current, ForwardScanDirection);
	for (int i = 0; i < trail->nmonths; i++)
	{
		EventMonth *month = &trail->months[i];

		if (month->has_event && (next == NULL || month->event_id < next->event_id))
			next = month;
	}
	trail->current = next;
	if (next == NULL)
		return NULL;
	slot_getallattrs(next->slot);
	*event_id = next->event_id;
	return next->slot;
}

void
EventScanEnd(EventTrail *trail)
{
	for (int i = 0; i < trail->nmonths; i++)
	{
		EventMonth *month = &trail->months[i];

		ExecClearTuple(month->slot);
		month->has_event = false;
		if (month->scan != NULL)
			index_endscan(month->scan);
		month->scan = NULL;
	}
	trail->current = NULL;
}

/*
 * Which months these are, and in which order, as one number.
 */
uint32
EventTrailMonths(const EventTrail *trail)
{
	uint32		result = trail->nmonths;

	for (int i = 0; i < trail->nmonths; i++)
		result = hash_combine(result, murmurhash32(RelationGetRelid(trail->months[i].table)));
	return result;
}
