/*-------------------------------------------------------------------------
 *
 * notification.c
 *	  Notices to local authorities, numbered without gaps.
 *
 * For the writer alone.  It numbers the notices of an event while it seals it,
 * for the numbers are part of the event, and inserts them in the event's own
 * transaction, so that a notice and its event stand or fall together.
 *
 * The next number of each authority is read from the table once in a writer's
 * life and then kept.  A transaction that fails has used up numbers that
 * nobody will see: NotificationForget() must then be called, and the numbers
 * are read again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "bulk_insert.h"
#include "catalog/pg_collation.h"
#include "notification.h"
#include "relation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

typedef struct NextNumber
{
	char		local_authority[LOCAL_AUTHORITY_LENGTH + 1];	/* key */
	int64		next;
} NextNumber;

static HTAB *next_numbers = NULL;

/*
 * Read the numbers again from the table when they are next needed.
 */
void
NotificationForget(void)
{
	if (next_numbers != NULL)
		hash_destroy(next_numbers);
	next_numbers = NULL;
}

/*
 * Open the index on authority and number, to be closed with AccessShareLock.
 */
Relation
NotificationIndexOpen(Relation table)
{
	static const AttrNumber columns[] =
	{NOTIFICATION_LOCAL_AUTHORITY, NOTIFICATION_NOTIFICATION_NO};

	return CpisIndexOpen(table, CpisRelationOid(CPIS_NOTIFICATION_NO_IDX), columns,
						 lengthof(columns), false);
}

/*
 * The highest number that an authority has in the table, 0 for none.
 */
static int64
highest_number(const char *local_authority)
{
	Relation	table = CpisTableOpen(CPIS_NOTIFICATION, AccessShareLock);
	Relation	index = NotificationIndexOpen(table);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		highest = 0;
	bool		isnull;

	ScanKeyEntryInitialize(&key, 0, NOTIFICATION_LOCAL_AUTHORITY,
						   BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXTEQ, CStringGetTextDatum(local_authority));
	scan = systable_beginscan_ordered(table, index, snapshot, 1, &key);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
		highest = DatumGetInt64(heap_getattr(tuple, NOTIFICATION_NOTIFICATION_NO,
											 RelationGetDescr(table), &isnull));
	systable_endscan_ordered(scan);
	UnregisterSnapshot(snapshot);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);

	return highest;
}

/*
 * Take the next number of an authority.
 */
static int64
take_number(const char *local_authority)
{
	NextNumber *entry;
	bool		found;

	if (next_numbers == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = LOCAL_AUTHORITY_LENGTH + 1;
		control.entrysize = sizeof(NextNumber);
		control.hcxt = TopMemoryContext;
		next_numbers = hash_create("cpis notification numbers", 256, &control,
								   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}

	entry = hash_search(next_numbers, local_authority, HASH_FIND, NULL);
	if (entry == NULL)
	{
		int64		highest = highest_number(local_authority);

		entry = hash_search(next_numbers, local_authority, HASH_ENTER, &found);
		entry->next = highest + 1;
	}
	return entry->next++;
}

/*
 * Number the notices of an event.
 */
void
NotificationNumber(AuditEvent *event)
{
	for (int i = 0; i < event->nnotified; i++)
		event->notification_no[i] = take_number(event->notified_authority[i]);
}

/*
 * Insert the notices of events that have their numbers.
 */
void
NotificationInsert(AuditEvent **events, int nevents)
{
	BulkInsert *insert;
	int			nrows = 0;
	int			row = 0;

	for (int i = 0; i < nevents; i++)
		nrows += events[i]->nnotified;
	if (nrows == 0)
		return;

	insert = BulkInsertBegin(CpisRelationOid(CPIS_NOTIFICATION),
							 NOTIFICATION_NCOLUMNS, nrows);
	for (int i = 0; i < nevents; i++)
	{
		for (int n = 0; n < events[i]->nnotified; n++)
		{
			TupleTableSlot *slot = insert->slots[row++];

			ExecClearTuple(slot);
			slot->tts_values[0] =
				CStringGetTextDatum(events[i]->notified_authority[n]);
			slot->tts_values[1] = Int64GetDatum(events[i]->notification_no[n]);
			slot->tts_values[2] = Int64GetDatum(events[i]->event_id);
			memset(slot->tts_isnull, 0, NOTIFICATION_NCOLUMNS * sizeof(bool));
			ExecStoreVirtualTuple(slot);
		}
	}
	BulkInsertEnd(insert);
}
