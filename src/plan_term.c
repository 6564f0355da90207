/*-------------------------------------------------------------------------
 *
 * plan_term.c
 *	  Until when a plan is held.
 *
 * A plan is held until its end date and the days of its retention have passed,
 * the last of them included (guidance, section 5.2), and not from the delete date
 * on, where the authority sent one.  Both are days in England (day.c).  A start
 * date does not hide a plan: one that somebody entered early is shown with its
 * start date, for a missed one can cost a child.
 *
 * This is the one place that says so: for the look-up, which hides what is not
 * held, for the trigger that guards plans, for the purge and for its preview.
 *
 * The days are those of the kind of plan (retention_days.c), which also says what
 * is read and locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "plan_record.h"
#include "plan_term.h"
#include "retention_days.h"

/*
 * Begin with nothing known, under this reading, which must outlive the policy.
 */
void
PlanPolicyBegin(PlanPolicy *policy, const Reading *reading)
{
	policy->reading = reading;
	policy->nkinds = 0;
}

/*
 * Days for which plans of this kind are held after their end date, or
 * RETENTION_WITHOUT_END.  So is a plan held of whose kind nothing is known: neither
 * look-up nor purge must stop at it, and cpis_retention_reconcile() shows it.
 */
int
PlanPolicyDays(PlanPolicy *policy, const char *kind)
{
	int			days;

	for (int i = 0; i < policy->nkinds; i++)
	{
		if (strcmp(policy->kinds[i].kind, kind) == 0)
			return policy->kinds[i].days;
	}
	if (!RetentionDaysFind(policy->reading, kind, &days))
		days = RETENTION_WITHOUT_END;
	if (policy->nkinds < PLAN_POLICY_KINDS)
	{
		strlcpy(policy->kinds[policy->nkinds].kind, kind, NAMEDATALEN);
		policy->kinds[policy->nkinds++].days = days;
	}
	return days;
}

/*
 * A date of the plan; false where there is none.
 */
static bool
get_date(HeapTuple tuple, TupleDesc descriptor, PlanColumn column, DateADT *date)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, descriptor, &isnull);

	*date = DatumGetDateADT(value);
	return !isnull;
}

/*
 * The term of the plan in this row of cpis.plan.
 */
PlanTerm
PlanTermOf(PlanPolicy *policy, HeapTuple tuple, TupleDesc descriptor)
{
	PlanTerm	term = {.last_day = TERM_WITHOUT_END};
	DateADT		date;

	if (get_date(tuple, descriptor, PLAN_END_DATE, &date))
	{
		char	   *kind = CpisTextAttribute(tuple, descriptor, PLAN_PLAN_TYPE);
		int			days = PlanPolicyDays(policy, kind);

		pfree(kind);
		if (days != RETENTION_WITHOUT_END)
		{
			term.last_day = (int64) date + days;
			term.has_days = true;
			term.days = days;
		}
	}
	if (get_date(tuple, descriptor, PLAN_DELETE_DATE, &date) && date <= term.last_day)
	{
		term.last_day = (int64) date - 1;
		term.has_days = false;
	}
	return term;
}
