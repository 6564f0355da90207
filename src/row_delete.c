/*-------------------------------------------------------------------------
 *
 * row_delete.c
 *	  Delete rows that are known, and wait for nobody who has one.
 *
 * What DELETE does - all triggers of the table fire, foreign keys among them - but of
 * the very versions of rows that the caller has seen: a row that somebody has changed
 * since, or has locked, is left, and told.  DELETE would wait for him, and then take
 * whatever he made of the row; and to lock each row first costs a fourth as much again.
 * What triggers and foreign keys do may wait.  Rules and row security are not looked at.
 *
 * For the purge, under RowExclusiveLock on the table, inside a subtransaction of its
 * own that takes everything back where a trigger raises an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "compat.h"
#include "executor/executor.h"
#include "row_delete.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* One statement. */
typedef struct Deletion
{
	Relation	table;
	EState	   *estate;
	ResultRelInfo *target;
	EPQState	recheck;
	TransitionCaptureState *capture;
	TupleTableSlot *locked;		/* where there are BEFORE triggers */
} Deletion;

static void
begin(Deletion *deletion, Relation table)
{
	EState	   *estate = CreateExecutorState();

	memset(deletion, 0, sizeof(Deletion));
	deletion->table = table;
	deletion->estate = estate;
	deletion->target = makeNode(ResultRelInfo);
	InitResultRelInfo(deletion->target, table, 0, NULL, 0);
	estate->es_opened_result_relations = list_make1(deletion->target);
	estate->es_output_cid = GetCurrentCommandId(true);
	CPIS_EVAL_PLAN_QUAL_INIT(&deletion->recheck, estate);
	AfterTriggerBeginQuery();
	deletion->capture = MakeTransitionCaptureState(table->trigdesc, RelationGetRelid(table), CMD_DELETE);
	if (table->trigdesc != NULL && table->trigdesc->trig_delete_before_row)
		deletion->locked = table_slot_create(table, &estate->es_tupleTable);
	ExecBSDeleteTriggers(estate, deletion->target);
}

static void
end(Deletion *deletion)
{
	EState	   *estate = deletion->estate;

	ExecASDeleteTriggers(estate, deletion->target, deletion->capture);
	AfterTriggerEndQuery(estate);
	EvalPlanQualEnd(&deletion->recheck);
	ExecCloseResultRelations(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
	CommandCounterIncrement();
}

/*
 * Was it so?  What a trigger has changed meanwhile is nobody else's.
 */
static bool
is_done(TM_Result result, const TM_FailureData *failure)
{
	if (result == TM_SelfModified ||
		((result == TM_Updated || result == TM_Deleted) &&
		 TransactionIdIsCurrentTransactionId(failure->xmax)))
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("a trigger has changed the record itself")));
	return result == TM_Ok;
}

/*
 * Fire BEFORE triggers, under a lock on the row, for they would wait for who has one;
 * false where the row cannot be locked as it is.
 */
static bool
fire_before(Deletion *deletion, ItemPointer tid)
{
	ItemPointerData row = *tid;
	TM_FailureData failure;

	if (deletion->locked == NULL)
		return true;
	if (!is_done(table_tuple_lock(deletion->table, &row, GetActiveSnapshot(), deletion->locked,
								  deletion->estate->es_output_cid, LockTupleExclusive, LockWaitSkip, 0,
								  &failure), &failure))
		return false;
	ExecClearTuple(deletion->locked);
	if (!CPIS_EXEC_BR_DELETE_TRIGGERS(deletion->estate, &deletion->recheck, deletion->target, tid))
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("a trigger has kept the record")));
	return true;
}

static bool
delete_row(Deletion *deletion, ItemPointer tid)
{
	/* Without waiting, a lock of one's own counts as somebody's. */
	bool		wait = deletion->locked != NULL;
	TM_FailureData failure;

	if (!fire_before(deletion, tid) ||
		!is_done(table_tuple_delete(deletion->table, tid, deletion->estate->es_output_cid, GetActiveSnapshot(),
									InvalidSnapshot, wait, &failure, false), &failure))
		return false;
	ExecARDeleteTriggers(deletion->estate, deletion->target, tid, NULL, deletion->capture, false);
	return true;
}

/*
 * Delete these rows; gone[i] says whether the row was there as it was seen, and nobody
 * had locked it.  "then" is called before AFTER triggers fire.
 */
void
RowDelete(Relation table, const ItemPointerData *tids, int n, bool *gone,
		  RowDeleteThen then, void *context)
{
	Deletion	deletion;

	begin(&deletion, table);
	for (int i = 0; i < n; i++)
	{
		ItemPointerData tid = tids[i];

		gone[i] = delete_row(&deletion, &tid);
		ResetPerTupleExprContext(deletion.estate);
	}
	then(context);
	end(&deletion);
}
