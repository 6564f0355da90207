/*-------------------------------------------------------------------------
 *
 * trail_read.c
 *	  Who reads through views of the extension is recorded.
 *
 * The views of authorities (authority_view.c) and those of stewards show people.  Who reads one
 * leaves an event, action read, which is durable before the first row.
 *
 * A view of stewards asks cpis.record_read() in a sub-select that depends on nothing, so
 * that the executor evaluates it once, and before it reads anything: as a one-time filter
 * above whatever the view is planned as.  What the caller adds to the query is evaluated
 * after it.
 *
 * A function for stewards that tells something of one person calls TrailReadPerson() first.
 *
 * Where nothing can be recorded, as on a standby, the read fails.  Nothing is locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "argument.h"
#include "audit_event.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "entitlement.h"
#include "fmgr.h"
#include "request.h"
#include "trail_read.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "watched.h"

PG_FUNCTION_INFO_V1(cpis_record_read);

#define READ_ACTION "read"

/*
 * Record that a view is read; "whose" says of whom it shows something, or is NULL.
 */
void
TrailReadRecord(const char *view, const char *whose)
{
	AuditEvent	event;

	RequestCheckCallable("a query of recorded views");
	AuditEventInit(&event, READ_ACTION);
	strlcpy(event.outcome, "done", sizeof(event.outcome));
	snprintf(event.detail, sizeof(event.detail), "cpis.%s%s%s", view, whose == NULL ? "" : " of ", whose == NULL ? "" : whose);
	RecordEvent(&event, QUEUE_CHANGES);
}

/*
 * Record that the role in force is refused something, and raise the error; "refused" is the event,
 * and "kind" and "name" are what it is.
 */
static void
refuse(AuditEvent *refused, const char *kind, const char *name)
{
	strlcpy(refused->outcome, "refused", sizeof(refused->outcome));
	RecordEvent(refused, QUEUE_REFUSALS);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to read %s \"%s\"", kind, name),
			 errdetail("The refusal is recorded in the audit trail.")));
}

/*
 * Refuse a view to the role in force, and record that.
 */
void
TrailReadRefuse(const char *view)
{
	AuditEvent	event;

	RequestCheckCallable("a query of recorded views");
	AuditEventInit(&event, READ_ACTION);
	snprintf(event.detail, sizeof(event.detail), "not entitled to read cpis.%s", view);
	refuse(&event, "view", view);
}

/*
 * Record that this function tells a steward something of a person, or refuse it to who is none.
 */
void
TrailReadPerson(const char *function, int32 nhs_number)
{
	AuditEvent	event;

	RequestCheckCallable(psprintf("%s()", function));
	AuditEventInit(&event, READ_ACTION);
	event.has_nhs_number = true;
	event.nhs_number = nhs_number;
	snprintf(event.detail, sizeof(event.detail), "%s()", function);
	if (!EntitledAsSteward())
		refuse(&event, "function", function);
	strlcpy(event.outcome, "done", sizeof(event.outcome));
	RecordEvent(&event, QUEUE_CHANGES);
}

/*
 * cpis.record_read(view) -> boolean: true, once it is recorded that a steward reads this view of
 * the extension.
 */
Datum
cpis_record_read(PG_FUNCTION_ARGS)
{
	char	   *view = ArgumentText(fcinfo, 0, "view", true, NAMEDATALEN - 1);
	Oid			schema = get_namespace_oid("cpis", true);

	if ((Watched(RelationRelationId, get_relname_relid(view, schema), NULL) & WATCHED_VIEW) == 0)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "view", "is not a view that is recorded");
	if (!EntitledAsSteward())
		TrailReadRefuse(view);
	TrailReadRecord(view, NULL);
	PG_RETURN_BOOL(true);
}
