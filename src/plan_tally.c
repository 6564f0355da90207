/*-------------------------------------------------------------------------
 *
 * plan_tally.c
 *	  The trigger function cpis.tally_plans(): double-entry for cpis.plan.
 *
 * Each statement that changes plans leaves a row in cpis.plan_tally: by how many
 * rows the register grew, and by which fingerprint it changed, the exclusive or
 * of those of the rows that went and came.  All rows of the tally together say
 * how many plans there should be, and with which fingerprint;
 * cpis_retention_reconcile() compares.  What the guard (plan_guard.c) has not seen
 * is not added: so who changes or deletes plans while any of the triggers is
 * disabled is found out, however he leaves them.  Who makes the tally fit as well,
 * a superuser again, is not.
 *
 * The tally is not dumped: the statements of a restore make it anew.
 *
 * Runs in the caller's transaction, after the statement, and inserts without
 * regard to the caller's privileges.  Nothing waits for anything: the tally has
 * no index, and its rows are never updated.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "plan_guard.h"
#include "plan_record.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(cpis_tally_plans);

/* By what the register has changed. */
typedef struct Tally
{
	int64		plans;
	int64		fingerprint;
} Tally;

#define TALLY_NCOLUMNS 2

/*
 * Add rows of a transition table, each counted so many times.
 */
static void
add_rows(Tally *tally, Tuplestorestate *rows, TupleDesc descriptor, int times)
{
	TupleTableSlot *slot;
	StringInfoData buffer;

	if (rows == NULL)
		return;
	slot = MakeSingleTupleTableSlot(descriptor, &TTSOpsMinimalTuple);
	initStringInfo(&buffer);
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		PlanRecord	plan;

		PlanRecordReadSlot(slot, &plan);
		tally->plans += times;
		tally->fingerprint ^= PlanRecordFingerprint(&plan, &buffer);
	}
	ExecDropSingleTupleTableSlot(slot);
	pfree(buffer.data);
}

/*
 * Put a row into the tally, which is in the schema of the table of plans.
 */
static void
insert(const Tally *tally, Relation plans)
{
	Oid			oid = get_relname_relid("plan_tally", RelationGetNamespace(plans));
	Relation	table = OidIsValid(oid) ? try_table_open(oid, RowExclusiveLock) : NULL;
	Datum		values[TALLY_NCOLUMNS];
	bool		isnull[TALLY_NCOLUMNS] = {false};

	if (table == NULL || RelationGetNumberOfAttributes(table) != TALLY_NCOLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"cpis.%s\" does not exist", "plan_tally")));
	values[0] = Int64GetDatum(tally->plans);
	values[1] = Int64GetDatum(tally->fingerprint);
	simple_heap_insert(table, heap_form_tuple(RelationGetDescr(table), values, isnull));
	table_close(table, NoLock);
}

/*
 * Is this function, whatever its name, the guard and nothing around it?
 */
static bool
calls_guard(Oid function)
{
	FmgrInfo	info;

	fmgr_info(function, &info);
	return info.fn_addr == cpis_guard_plan;
}

/*
 * Has the guard, attached as it should be, seen the rows of this statement?
 */
static bool
guard_has_seen(Relation plans)
{
	const TriggerDesc *triggers = plans->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (strcmp(trigger->tgname, "guard") != 0 || trigger->tgenabled != TRIGGER_FIRES_ALWAYS)
			continue;
		return TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_AFTER(trigger->tgtype) &&
			TRIGGER_FOR_UPDATE(trigger->tgtype) && TRIGGER_FOR_DELETE(trigger->tgtype) &&
			trigger->tgqual == NULL && trigger->tgnattr == 0 && !trigger->tgdeferrable &&
			calls_guard(trigger->tgfoid);
	}
	return false;
}

/*
 * cpis.tally_plans() as trigger for statements, with transition tables.
 */
Datum
cpis_tally_plans(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	descriptor;
	Tally		tally = {0};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) ||
		(trigger->tg_oldtable == NULL && trigger->tg_newtable == NULL) ||
		!PlanTableIs(trigger->tg_relation, trigger->tg_trigger->tgfoid))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as trigger of \"%s\", after a statement, with transition tables",
						"cpis.tally_plans", "cpis.plan")));

	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && !guard_has_seen(trigger->tg_relation))
		return PointerGetDatum(NULL);
	descriptor = RelationGetDescr(trigger->tg_relation);
	add_rows(&tally, trigger->tg_oldtable, descriptor, -1);
	add_rows(&tally, trigger->tg_newtable, descriptor, 1);
	if (tally.plans != 0 || tally.fingerprint != 0)
		insert(&tally, trigger->tg_relation);
	return PointerGetDatum(NULL);
}
