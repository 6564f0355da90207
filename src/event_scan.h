/*-------------------------------------------------------------------------
 *
 * event_scan.h
 *	  The events of the trail, in order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_EVENT_SCAN_H
#define CPIS_EVENT_SCAN_H

#include "access/genam.h"
#include "executor/tuptable.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* One month, and the next of its events. */
typedef struct EventMonth
{
	Relation	table;
	Relation	index;
	bool		has_numbers;	/* has any event one? else the next two are -1 */
	int64		lowest;
	int64		highest;
	IndexScanDesc scan;			/* NULL: not in the present scan */
	TupleTableSlot *slot;
	bool		has_event;		/* is one in the slot? */
	int64		event_id;		/* of it */
} EventMonth;

/* The trail, and where a scan of it is. */
typedef struct EventTrail
{
	Snapshot	snapshot;
	int			nmonths;
	EventMonth *months;
	EventMonth *current;		/* whose event was answered last */
} EventTrail;

extern EventTrail *EventTrailOpen(List *months, Snapshot snapshot);
extern void EventTrailClose(EventTrail *trail);
extern void EventScanBegin(EventTrail *trail, int64 first, int64 end);
extern TupleTableSlot *EventScanNext(EventTrail *trail, int64 *event_id);
extern void EventScanEnd(EventTrail *trail);
extern bool EventTrailHasUnnumbered(EventTrail *trail);
extern uint32 EventTrailMonths(const EventTrail *trail);

#endif							/* CPIS_EVENT_SCAN_H */
