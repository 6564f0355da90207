/*-------------------------------------------------------------------------
 *
 * due.h
 *	  Plans whose term has ended.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_DUE_H
#define CPIS_DUE_H

#include "access/tableam.h"
#include "hold.h"
#include "plan_record.h"
#include "plan_term.h"
#include "reference.h"
#include "utils/relcache.h"

/* What decides whether a plan is to be removed. */
typedef struct DueSieve
{
	Reading		reading;
	PlanPolicy	policy;
	Holds		holds;
	DateADT		today;
} DueSieve;

/* A plan that is due. */
typedef struct DuePlan
{
	PlanTerm	term;
	PlanRecord	record;			/* points into the row that was given */
	int64		hold_id;		/* that holds it back, or 0 */
} DuePlan;

extern void DueSieveBegin(DueSieve *sieve, DateADT today);
extern void DueSieveEnd(DueSieve *sieve);
extern bool DueSieveTake(DueSieve *sieve, TupleTableSlot *slot, DuePlan *due);

#endif							/* CPIS_DUE_H */
