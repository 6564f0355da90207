/*-------------------------------------------------------------------------
 *
 * plan_term.h
 *	  Until when a plan is held.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PLAN_TERM_H
#define CPIS_PLAN_TERM_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "reference.h"
#include "utils/date.h"

/* What is said of kinds of plan, as far as it has been asked. */
#define PLAN_POLICY_KINDS 8
typedef struct PlanPolicy
{
	const Reading *reading;
	int			nkinds;
	struct
	{
		char		kind[NAMEDATALEN];
		int			days;
	}			kinds[PLAN_POLICY_KINDS];
} PlanPolicy;

/* The last day on which a plan is held. */
typedef struct PlanTerm
{
	int64		last_day;		/* a DateADT, or TERM_WITHOUT_END */
	bool		has_days;		/* is it so many days after the end date? */
	int			days;
} PlanTerm;

#define TERM_WITHOUT_END PG_INT64_MAX

extern void PlanPolicyBegin(PlanPolicy *policy, const Reading *reading);
extern int	PlanPolicyDays(PlanPolicy *policy, const char *kind);
extern PlanTerm PlanTermOf(PlanPolicy *policy, HeapTuple tuple,
						   TupleDesc descriptor);

/*
 * The one predicate: is a plan with this term held today?
 */
static inline bool
PlanTermIsHeld(const PlanTerm *term, DateADT today)
{
	return today <= term->last_day;
}

#endif							/* CPIS_PLAN_TERM_H */
