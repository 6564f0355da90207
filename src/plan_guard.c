/*-------------------------------------------------------------------------
 *
 * plan_guard.c
 *	  The trigger function cpis.guard_plan(): plans stay until their term ends.
 *
 *	INSERT		is no concern of it: a restore inserts.
 *	UPDATE		is refused where the plan would be held for less long than it was; a
 *				plan without an end may get one that leaves it held today.  An end that is
 *				there may become later; to take it away is refused, for a new one could
 *				then be earlier.  Refused is also what would make the plan another's, or
 *				one of another kind: who has been shown it looks for it under its
 *				number, a hold for its authority, and its kind decides on its term.
 *	DELETE		is refused: before the term ends, and after it too, for a removal
 *				leaves a certificate, which the purge alone makes.
 *	TRUNCATE	is refused, by the same function in a statement trigger.
 *
 * cpis_plan_correct() and the purge say which plans they mean (own_change.c): of these,
 * the one may change dates, and the other may delete.  Attached ENABLE ALWAYS, so that
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
#include "plan_guard.h"
#include "plan_term.h"
#include "retention_days.h"
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

static bool
has_kind(const Reading *reading, HeapTuple tuple, TupleDesc descriptor)
{
	char	   *kind = CpisTextAttribute(tuple, descriptor, PLAN_PLAN_TYPE);
	TupleDesc	ignored;

	return kind != NULL && ReferenceFind(reading, CPIS_PLAN_TYPE, kind, &ignored) != NULL;
}

static bool
is_kind_known(HeapTuple tuple, TupleDesc descriptor)
{
	Reading		reading = ReadingBegin();
	bool		known = has_kind(&reading, tuple, descriptor);

	ReadingEnd(&reading);
	return known;
}

/*
 * Would the update make it the record of another child or authority, or one of another
 * kind, whose term may be shorter?  What is of no kind at all may get one.
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
		differs(&before, &after, PLAN_LOCAL_AUTHORITY, false, -1) ||
		(differs(&before, &after, PLAN_PLAN_TYPE, false, -1) && is_kind_known(trigger->tg_trigtuple, descriptor)) ||
		differs(&before, &after, PLAN_COMMITMENT_SALT, false, -1);
}

/*
 * See what the update does to the end date, whatever the policy says at present; true
 * where the plan gets its first.
 */
static bool
check_end(const TriggerData *trigger, const Reading *reading, DateADT today)
{
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	bool		had_none;
	bool		has_none;
	DateADT		before = DatumGetDateADT(heap_getattr(trigger->tg_trigtuple, PLAN_END_DATE, descriptor, &had_none));
	DateADT		after = DatumGetDateADT(heap_getattr(trigger->tg_newtuple, PLAN_END_DATE, descriptor, &has_none));
	char	   *kind;
	int			days;

	if (!had_none && (has_none || after < before))
		refuse(trigger, "update",
			   "An end date that is there may become later, but not earlier, and not be taken away.",
			   "Use cpis_plan_correct() for a record that has wrong dates.");
	if (!had_none || has_none)
		return false;

	kind = CpisTextAttribute(trigger->tg_newtuple, descriptor, PLAN_PLAN_TYPE);
	if (!RetentionDaysFind(reading, kind, &days) ||
		(days == RETENTION_WITHOUT_END && !RetentionDaysShipped(reading, kind, &days)))
		elog(ERROR, "no retention of plans");
	if ((int64) after + days < today)
		refuse(trigger, "update",
			   "A first end date must leave the plan held today.",
			   "Use cpis_plan_correct() for a record that has wrong dates.");
	return true;
}

/*
 * Refuse an update that would have the plan go earlier, or hide it.  A first end date
 * gives an open plan its term; a delete date would take it away.  So may a plan get one
 * that was of no kind at all.
 */
static void
check_term(const TriggerData *trigger)
{
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	Reading		reading = ReadingBegin();
	DateADT		today = DayToday();
	PlanPolicy	policy;
	PlanTerm	before;
	PlanTerm	after;
	bool		is_first;

	/* Its constraint would let that by under session_replication_role. */
	if (!has_kind(&reading, trigger->tg_newtuple, descriptor))
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("cannot update table \"%s\"", "plan"),
				 errdetail("There is no such kind of plan in \"%s\".", "cpis.plan_type")));
	is_first = check_end(trigger, &reading, today);
	PlanPolicyBegin(&policy, &reading);
	before = PlanTermOf(&policy, trigger->tg_trigtuple, descriptor);
	after = PlanTermOf(&policy, trigger->tg_newtuple, descriptor);
	if (!has_kind(&reading, trigger->tg_trigtuple, descriptor))
		is_first = PlanTermIsHeld(&after, today);
	ReadingEnd(&reading);

	if (after.last_day < before.last_day && !(is_first && after.has_days))
		refuse(trigger, "update",
			   "The plan would be held for less long.",
			   "Use cpis_plan_correct() for a record that was added in error or has wrong dates.");
}

/*
 * Check one row that has been updated or deleted.
 */
static void
check_row(const TriggerData *trigger)
{
	bool		isnull;
	Datum		plan_id = heap_getattr(trigger->tg_trigtuple, PLAN_PLAN_ID,
									   RelationGetDescr(trigger->tg_relation), &isnull);
	bool		updates = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	bool		is_own = OwnChangeHas(RelationGetRelid(trigger->tg_relation),
									  updates ? CMD_UPDATE : CMD_DELETE, DatumGetInt64(plan_id));

	if (updates && becomes_another(trigger))
		refuse(trigger, "update",
			   "A plan keeps its plan_id, nhs_number, plan_type, local_authority and commitment_salt.",
			   "End the one, or correct it with cpis_plan_correct(), and insert another.");
	if (is_own)
		return;
	if (updates)
		check_term(trigger);
	else
		refuse(trigger, "delete from",
			   "Plans are removed by the purge alone, which leaves a certificate.",
			   "Use cpis_plan_correct() for a record that was added in error; CALL cpis_purge() removes those whose term has ended.");
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
		(TRIGGER_FIRED_FOR_ROW(trigger->tg_event) && !TRIGGER_FIRED_AFTER(trigger->tg_event)) ||
		!PlanTableIs(trigger->tg_relation, trigger->tg_trigger->tgfoid))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as trigger of \"%s\"", "cpis.guard_plan", "cpis.plan")));

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		refuse(trigger, "truncate", "Plans are held until their term ends.",
			   "CALL cpis_purge() removes those whose term has ended.");
	else
		check_row(trigger);
	return PointerGetDatum(NULL);
}
