/*-------------------------------------------------------------------------
 *
 * purge_batch.c
 *	  Remove the records of one batch, with a certificate each.
 *
 * The purge has found the records.  Here they are deleted, as they were found
 * (row_delete.c): who has changed or locked one meanwhile keeps it, and it is found again
 * by the next purge.  One event for them is recorded (removal.c), and waited for until
 * it is durable; then their certificates are inserted.  The caller commits.  So a record
 * goes together with its certificate, never without an event, and none twice.  Where
 * the server dies between event and commit, the records are still there, and the
 * event names certificates that do not exist: cpis_retention_reconcile() shows it.
 *
 * Where deleting fails - a foreign key or a trigger of somebody's - the batch is
 * halved until the record that fails stands alone; that is noted in
 * cpis.purge_failure, and the others go.  An error that concerns no single record -
 * the event cannot be recorded, the statement is cancelled - is raised.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "own_change.h"
#include "purge_batch.h"
#include "request.h"
#include "retention.h"
#include "row_delete.h"
#include "trusted_code.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/*
 * Begin a batch with nothing in it, in this memory context.
 */
void
PurgeBatchBegin(PurgeBatch *batch, CpisRelation table, int size)
{
	memset(batch, 0, sizeof(PurgeBatch));
	batch->table = table;
	batch->size = size;
	batch->tids = palloc(size * sizeof(ItemPointerData));
	batch->keys = palloc(size * sizeof(PurgeKey));
	batch->removals = palloc(size * sizeof(Removal));
}

static int
compare_ids(const void *a, const void *b)
{
	int64		one = *(const int64 *) a;
	int64		other = *(const int64 *) b;

	return (one > other) - (one < other);
}

/* Records of a batch that are to be deleted, and which were. */
typedef struct Part
{
	const PurgeBatch *batch;
	int			first;
	int			n;
	bool	   *gone;
	OwnChange	change;
	int64	   *ids;			/* of those that are meant */
} Part;

/*
 * What is meant from here on is what is gone: other triggers must not delete the rest.
 */
static void
mean_gone(void *context)
{
	Part	   *part = context;
	int			n = 0;

	for (int i = 0; i < part->n; i++)
	{
		if (part->gone[i])
			part->ids[n++] = part->batch->keys[part->first + i].id;
	}
	qsort(part->ids, n, sizeof(int64), compare_ids);
	part->change.nids = n;
}

static void
delete_rows(void *context)
{
	Part	   *part = context;
	Relation	table = CpisTableOpen(part->batch->table, RowExclusiveLock);

	RowDelete(table, part->batch->tids + part->first, part->n, part->gone, mean_gone, part);
	table_close(table, NoLock);
}

/*
 * Delete records.  Constraints that are put off to the commit are looked at here,
 * where it is known whose they are.
 */
static void
delete_records(Part *part)
{
	part->ids = palloc(part->n * sizeof(int64));
	part->change.table = CpisRelationOid(part->batch->table);
	part->change.operation = CMD_DELETE;
	part->change.ids = part->ids;
	part->change.nids = 0;		/* before they are gone, nobody else may delete them */
	OwnChangeRun(&part->change, delete_rows, part);
	(void) OwnChangeExecute(&part->change, "SET CONSTRAINTS ALL IMMEDIATE", 0, NULL, NULL, NULL, NULL);
}

/*
 * Is the error one that another row would have too?  A lock that does not come would be
 * waited for once more with each half.
 */
static bool
concerns_no_row(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK) ||
		error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_READ_ONLY_SQL_TRANSACTION;
}

/*
 * Delete them in a subtransaction; where that fails, nothing has happened, and
 * the error is answered.
 */
static ErrorData *
try_to_delete(Part *part)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext attempt = AllocSetContextCreate(context, "cpis purge attempt", ALLOCSET_DEFAULT_SIZES);
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(attempt);
	PG_TRY();
	{
		delete_records(part);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	MemoryContextDelete(attempt);

	if (error != NULL && concerns_no_row(error))
		ReThrowError(error);
	return error;
}

