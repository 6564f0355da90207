/*-------------------------------------------------------------------------
 *
 * refuse_change.c
 *	  The trigger function cpis.refuse_change().
 *
 * Refuses whatever statement or row change it fires for, with its argument,
 * one whole sentence, as the reason; but not one that a function of the extension
 * makes itself, having recorded it (own_change.c).  Attached ENABLE ALWAYS, so
 * that session_replication_role does not get past it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "own_change.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(cpis_refuse_change);

Datum
cpis_refuse_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *change;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as trigger, with one argument",
						"cpis.refuse_change")));

	if (OwnChangeIsOf(RelationGetRelid(trigger->tg_relation)))
		return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
							   trigger->tg_newtuple : trigger->tg_trigtuple);

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		change = "insert into";
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		change = "update";
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		change = "delete from";
	else
		change = "truncate";

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s table \"%s\"", change,
					RelationGetRelationName(trigger->tg_relation)),
			 errdetail_internal("%s", trigger->tg_trigger->tgargs[0])));
	PG_RETURN_NULL();
}
