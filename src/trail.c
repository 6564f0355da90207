/*-------------------------------------------------------------------------
 *
 * trail.c
 *	  The audit trail as the writer sees it: numbered, sealed, stored.
 *
 * For the writer alone: event numbers have no gaps because one process gives
 * them and takes them back when its transaction fails.  The next number is that
 * of the next leaf of the ledger (ledger_edge.c), read once in a writer's life
 * and then kept; after a failed transaction TrailForget() must be called, and it
 * is read again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "audit_row.h"
#include "bulk_insert.h"
#include "catalog/pg_class.h"
#include "ledger_edge.h"
#include "month.h"
#include "notification.h"
#include "relation.h"
#include "storage/lmgr.h"
#include "trail.h"
#include "utils/lsyscache.h"

/*
 * Read all numbers again from the tables when they are next needed.
 */
void
TrailForget(void)
{
	LedgerForget();
	NotificationForget();
	MonthForget();
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
	LedgerLock();

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
 * Append events to the trail and the ledger, in the order given, with their
 * notices.  Runs in the writer's transaction; nothing of it counts before that
 * is durable.
 */
void
TrailAppend(AuditEvent **events, int nevents, TimestampTz now)
{
	uint8	   *salts = palloc(nevents * AUDIT_SALT_LENGTH);
	BulkInsert *insert;
	StringInfoData buffer;

	if (!pg_strong_random(salts, nevents * AUDIT_SALT_LENGTH))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random salt")));

	insert = BulkInsertBegin(partition_for(now), AUDIT_NCOLUMNS, nevents);
	AuditCheckColumns(insert->relation);
	initStringInfo(&buffer);
	for (int i = 0; i < nevents; i++)
	{
		TupleTableSlot *slot = insert->slots[i];
		MerkleHash	leaf;

		events[i]->event_id = LedgerSize();
		events[i]->recorded_at = now;
		NotificationNumber(events[i]);
		AuditEventStore(events[i], salts + i * AUDIT_SALT_LENGTH, slot);
		if (AuditRowLeaf(slot->tts_values, slot->tts_isnull, LedgerSha256(), &buffer,
						 &leaf) != AUDIT_ROW_SOUND)
			elog(ERROR, "audit event has no canonical bytes");
		AuditEventSeal(slot, &leaf);
		LedgerAppend(&leaf);
	}
	BulkInsertEnd(insert);
	NotificationInsert(events, nevents);
	LedgerStore(now);
}
