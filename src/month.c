/*-------------------------------------------------------------------------
 *
 * month.c
 *	  The monthly partitions of cpis.audit_event.
 *
 * A partition holds the events recorded in one month, UTC.  It is made by the
 * writer, the present month when it is needed and the next one ahead of time,
 * as a plain table with indexes and triggers of its own that is then attached:
 * only the ATTACH touches the parent, under ShareUpdateExclusive, which
 * reading and writing pass.  It belongs to the parent's owner, has no grants,
 * and is not a member of the extension, so that pg_dump writes it out.
 *
 * With the first month of a year goes the key of that year's pseudonyms.
 *
 * Partitions and their indexes are found by name, audit_event_YYYY_MM.
 *
 * The writer calls MonthEnsure() and MonthEnsureNext() outside a transaction;
 * each runs one of its own.  Finding may be done by anybody in a transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "month.h"
#include "pgtime.h"
#include "relation.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* How long the making of a future month may wait for a lock, and be put off. */
#define AHEAD_LOCK_TIMEOUT_MS 100
#define AHEAD_RETRY_MS 60000

typedef struct Month
{
	int			year;
	int			month;			/* 1 .. 12 */
} Month;

/* Months known to have their partition. */
static Month seen = {0, 0};
static Month seen_next = {0, 0};

static Month
month_of(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	Month		result;

	/* No time zone: the fields come out in UTC. */
	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	result.year = tm.tm_year;
	result.month = tm.tm_mon;
	return result;
}

static Month
month_after(Month month)
{
	Month		result = {month.year + month.month / 12, month.month % 12 + 1};

	return result;
}

static bool
same_month(Month a, Month b)
{
	return a.year == b.year && a.month == b.month;
}

static void
partition_name(Month month, char *name)
{
	snprintf(name, NAMEDATALEN, "audit_event_%04d_%02d", month.year, month.month);
}

/*
 * A table of the right name that somebody detached does not count: what is
 * written there would not be in the trail.
 */
static Oid
partition_of(Month month)
{
	char		name[NAMEDATALEN];
	Oid			partition;

	partition_name(month, name);
	partition = get_relname_relid(name, CpisSchemaOid());
	if (!OidIsValid(partition) || !get_rel_relispartition(partition) ||
		get_partition_parent(partition, false) != CpisRelationOid(CPIS_AUDIT_EVENT))
		return InvalidOid;
	return partition;
}

/*
 * Does a table still have the name by which it was found?
 */
static bool
is_named_for(Oid table, Month month)
{
	char		name[NAMEDATALEN];
	char	   *present = get_rel_name(table);

	partition_name(month, name);
	return present != NULL && strcmp(present, name) == 0 &&
		get_rel_namespace(table) == CpisSchemaOid();
}

/*
 * The partition for events recorded at this time, or InvalidOid.  One that was
 * found is kept until the relation cache says that the parent has changed, as
 * ATTACH and DETACH make it, or it goes by another name.
 */
Oid
MonthPartition(TimestampTz at)
{
	static Month kept_month = {0, 0};
	static Oid	kept = InvalidOid;
	static uint64 kept_generation;
	Month		month = month_of(at);
	uint64		generation;

	(void) CpisRelationOid(CPIS_AUDIT_EVENT);	/* so that it is watched */
	generation = CpisGeneration();
	if (!OidIsValid(kept) || kept_generation != generation ||
		!same_month(month, kept_month) || !is_named_for(kept, month))
	{
		kept = partition_of(month);
		kept_month = month;
		kept_generation = generation;
	}
	return kept;
}

/*
 * All partitions, each locked with AccessShareLock.
 */
List *
MonthPartitions(void)
{
	return find_inheritance_children(CpisRelationOid(CPIS_AUDIT_EVENT),
									 AccessShareLock);
}

static Oid
partition_index(Oid partition, const char *suffix)
{
	char	   *name = psprintf("%s_%s", get_rel_name(partition), suffix);
	Oid			index = get_relname_relid(name, get_rel_namespace(partition));

	if (!OidIsValid(index))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("index \"cpis.%s\" does not exist", name)));
	return index;
}

/*
 * The index on (event_id) of a partition that the caller has locked.
 */
Oid
MonthEventIdIndex(Oid partition)
{
	return partition_index(partition, "event_id_idx");
}

/*
 * The index on (nhs_number, event_id) of a partition that the caller has
 * locked.
 */
Oid
MonthNhsNumberIndex(Oid partition)
{
	return partition_index(partition, "nhs_number_idx");
}

/*
 * Lock what MonthPartitions() does, and the indexes on event numbers, without
 * waiting; false where somebody else has a lock that conflicts, and then perhaps
 * with some of them locked.
 */