/*
 * Note that a record could not be removed, and say so.
 */
static void
note_failure(PurgeBatch *batch, const PurgeKey *key, const ErrorData *error)
{
	static const Oid types[] = {INT8OID, INT8OID, INT4OID, TEXTOID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_PURGE_FAILURE)};
	bool		is_plan = key->line_no == 0;
	const char	nulls[] = {is_plan ? ' ' : 'n', is_plan ? 'n' : ' ', is_plan ? 'n' : ' ', ' '};
	Datum		values[4];

	batch->failed++;
	values[0] = values[1] = Int64GetDatum(key->id);
	values[2] = Int32GetDatum(key->line_no);
	values[3] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
	(void) OwnChangeExecute(&change,
							"INSERT INTO cpis.purge_failure (plan_id, submission_id, line_no, failed_at, sqlstate)"
							" VALUES ($1, $2, $3, pg_catalog.clock_timestamp(), $4)"
							" ON CONFLICT ON CONSTRAINT purge_failure_one_record"
							" DO UPDATE SET failed_at = excluded.failed_at, sqlstate = excluded.sqlstate",
							lengthof(types), types, values, nulls, NULL);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 is_plan ?
			 errmsg("could not remove plan " INT64_FORMAT ": %s", key->id, error->message) :
			 errmsg("could not remove line %d of submission " INT64_FORMAT ": %s", key->line_no, key->id,
					error->message)));
}

/*
 * Record the removal of records that have been deleted, and certify it.
 */
static void
certify(const PurgeBatch *batch, const Removal *removals, int n)
{
	MerkleHash *leaves = palloc(n * sizeof(MerkleHash));
	char		root_text[2 * SHA256_LENGTH + 1];
	MerkleHash	root;
	StringInfoData buffer;
	AuditEvent	event;

	initStringInfo(&buffer);
	for (int i = 0; i < n; i++)
		RemovalLeaf(&removals[i], &buffer, &leaves[i]);
	RemovalRoot(leaves, n, &root);
	root_text[hex_encode((char *) root.bytes, SHA256_LENGTH, root_text)] = '\0';

	AuditEventInit(&event, REMOVAL_ACTION);
	snprintf(event.detail, sizeof(event.detail), "%s: %d, root: %s, holds: %s",
			 batch->table == CPIS_PLAN ? "plans" : "submission records", n, root_text, batch->holds);
	RecordChange(&event);
	RemovalInsert(removals, n, event.event_id, event.recorded_at);
}

/*
 * Certify those of the part that are gone.
 */
static void
certify_gone(PurgeBatch *batch, const Part *part)
{
	Removal    *gone = palloc(part->n * sizeof(Removal));
	int			n = 0;

	for (int i = 0; i < part->n; i++)
	{
		if (part->gone[i])
			gone[n++] = batch->removals[part->first + i];
	}
	if (n > 0)
		certify(batch, gone, n);
	batch->removed += n;
	batch->passed_over += part->n - n;
	pfree(gone);
}

/*
 * Remove records of the batch; halve it where that fails.
 */
static void
remove_records(PurgeBatch *batch, int first, int n)
{
	Part		part = {.batch = batch, .first = first, .n = n, .gone = palloc(n * sizeof(bool))};
	ErrorData  *error = try_to_delete(&part);

	if (error == NULL)
		certify_gone(batch, &part);
	else if (n == 1)
		note_failure(batch, &batch->keys[first], error);
	else
	{
		remove_records(batch, first, n / 2);
		remove_records(batch, first + n / 2, n - n / 2);
	}
	pfree(part.gone);
}

/*
 * Remove the records of the batch, in the present transaction.  That somebody else's
 * code would run is no fault of a record, and is said once.
 */
void
PurgeBatchRemove(PurgeBatch *batch)
{
	if (batch->n == 0)
		return;
	RequireTrustedCode(CpisRelationOid(batch->table));
	remove_records(batch, 0, batch->n);
}
