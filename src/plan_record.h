/*-------------------------------------------------------------------------
 *
 * plan_record.h
 *	  A plan as a row of cpis.plan, and the commitment to it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PLAN_RECORD_H
#define CPIS_PLAN_RECORD_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "sha256.h"
#include "utils/relcache.h"

/* Columns of cpis.plan. */
typedef enum PlanColumn
{
	PLAN_PLAN_ID = 1,
	PLAN_NHS_NUMBER,
	PLAN_PLAN_TYPE,
	PLAN_LOCAL_AUTHORITY,
	PLAN_START_DATE,
	PLAN_END_DATE,
	PLAN_DELETE_DATE,
	PLAN_LOCAL_REFERENCE,
	PLAN_SUBMISSION_ID,
	PLAN_COMMITMENT_SALT
} PlanColumn;

#define PLAN_NCOLUMNS PLAN_COMMITMENT_SALT

/* A row of the table, taken apart. */
typedef struct PlanRecord
{
	Datum		values[PLAN_NCOLUMNS];
	bool		isnull[PLAN_NCOLUMNS];
} PlanRecord;

extern bool PlanTableIs(Relation table, Oid function);
extern void PlanRecordRead(HeapTuple tuple, TupleDesc descriptor, PlanRecord *plan);
extern void PlanRecordReadSlot(TupleTableSlot *slot, PlanRecord *plan);
extern void PlanRecordCommitment(const PlanRecord *plan, StringInfo buffer,
								 uint8 *commitment);
extern int64 PlanRecordFingerprint(const PlanRecord *plan, StringInfo buffer);

#endif							/* CPIS_PLAN_RECORD_H */
