/*-------------------------------------------------------------------------
 *
 * plan_guard.c
 *	  The trigger function cpis.guard_plan(): plans stay until their term ends.
 *
 *	INSERT		is no concern of it: a restore inserts.
 *	UPDATE		is refused where the plan would be held for less long than it was,
 *				or, where its end was open, could go today; and where it would be
 *				another's: who has been shown a plan looks for it under its number.
 *				What makes the term longer is welcome.
 *	DELETE		is refused: before the term ends, and after it too, for a removal
 *				leaves a certificate, which the purge alone makes.
 *	TRUNCATE	is refused, by the same function in a statement trigger.
 *
 * cpis_plan_correct() and the purge, which have recorded what they do, say which
 * plans they mean (own_change.c).  Attached ENABLE ALWAYS, so that
 * session_replication_role does not get past it, and as AFTER trigger, which sees what
 * other triggers have made of the row.
 *
 * Takes no lock but those of reading the policy; an error leaves the row as it
 * was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "day.h"
#include "fmgr.h"
#include "own_change.h"
#include "plan_record.h"
#include "plan_term.h"
#include "utils/datum.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(cpis_guard_plan);

static void
refuse(const TriggerData *trigger, const char *change, const char *detail,
	   const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s table \"%s\"", change,
					RelationGetRelationName(trigger->tg_relation)),
			 errdetail_internal("%s", detail),
			 errhint("%s", hint),
			 errtable(trigger->tg_relation)));
}

static bool
differs(const PlanRecord *before, const PlanRecord *after, PlanColumn column,
		bool by_value, int length)
{
	/* That it must be there is a constraint's to say. */
	return !before->isnull[column - 1] && !after->isnull[column - 1] &&
		!datum_image_eq(before->values[column - 1], after->values[column - 1], by_value, length);
}

/*
 * Would the update give the record another number or salt?
 */
static bool
becomes_another(const TriggerData *trigger)
{
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	PlanRecord	before;
	PlanRecord	after;

	PlanRecordRead(trigger->tg_trigtuple, descriptor, &before);
	PlanRecordRead(trigger->tg_newtuple, descriptor, &after);
	return differs(&before, &after, PLAN_PLAN_ID, FLOAT8PASSBYVAL, sizeof(int64)) ||
		differs(&before, &after, PLAN_NHS_NUMBER, true, sizeof(int32)) ||
		differs(&before, &after, PLAN_COMMITMENT_SALT, false, -1);
}

static bool
is_kind_of_plan(const Reading *reading, HeapTuple tuple, TupleDesc descriptor)
{
	char	   *kind = CpisTextAttribute(tuple, descriptor, PLAN_PLAN_TYPE);
	TupleDesc	ignored;

	return kind != NULL && ReferenceFind(reading, CPIS_PLAN_TYPE, kind, &ignored) != NULL;
}

/*
 * Refuse an update that would have the plan go earlier, or hide it.
 */
static void
check_update(const TriggerData *trigger)
{
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	Reading		reading = ReadingBegin();
	DateADT		today = DayToday();
	PlanPolicy	policy;
	PlanTerm	before;
	PlanTerm	after;

	PlanPolicyBegin(&policy, &reading);
	if (becomes_another(trigger))
		refuse(trigger, "update",
			   "A plan keeps its plan_id, nhs_number and commitment_salt.",
			   "End the one, or correct it with cpis_plan_correct(), and insert another.");
	/* What is no kind of plan is refused by the constraints. */
	if (!is_kind_of_plan(&reading, trigger->tg_newtuple, descriptor))
	{
		ReadingEnd(&reading);
		return;
	}
	before = PlanTermOf(&policy, trigger->tg_trigtuple, descriptor);
	after = PlanTermOf(&policy, trigger->tg_newtuple, descriptor);
	ReadingEnd(&reading);

	if (after.last_day >= before.last_day || !PlanTermIsHeld(&before, today))
		return;
	if (before.last_day != TERM_WITHOUT_END || !PlanTermIsHeld(&after, today))
		refuse(trigger, "update",
			   "The plan would be held for less long.",
			   "Use cpis_plan_correct() for a record that was added in error or has wrong dates.");
}

/*
 * cpis.guard_plan() as trigger: see above.  39P01 where it is not called as it
 * should be, 55000 for what is refused.
 */
Datum
cpis_guard_plan(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) == TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		(TRIGGER_FIRED_FOR_ROW(trigger->tg_event) && !TRIGGER_FIRED_AFTER(trigger->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as trigger", "cpis.guard_plan")));

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		refuse(trigger, "truncate", "Plans are held until their term ends.",
			   "CALL cpis_purge() removes those whose term has ended.");
	else
	{
		TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
		bool		isnull;
		int64		plan_id = DatumGetInt64(heap_getattr(trigger->tg_trigtuple, PLAN_PLAN_ID,
														 descriptor, &isnull));

		if (!OwnChangeHas(RelationGetRelid(trigger->tg_relation), plan_id))
		{
			if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
				check_update(trigger);
			else
				refuse(trigger, "delete from",
					   "Plans are held until their term ends, and their removal leaves a certificate.",
					   "Use cpis_plan_correct() for a record that was added in error; CALL cpis_purge() removes those whose term has ended.");
		}
	}
	return PointerGetDatum(NULL);
}
