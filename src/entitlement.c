/*-------------------------------------------------------------------------
 *
 * entitlement.c
 *	  May the role in force do what it asks for?
 *
 * The role in force is GetUserId(): the caller's after SET ROLE, the owner's
 * inside a SECURITY DEFINER function.  Everything here fails closed: a group
 * role that is missing entitles nobody but superusers, who are recorded like
 * anybody else.  lookup.c and authority.c ask, and record a refusal before they
 * raise it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "entitlement.h"
#include "miscadmin.h"
#include "scope.h"
#include "utils/acl.h"

#define CLINICAL_ROLE "cpis_clinical"
#define LOCAL_AUTHORITY_ROLE "cpis_local_authority"

/*
 * Does the role in force have the privileges of this group?
 */
static bool
is_member_of(const char *name)
{
	Oid			group = get_role_oid(name, true);

	return OidIsValid(group) && has_privs_of_role(GetUserId(), group);
}

/*
 * May the role in force look children up?
 */
bool
EntitledToLookUp(void)
{
	return superuser() || is_member_of(CLINICAL_ROLE);
}

/*
 * May the role in force look children up without notifying the authority?
 */
bool
EntitledToReadSilently(void)
{
	return superuser();
}

/*
 * May the role in force send records and collect notices for this authority?
 */
bool
EntitledToActFor(const char *local_authority)
{
	return superuser() ||
		(is_member_of(LOCAL_AUTHORITY_ROLE) && ScopeCoversAuthority(GetUserId(), local_authority));
}

/*
 * Does the role have the privileges of the group of local authorities?
 */
bool
EntitledGroupHas(Oid role)
{
	Oid			group = get_role_oid(LOCAL_AUTHORITY_ROLE, true);

	return OidIsValid(group) && has_privs_of_role(role, group);
}
