/*-------------------------------------------------------------------------
 *
 * trail.c
 *	  The audit trail as the writer sees it: numbered, sealed, stored.
 *
 * For the writer alone: event numbers have no gaps because one process gives
 * them and takes them back when its transaction fails.  The next number is
 * read from the trail once in a writer's life and then kept; after a failed
 * transaction TrailForget() must be called, and it is read again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "bulk_insert.h"
#include "catalog/pg_class.h"
#include "month.h"
#include "notification.h"
#include "relation.h"
#include "storage/lmgr.h"
#include "trail.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static int64 next_event_id = -1;	/* -1: read it from the trail */

/*
 * Read all numbers again from the tables when they are next needed.
 */
void
TrailForget(void)
{
	next_event_id = -1;
	NotificationForget();
	MonthForget();
}

/*
 * The highest event number in a partition, -1 for none.
 */
static int64
highest_in_partition(Oid partition, Snapshot snapshot)
{
	Relation	table = table_open(partition, NoLock);	/* locked already */
	Relation	index = index_open(MonthEventIdIndex(partition), AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		highest = -1;
	bool		isnull;

	scan = systable_beginscan_ordered(table, index, snapshot, 0, NULL);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
		highest = DatumGetInt64(heap_getattr(tuple, AUDIT_EVENT_ID,
											 RelationGetDescr(table), &isnull));
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(table, NoLock);

	return highest;
}

/*
 * The number after the highest of the trail.  All months are asked: after the
 * clock has been set back, the newest event is not in the newest month.
 */
static int64
read_next_event_id(void)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	int64		highest = -1;
	ListCell   *cell;

	foreach(cell, MonthPartitions())
		highest = Max(highest, highest_in_partition(lfirst_oid(cell), snapshot));
	UnregisterSnapshot(snapshot);

	return highest + 1;
}

/*
 * The partition for events recorded now.
 */
static Oid
partition_for(TimestampTz now)
{
	Oid			partition = MonthPartition(now);

	if (!OidIsValid(partition))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the audit trail has no partition for this month")));
	return partition;
}

/*
 * Take, for this transaction, the locks that TrailAppend() needs, and see that
 * what is written there will last.
 */
void
TrailLock(TimestampTz now)
{
	Oid			partition = partition_for(now);
	Oid			notification = CpisRelationOid(CPIS_NOTIFICATION);

	LockRelationOid(partition, RowExclusiveLock);
	LockRelationOid(notification, RowExclusiveLock);

	/* While this waited, the partition may have left the trail. */
	if (partition_for(now) != partition)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this month's partition has been taken out of the audit trail")));

	/* What is not logged is not durable. */
	if (get_rel_persistence(partition) != RELPERSISTENCE_PERMANENT ||
		get_rel_persistence(notification) != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a table of the audit trail is unlogged")));
}

/*
 * Append events to the trail, in the order given, with their notices.  Runs
 * in the writer's transaction; nothing of it counts before that is durable.
 */
void
TrailAppend(AuditEvent **events, int nevents, TimestampTz now)
{
	pg_cryptohash_ctx *sha256 = pg_cryptohash_create(PG_SHA256);
	uint8	   *salts = palloc(nevents * AUDIT_SALT_LENGTH);
	BulkInsert *insert;
	StringInfoData buffer;

	if (!pg_strong_random(salts, nevents * AUDIT_SALT_LENGTH))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random salt")));
	if (sha256 == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));

	insert = BulkInsertBegin(partition_for(now), AUDIT_NCOLUMNS, nevents);
	if (next_event_id < 0)
		next_event_id = read_next_event_id();

	initStringInfo(&buffer);
	for (int i = 0; i < nevents; i++)
	{
		events[i]->event_id = next_event_id++;
		events[i]->recorded_at = now;
		NotificationNumber(events[i]);
		AuditEventSeal(events[i], salts + i * AUDIT_SALT_LENGTH, sha256,
					   &buffer);
		AuditEventStore(events[i], insert->slots[i]);
	}
	pg_cryptohash_free(sha256);
	BulkInsertEnd(insert);
	NotificationInsert(events, nevents);
}