bool
MonthTryLockPartitions(void)
{
	ListCell   *cell;

	foreach(cell, find_inheritance_children(CpisRelationOid(CPIS_AUDIT_EVENT), NoLock))
	{
		if (!ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock) ||
			!ConditionalLockRelationOid(MonthEventIdIndex(lfirst_oid(cell)), AccessShareLock))
			return false;
	}
	return true;
}

static void
execute(const char *command)
{
	int			result = SPI_execute(command, false, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(result));
}

/*
 * Make the table of a month, with everything but its place under the parent.
 */
static void
make_table(const char *name, const char *owner)
{
	static const char *const commands[] =
	{
		"CREATE TABLE cpis.%1$s (LIKE cpis.audit_event INCLUDING COMMENTS INCLUDING STORAGE)",
		"CREATE INDEX %1$s_event_id_idx ON cpis.%1$s (event_id)",
		"CREATE INDEX %1$s_nhs_number_idx ON cpis.%1$s (nhs_number, event_id)",
		"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.%1$s"
		" FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('The audit trail is append-only.')",
		"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.%1$s"
		" FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('The audit trail is append-only.')",
		"ALTER TABLE cpis.%1$s ENABLE ALWAYS TRIGGER append_only,"
		" ENABLE ALWAYS TRIGGER append_only_truncate",
		"REVOKE ALL ON TABLE cpis.%1$s FROM PUBLIC",
		"COMMENT ON TABLE cpis.%1$s IS 'one month of the audit trail (UTC), append-only'",
		"ALTER TABLE cpis.%1$s OWNER TO %2$s",
	};

	for (int i = 0; i < lengthof(commands); i++)
		execute(psprintf(commands[i], name, owner));
}

/*
 * Make and attach the partition of a month, unless it is there; wait for locks
 * no longer than lock_timeout, in milliseconds.
 */
static void
ensure(Month month, int lock_timeout)
{
	Month		after = month_after(month);
	char		name[NAMEDATALEN];
	Relation	parent;
	char	   *owner;
	char		timeout[16];

	StartTransactionCommand();
	if (OidIsValid(partition_of(month)))
	{
		CommitTransactionCommand();
		return;
	}

	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());

	snprintf(timeout, sizeof(timeout), "%d", lock_timeout);
	(void) set_config_option("lock_timeout", timeout, PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);

	parent = CpisTableOpen(CPIS_AUDIT_EVENT, AccessShareLock);
	owner = GetUserNameFromId(parent->rd_rel->relowner, false);
	table_close(parent, AccessShareLock);

	partition_name(month, name);
	make_table(name, quote_identifier(owner));
	execute(psprintf("ALTER TABLE cpis.audit_event ATTACH PARTITION cpis.%s"
					 " FOR VALUES FROM ('%04d-%02d-01 00:00:00+00') TO ('%04d-%02d-01 00:00:00+00')",
					 name, month.year, month.month, after.year, after.month));
	/* See pseudonym.c. */
	execute(psprintf("INSERT INTO cpis.pseudonym_key (year, key, made_at)"
					 " SELECT '%1$04d', cpis.random_salt() || cpis.random_salt(), clock_timestamp()"
					 " WHERE NOT EXISTS (SELECT FROM cpis.pseudonym_key WHERE year = '%1$04d')", month.year));

	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
}

/*
 * Look again, when they are next needed, whether the partitions are there.
 */
void
MonthForget(void)
{
	seen.year = seen.month = 0;
	seen_next = seen;
}

/*
 * See that the month of "now" has its partition, or raise an error.
 */
void
MonthEnsure(TimestampTz now, int lock_timeout)
{
	Month		month = month_of(now);

	if (same_month(month, seen))
		return;
	ensure(month, lock_timeout);
	seen = month;
}

/*
 * Try to make the partition of the month after "now".  Whatever stops that is
 * logged and tried again later: there is a month to go.  Answers false where a
 * transaction was rolled back for it.
 */
bool
MonthEnsureNext(TimestampTz now)
{
	static TimestampTz retry_at = 0;
	Month		month = month_after(month_of(now));
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = true;

	if (same_month(month, seen_next) || now < retry_at)
		return true;

	PG_TRY();
	{
		ensure(month, AHEAD_LOCK_TIMEOUT_MS);
		seen_next = month;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("could not make next month's partition of the audit trail: %s",
						error->message),
				 errdetail("It will be tried again in %d seconds.",
						   AHEAD_RETRY_MS / 1000)));
		FreeErrorData(error);
		retry_at = TimestampTzPlusMilliseconds(now, AHEAD_RETRY_MS);
		done = false;
	}
	PG_END_TRY();

	return done;
}
