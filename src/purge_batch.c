/*-------------------------------------------------------------------------
 *
 * purge_batch.c
 *	  Remove the records of one batch, with a certificate each.
 *
 * The purge has found the records, and has locked their rows.  Here they are
 * deleted; one event for them is recorded (removal.c), and waited for until it is
 * durable; then their certificates are inserted.  The caller commits.  So a record
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

#include "access/xact.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "own_change.h"
#include "purge_batch.h"
#include "request.h"
#include "retention.h"
#include "trusted_code.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

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

/*
 * Delete records of the batch from "first" on.  Constraints that are put off to the
 * commit are looked at here, where it is known whose they are.
 */
static void
delete_records(const PurgeBatch *batch, int first, int n)
{
	static const Oid types[] = {TIDARRAYOID};
	OwnChange	change = {.table = CpisRelationOid(batch->table), .operation = CMD_DELETE, .nids = n};
	int64	   *ids = palloc(n * sizeof(int64));
	Datum	   *tids = palloc(n * sizeof(Datum));
	Datum		values[1];

	for (int i = 0; i < n; i++)
	{
		ids[i] = batch->keys[first + i].id;
		tids[i] = PointerGetDatum(&batch->tids[first + i]);
	}
	qsort(ids, n, sizeof(int64), compare_ids);
	change.ids = ids;
	values[0] = PointerGetDatum(construct_array(tids, n, TIDOID, sizeof(ItemPointerData),
												false, TYPALIGN_SHORT));
	if (OwnChangeExecute(&change,
						 psprintf("DELETE FROM cpis.%s WHERE ctid OPERATOR(pg_catalog.=) ANY ($1)",
								  get_rel_name(change.table)),
						 lengthof(types), types, values, NULL, NULL) != n)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("a trigger has kept the record")));
	(void) OwnChangeExecute(&change, "SET CONSTRAINTS ALL IMMEDIATE", 0, NULL, NULL, NULL, NULL);
}

/*
 * Is the error one that another row, or another time, would have too?
 */
static bool
concerns_no_row(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) ||
		error->sqlerrcode == ERRCODE_READ_ONLY_SQL_TRANSACTION;
}

/*
 * Delete them in a subtransaction; where that fails, nothing has happened, and
 * the error is answered.
 */
static ErrorData *
try_to_delete(const PurgeBatch *batch, int first, int n)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		delete_records(batch, first, n);
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
certify(const PurgeBatch *batch, int first, int n)
{
	MerkleHash *leaves = palloc(n * sizeof(MerkleHash));
	char		root_text[2 * SHA256_LENGTH + 1];
	MerkleHash	root;
	StringInfoData buffer;
	AuditEvent	event;

	initStringInfo(&buffer);
	for (int i = 0; i < n; i++)
		RemovalLeaf(&batch->removals[first + i], &buffer, &leaves[i]);
	RemovalRoot(leaves, n, &root);
	root_text[hex_encode((char *) root.bytes, SHA256_LENGTH, root_text)] = '\0';

	AuditEventInit(&event, REMOVAL_ACTION);
	snprintf(event.detail, sizeof(event.detail), "%s: %d, root: %s, holds: %s",
			 batch->table == CPIS_PLAN ? "plans" : "submission records", n, root_text, batch->holds);
	RecordChange(&event);
	RemovalInsert(batch->removals + first, n, event.event_id, event.recorded_at);
}

/*
 * Remove records of the batch; halve it where that fails.
 */
static void
remove_records(PurgeBatch *batch, int first, int n)
{
	ErrorData  *error = try_to_delete(batch, first, n);

	if (error == NULL)
	{
		certify(batch, first, n);
		batch->removed += n;
	}
	else if (n == 1)
		note_failure(batch, &batch->keys[first], error);
	else
	{
		remove_records(batch, first, n / 2);
		remove_records(batch, first + n / 2, n - n / 2);
	}
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
