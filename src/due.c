/*-------------------------------------------------------------------------
 *
 * due.c
 *	  Which plans are due, and cpis_purge_preview().
 *
 * A plan is due when it is held no more (plan_term.c) and removed unless a hold
 * is on it (hold.c).  The purge and its preview ask here, so that the one does
 * what the other has shown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "day.h"
#include "due.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(cpis_purge_preview);

/*
 * Begin to read, with the newest snapshot.  Who is going to remove what it finds
 * has ShareLock on cpis.retention_policy and cpis.hold.
 */
void
DueSieveBegin(DueSieve *sieve, DateADT today)
{
	sieve->reading = ReadingBegin();
	sieve->today = today;
	PlanPolicyBegin(&sieve->policy, &sieve->reading);
	HoldsRead(&sieve->holds, sieve->reading.snapshot);
}

void
DueSieveEnd(DueSieve *sieve)
{
	ReadingEnd(&sieve->reading);
}

/*
 * Is the plan in the slot due?  If so, take it apart.
 */
bool
DueSieveTake(DueSieve *sieve, TupleTableSlot *slot, DuePlan *due)
{
	bool		must_free;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &must_free);
	char	   *local_authority;

	due->term = PlanTermOf(&sieve->policy, tuple, slot->tts_tupleDescriptor);
	if (PlanTermIsHeld(&due->term, sieve->today))
		return false;
	PlanRecordReadSlot(slot, &due->record);
	local_authority = TextDatumGetCString(due->record.values[PLAN_LOCAL_AUTHORITY - 1]);
	due->hold_id = HoldsFind(&sieve->holds,
							 DatumGetInt32(due->record.values[PLAN_NHS_NUMBER - 1]), local_authority);
	pfree(local_authority);
	return true;
}

/*
 * Put one plan that is due into the result.
 */
static void
put_due(ReturnSetInfo *rsinfo, const DuePlan *due)
{
	Datum		values[6];
	bool		isnull[6] = {false};

	values[0] = due->record.values[PLAN_PLAN_ID - 1];
	values[1] = due->record.values[PLAN_PLAN_TYPE - 1];
	values[2] = due->record.values[PLAN_LOCAL_AUTHORITY - 1];
	values[3] = DateADTGetDatum((DateADT) (due->term.last_day + 1));
	values[4] = Int32GetDatum(due->term.days);
	isnull[4] = !due->term.has_days;
	values[5] = Int64GetDatum(due->hold_id);
	isnull[5] = due->hold_id == 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
}

/*
 * cpis_purge_preview(as_of) -> plan_id, plan_type, local_authority, due_on,
 * retention_days, hold_id: the plans that are due then.  As of NULL is none.
 */
Datum
cpis_purge_preview(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	table;
	TableScanDesc scan;
	TupleTableSlot *slot;
	DueSieve	sieve;
	DuePlan		due;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(0)))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));

	table = CpisTableOpen(CPIS_PLAN, AccessShareLock);
	DueSieveBegin(&sieve, DayAt(PG_GETARG_TIMESTAMPTZ(0)));
	slot = table_slot_create(table, NULL);
	scan = table_beginscan(table, sieve.reading.snapshot, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (DueSieveTake(&sieve, slot, &due))
			put_due(rsinfo, &due);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	DueSieveEnd(&sieve);
	table_close(table, AccessShareLock);
	return (Datum) 0;
}
