/*-------------------------------------------------------------------------
 *
 * scope_grant.c
 *	  cpis_scope_grant() and cpis_scope_revoke().
 *
 * They change cpis.role_scope, having recorded it.  Whoever may execute them decides who
 * acts for whom: they are granted to nobody.
 *
 * A grant or a revocation takes RowExclusiveLock on the table; whoever acts already is
 * not waited for.  An error leaves everything as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "argument.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "entitlement.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "lookup_rate.h"
#include "own_change.h"
#include "reference.h"
#include "register.h"
#include "request.h"
#include "scope.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cpis_scope_grant);
PG_FUNCTION_INFO_V1(cpis_scope_revoke);

#define SCOPE_ACTION "scope"

/* Positions of the arguments; cpis_scope_revoke() has the first three. */
#define ARG_ROLE_NAME 0
#define ARG_ORGANISATION 1
#define ARG_LOCAL_AUTHORITY 2
#define ARG_MAY_READ_SILENTLY 3
#define ARG_MAY_ACT_AS_DEVICE 4
#define ARG_MAX_LOOKUPS_PER_MINUTE 5

/* Whose scope, and for whom: one of the two is NULL. */
typedef struct Scope
{
	char	   *role;
	char	   *organisation;
	char	   *local_authority;
} Scope;

static void
take_scope(FunctionCallInfo fcinfo, Scope *scope)
{
	scope->role = ArgumentText(fcinfo, ARG_ROLE_NAME, "role_name", true, NAMEDATALEN - 1);
	scope->organisation = ArgumentText(fcinfo, ARG_ORGANISATION, "organisation", false, ORGANISATION_LENGTH);
	scope->local_authority = ArgumentText(fcinfo, ARG_LOCAL_AUTHORITY, "local_authority", false, LOCAL_AUTHORITY_LENGTH);
	if ((scope->organisation == NULL) == (scope->local_authority == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exactly one of organisation and local_authority must be given")));
}

static const char *
whom(const Scope *scope)
{
	return scope->organisation != NULL ? psprintf("organisation %s", scope->organisation) :
		psprintf("local authority %s", scope->local_authority);
}

/*
 * Record the change, and make it: the command gets the role, the organisation or NULL, the authority
 * or NULL, and, where the scope is new, when it was recorded, the event, and its three rights.
 * "done" is what the trail says of it.
 */
static int64
change_scope(const Scope *scope, const char *done, const char *command, bool must_exist,
			 const Datum *rights, const char *rights_nulls)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, BOOLOID, BOOLOID, INT4OID};
	OwnChange	change = {.table = CpisRelationOid(CPIS_ROLE_SCOPE)};
	Datum		values[lengthof(types)] = {CStringGetTextDatum(scope->role)};
	char		nulls[lengthof(types)] = {' ', ' ', ' ', ' ', ' ', 'n', 'n', 'n'};
	AuditEvent	event;

	nulls[1] = scope->organisation == NULL ? 'n' : ' ';
	nulls[2] = scope->local_authority == NULL ? 'n' : ' ';
	values[1] = scope->organisation == NULL ? (Datum) 0 : CStringGetTextDatum(scope->organisation);
	values[2] = scope->local_authority == NULL ? (Datum) 0 : CStringGetTextDatum(scope->local_authority);
	if ((OwnChangeExecute(&change, "SELECT 1::bigint FROM cpis.role_scope WHERE role_name = $1"
						  " AND organisation IS NOT DISTINCT FROM $2 AND local_authority IS NOT DISTINCT FROM $3 FOR UPDATE",
						  3, types, values, nulls, NULL) > 0) != must_exist)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 must_exist ? errmsg("role \"%s\" has no scope for %s", scope->role, whom(scope))
				 : errmsg("role \"%s\" has a scope for %s already", scope->role, whom(scope))));

	AuditEventInit(&event, SCOPE_ACTION);
	snprintf(event.detail, sizeof(event.detail), "%s for %s: role %s", done, whom(scope), scope->role);
	RecordChange(&event);
	values[3] = TimestampTzGetDatum(event.recorded_at);
	values[4] = Int64GetDatum(event.event_id);
	for (int i = 0; !must_exist && i < 3; i++)
	{
		values[5 + i] = rights[i];
		nulls[5 + i] = rights_nulls[i];
	}
	OwnChangeOne(&change, command, must_exist ? 3 : lengthof(types), types, values, nulls, NULL);
	return event.event_id;
}

