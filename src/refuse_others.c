/*-------------------------------------------------------------------------
 *
 * refuse_others.c
 *	  The trigger function cpis.refuse_others().
 *
 * Refuses the statement it fires for, with its argument, one whole sentence, as the
 * reason, to everybody but the owner of the table and superusers.  A restore inserts
 * as one of them, and so do functions of the extension (own_change.c), having recorded
 * what they do: a privilege on the table alone is not enough.  Attached ENABLE ALWAYS,
 * so that session_replication_role does not get past it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(cpis_refuse_others);

Datum
cpis_refuse_others(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_trigger->tgnargs != 1 ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as trigger for statements, with one argument",
						"cpis.refuse_others")));

	if (!has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table \"%s\" to change it directly",
						RelationGetRelationName(trigger->tg_relation)),
				 errdetail_internal("%s", trigger->tg_trigger->tgargs[0])));
	return PointerGetDatum(NULL);
}
