/*-------------------------------------------------------------------------
 *
 * authority.c
 *	  Acting for a local authority.
 *
 * What sends records or collects notices calls AuthorityRequire() before it does
 * anything else.  Who may not act for the authority is refused, and that is recorded
 * before the error is raised, except on a standby, where nothing can be.  Whether there is
 * such an authority, only who may act for it learns.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "audit_event.h"
#include "authority.h"
#include "entitlement.h"
#include "register.h"
#include "request.h"

static void
refuse(const char *local_authority, const char *action)
{
	AuditEvent	event;
	bool		recorded = !RecoveryInProgress();

	if (recorded)
	{
		AuditEventInit(&event, action);
		strlcpy(event.outcome, "refused", sizeof(event.outcome));
		snprintf(event.detail, sizeof(event.detail), "not entitled to act for local authority %s", local_authority);
		RecordEvent(&event, QUEUE_REFUSALS);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to act for the local authority"),
			 recorded ? errdetail("The refusal is recorded in the audit trail.") : 0,
			 errhint("The role must be a member of cpis_local_authority, and have been given the authority by cpis_scope_grant().")));
}

/*
 * Raise an error unless the role in force may act for this authority, 42501, and it is in
 * the register, 42704.
 */
void
AuthorityRequire(const char *local_authority, const char *action)
{
	if (!EntitledToActFor(local_authority))
		refuse(local_authority, action);
	RegisterRequireAuthority(local_authority);
}