/*
 * Raise an error unless there are such a role and such an organisation or authority, 42704;
 * tell where the role cannot act yet.
 */
static void
check_scope(const Scope *scope)
{
	Oid			role = get_role_oid(scope->role, false);

	if (scope->organisation != NULL)
	{
		RegisterRequireOrganisation(scope->organisation);
		if (!EntitledClinicalHas(role))
			ereport(NOTICE,
					(errmsg("the role is not a member of cpis_clinical, and cannot act for the organisation before it is")));
	}
	else
	{
		RegisterRequireAuthority(scope->local_authority);
		if (!EntitledAuthorityHas(role))
			ereport(NOTICE,
					(errmsg("the role is not a member of cpis_local_authority, and cannot act for the authority before it is")));
	}
}

/*
 * Take the rights of a grant, and say them in words; 22023 where they are of no use to an
 * authority, or the limit is out of range.
 */
static char *
take_rights(FunctionCallInfo fcinfo, const Scope *scope, Datum *values, char *nulls)
{
	bool		silently = !PG_ARGISNULL(ARG_MAY_READ_SILENTLY) && PG_GETARG_BOOL(ARG_MAY_READ_SILENTLY);
	bool		device = !PG_ARGISNULL(ARG_MAY_ACT_AS_DEVICE) && PG_GETARG_BOOL(ARG_MAY_ACT_AS_DEVICE);
	bool		limited = !PG_ARGISNULL(ARG_MAX_LOOKUPS_PER_MINUTE);
	int			limit = limited ? PG_GETARG_INT32(ARG_MAX_LOOKUPS_PER_MINUTE) : 0;
	StringInfoData words;

	if (scope->organisation == NULL && (silently || device || limited))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a scope for a local authority has no rights to look up"),
				 errhint("Leave out may_read_silently, may_act_as_device and max_lookups_per_minute.")));
	if (limited && (limit < 1 || limit > LOOKUP_RATE_MOST))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_lookups_per_minute must be between 1 and %d", LOOKUP_RATE_MOST)));
	values[0] = BoolGetDatum(silently);
	values[1] = BoolGetDatum(device);
	values[2] = Int32GetDatum(limit);
	nulls[2] = limited ? ' ' : 'n';

	/* cpis.reconcile_submissions() says it in the same words. */
	initStringInfo(&words);
	appendStringInfoString(&words, "granted");
	if (silently)
		appendStringInfoString(&words, ", reading silently");
	if (device)
		appendStringInfoString(&words, ", acting as device");
	if (limited)
		appendStringInfo(&words, ", up to %d look-ups a minute", limit);
	return words.data;
}

/*
 * cpis_scope_grant(role_name, organisation, local_authority, may_read_silently,
 * may_act_as_device, max_lookups_per_minute) -> bigint: the event.  42704 for an unknown role,
 * organisation or authority, 22023 where the role has the scope, or not one of the two is given.
 */
Datum
cpis_scope_grant(PG_FUNCTION_ARGS)
{
	Scope		scope;
	Datum		rights[3];
	char		nulls[3] = {' ', ' ', ' '};
	char	   *done;

	ChangeCheckCallable("cpis_scope_grant()");
	take_scope(fcinfo, &scope);
	check_scope(&scope);
	done = take_rights(fcinfo, &scope, rights, nulls);
	PG_RETURN_INT64(change_scope(&scope, done,
								 "INSERT INTO cpis.role_scope (role_name, organisation, local_authority, granted_at, event_id,"
								 " may_read_silently, may_act_as_device, max_lookups_per_minute)"
								 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", false, rights, nulls));
}

/*
 * cpis_scope_revoke(role_name, organisation, local_authority) -> bigint: the event.  22023 where
 * the role does not have the scope.
 */
Datum
cpis_scope_revoke(PG_FUNCTION_ARGS)
{
	Scope		scope;

	ChangeCheckCallable("cpis_scope_revoke()");
	take_scope(fcinfo, &scope);
	PG_RETURN_INT64(change_scope(&scope, "revoked",
								 "DELETE FROM cpis.role_scope WHERE role_name = $1"
								 " AND organisation IS NOT DISTINCT FROM $2 AND local_authority IS NOT DISTINCT FROM $3",
								 true, NULL, NULL));
}
