/*-------------------------------------------------------------------------
 *
 * scope.c
 *	  Which role acts for which local authority.
 *
 * cpis_scope_grant() and cpis_scope_revoke() change cpis.role_scope, having recorded it,
 * and entitlement.c asks ScopeCoversAuthority().  A scope counts for whoever has the
 * privileges of its role, as a granted privilege would.  Roles stand there by name, so
 * that a dump can be restored into another cluster; a name that is no role's covers
 * nothing.
 *
 * A grant or a revocation takes RowExclusiveLock on the table; whoever acts already is
 * not waited for.  An error leaves everything as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "argument.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "entitlement.h"
#include "fmgr.h"
#include "own_change.h"
#include "reference.h"
#include "register.h"
#include "request.h"
#include "scope.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cpis_scope_grant);
PG_FUNCTION_INFO_V1(cpis_scope_revoke);

#define SCOPE_ACTION "scope"

/* Columns of cpis.role_scope. */
#define SCOPE_ROLE_NAME 1
#define SCOPE_LOCAL_AUTHORITY 2

/*
 * Does the role have a scope, of its own or of a role whose privileges it has, that
 * covers this authority?
 */
bool
ScopeCoversAuthority(Oid role, const char *local_authority)
{
	Reading		reading = ReadingBegin();
	Relation	table = CpisTableOpen(CPIS_ROLE_SCOPE, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, reading.snapshot, 0, NULL);
	TupleDesc	descriptor = RelationGetDescr(table);
	bool		covered = false;
	HeapTuple	tuple;

	while (!covered && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		char	   *authority = CpisTextAttribute(tuple, descriptor, SCOPE_LOCAL_AUTHORITY);
		char	   *name = CpisTextAttribute(tuple, descriptor, SCOPE_ROLE_NAME);

		if (authority != NULL && name != NULL && strcmp(authority, local_authority) == 0)
		{
			Oid			scoped = get_role_oid(name, true);

			covered = OidIsValid(scoped) && has_privs_of_role(role, scoped);
		}
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	ReadingEnd(&reading);
	return covered;
}

/*
 * Record the change, and make it.  "done" is what the trail says of it.
 */
static int64
change_scope(FunctionCallInfo fcinfo, const char *done, const char *command, bool must_exist)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID};
	OwnChange	change = {0};
	Datum		values[4];
	char	   *role = ArgumentText(fcinfo, 0, "role_name", true, NAMEDATALEN - 1);
	char	   *authority = ArgumentText(fcinfo, 1, "local_authority", true, LOCAL_AUTHORITY_LENGTH);
	AuditEvent	event;

	change.table = CpisRelationOid(CPIS_ROLE_SCOPE);
	values[0] = CStringGetTextDatum(role);
	values[1] = CStringGetTextDatum(authority);
	if ((OwnChangeExecute(&change, "SELECT 1::bigint FROM cpis.role_scope WHERE role_name = $1 AND local_authority = $2 FOR UPDATE",
						  2, types, values, NULL, NULL) > 0) != must_exist)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 must_exist ? errmsg("role \"%s\" has no scope for local authority %s", role, authority)
				 : errmsg("role \"%s\" has a scope for local authority %s already", role, authority)));
	AuditEventInit(&event, SCOPE_ACTION);
	snprintf(event.detail, sizeof(event.detail), "%s local authority %s: role %s", done, authority, role);
	RecordChange(&event);
	values[2] = TimestampTzGetDatum(event.recorded_at);
	values[3] = Int64GetDatum(event.event_id);
	OwnChangeOne(&change, command, must_exist ? 2 : lengthof(types), types, values, NULL, NULL);
	return event.event_id;
}

/*
 * cpis_scope_grant(role_name, local_authority) -> bigint: the event.  42704 for an
 * unknown role or authority, 22023 where the role has the scope.
 */
Datum
cpis_scope_grant(PG_FUNCTION_ARGS)
{
	Oid			role;

	ChangeCheckCallable("cpis_scope_grant()");
	role = get_role_oid(ArgumentText(fcinfo, 0, "role_name", true, NAMEDATALEN - 1), false);
	RegisterRequireAuthority(ArgumentText(fcinfo, 1, "local_authority", true, LOCAL_AUTHORITY_LENGTH));
	if (!EntitledGroupHas(role))
		ereport(NOTICE,
				(errmsg("the role is not a member of cpis_local_authority, and cannot act for the authority before it is")));
	PG_RETURN_INT64(change_scope(fcinfo, "granted for",
								 "INSERT INTO cpis.role_scope (role_name, local_authority, granted_at, event_id)"
								 " VALUES ($1, $2, $3, $4)", false));
}

/*
 * cpis_scope_revoke(role_name, local_authority) -> bigint: the event.  22023 where the
 * role does not have the scope.
 */
Datum
cpis_scope_revoke(PG_FUNCTION_ARGS)
{
	ChangeCheckCallable("cpis_scope_revoke()");
	PG_RETURN_INT64(change_scope(fcinfo, "revoked for",
								 "DELETE FROM cpis.role_scope WHERE role_name = $1 AND local_authority = $2", true));
}
