/*-------------------------------------------------------------------------
 *
 * correct.c
 *	  cpis_plan_correct(): a record that was added in error or has wrong dates.
 *
 * The one way to have a plan held for less long than its dates said.  It changes
 * dates only: a record added in error gets the present day as its delete date, is
 * hidden from then on, and removed, with its certificate, by the purge.
 *
 * The change is made first and then recorded, so that one that a constraint
 * refuses is not recorded; the event is durable, and the authority has its notice,
 * before the change can be committed.
 *
 * Locks the row of the plan to the end of the transaction.  An error leaves it as
 * it was, and tells nothing of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "argument.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "day.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "own_change.h"
#include "plan_record.h"
#include "reference.h"
#include "request.h"
#include "retention.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cpis_plan_correct);

/* The dates, in the order of the arguments. */
static const struct
{
	PlanColumn	column;
	const char *name;
}			dates[] =
{
	{PLAN_START_DATE, "start_date"},
	{PLAN_END_DATE, "end_date"},
	{PLAN_DELETE_DATE, "delete_date"},
};

#define FIRST_DATE_ARGUMENT 2

/*
 * Lock the plan and take its newest version apart; 22023 where there is none.
 */
static void
lock_plan(Relation table, int64 plan_id, TupleTableSlot *slot, PlanRecord *plan)
{
	Reading		reading = ReadingBegin();
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	ItemPointerData tid;
	TM_FailureData failure;
	bool		found;

	ScanKeyInit(&key, PLAN_PLAN_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(plan_id));
	scan = systable_beginscan(table, CpisRelationOid(CPIS_PLAN_PKEY), true,
							  reading.snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
		tid = tuple->t_self;
	systable_endscan(scan);
	if (!found ||
		table_tuple_lock(table, &tid, reading.snapshot, slot, GetCurrentCommandId(true),
						 LockTupleNoKeyExclusive, LockWaitBlock,
						 TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure) != TM_Ok)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no plan " INT64_FORMAT, plan_id)));
	ReadingEnd(&reading);
	PlanRecordReadSlot(slot, plan);
}

static char *
date_text(Datum date, bool isnull)
{
	if (isnull)
		return "none";
	return DATE_NOT_FINITE(DatumGetDateADT(date)) ? "-infinity" : DayText(DatumGetDateADT(date));
}

/*
 * Put the dates that are given into the record, and into words what changes;
 * infinity takes one away.
 */
static char *
change_dates(FunctionCallInfo fcinfo, PlanRecord *plan)
{
	StringInfoData words;

	initStringInfo(&words);
	for (int i = 0; i < lengthof(dates); i++)
	{
		Datum	   *value = &plan->values[dates[i].column - 1];
		bool	   *isnull = &plan->isnull[dates[i].column - 1];
		Datum		given = PG_GETARG_DATUM(FIRST_DATE_ARGUMENT + i);
		bool		takes_away;

		if (PG_ARGISNULL(FIRST_DATE_ARGUMENT + i))
			continue;
		takes_away = DATE_IS_NOEND(DatumGetDateADT(given));
		if (takes_away == *isnull && (takes_away || DatumGetDateADT(given) == DatumGetDateADT(*value)))
			continue;
		appendStringInfo(&words, "%s%s %s was %s", words.len > 0 ? ", " : "", dates[i].name,
						 date_text(given, takes_away), date_text(*value, *isnull));
		*value = given;
		*isnull = takes_away;
	}
	if (words.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the plan has these dates already")));
	return words.data;
}

/*
 * Put the dates into the row, and see that they are there.
 */
static void
store(Relation table, int64 plan_id, const PlanRecord *plan)
{
	static const Oid types[] = {INT8OID, DATEOID, DATEOID, DATEOID};
	OwnChange	change = {.table = RelationGetRelid(table), .operation = CMD_UPDATE, .ids = &plan_id, .nids = 1};
	MemoryContext context = CurrentMemoryContext;
	Datum		values[1 + lengthof(dates)];
	char		nulls[1 + lengthof(dates)] = {' '};

	values[0] = Int64GetDatum(plan_id);
	for (int i = 0; i < lengthof(dates); i++)
	{
		values[1 + i] = plan->values[dates[i].column - 1];
		nulls[1 + i] = plan->isnull[dates[i].column - 1] ? 'n' : ' ';
	}
	PG_TRY();
	{
		(void) OwnChangeExecute(&change,
								"UPDATE cpis.plan SET start_date = $2, end_date = $3, delete_date = $4"
								" WHERE plan_id = $1", lengthof(types), types, values, nulls, NULL);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		OwnChangeRethrow(error, "the plan cannot have these dates");
	}
	PG_END_TRY();
	/* Other triggers of the table may have made something else of it. */
	if (OwnChangeExecute(&change,
						 "SELECT plan_id FROM cpis.plan WHERE plan_id = $1 AND start_date = $2"
						 " AND end_date IS NOT DISTINCT FROM $3 AND delete_date IS NOT DISTINCT FROM $4",
						 lengthof(types), types, values, nulls, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("plan " INT64_FORMAT " was not corrected", plan_id),
				 errdetail("A trigger has made something else of it.")));
}

/*
 * Leave a row that is there when, and only when, the correction is.
 */
static void
store_correction(int64 plan_id, const AuditEvent *event)
{
	static const Oid types[] = {INT8OID, INT8OID, TIMESTAMPTZOID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_CORRECTION)};
	Datum		values[3];

	values[0] = Int64GetDatum(event->event_id);
	values[1] = Int64GetDatum(plan_id);
	values[2] = TimestampTzGetDatum(event->recorded_at);
	OwnChangeOne(&change,
							"INSERT INTO cpis.correction (event_id, plan_id, corrected_at) VALUES ($1, $2, $3)",
							lengthof(types), types, values, NULL, NULL);
}

/*
 * cpis_plan_correct(plan_id, reason, start_date, end_date, delete_date) -> bigint:
 * the event.  A date that is NULL stays as it is.
 */
Datum
cpis_plan_correct(PG_FUNCTION_ARGS)
{
	int64		plan_id;
	char	   *reason;
	Relation	table;
	TupleTableSlot *slot;
	PlanRecord	plan;
	char	   *words;
	AuditEvent	event;

	ChangeCheckCallable("cpis_plan_correct()");
	if (PG_ARGISNULL(0))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "plan_id", "must not be null");
	plan_id = PG_GETARG_INT64(0);
	reason = ArgumentText(fcinfo, 1, "reason", true, REASON_LENGTH);

	table = CpisTableOpen(CPIS_PLAN, RowExclusiveLock);
	slot = table_slot_create(table, NULL);
	lock_plan(table, plan_id, slot, &plan);
	words = change_dates(fcinfo, &plan);
	store(table, plan_id, &plan);

	AuditEventInit(&event, CORRECTION_ACTION);
	event.has_nhs_number = true;
	event.nhs_number = DatumGetInt32(plan.values[PLAN_NHS_NUMBER - 1]);
	event.plan_ids[event.nplans++] = plan_id;
	event.has_notify = event.notify = true;
	strlcpy(event.notified_authority[event.nnotified++],
			TextDatumGetCString(plan.values[PLAN_LOCAL_AUTHORITY - 1]), LOCAL_AUTHORITY_LENGTH + 1);
	snprintf(event.detail, sizeof(event.detail), "%s; %s", words, reason);
	ExecDropSingleTupleTableSlot(slot);
	RecordChange(&event);
	store_correction(plan_id, &event);
	table_close(table, NoLock);
	PG_RETURN_INT64(event.event_id);
}
