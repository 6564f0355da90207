/*-------------------------------------------------------------------------
 *
 * entitlement.c
 *	  May the role in force do what it asks for?
 *
 * The role in force is GetUserId(): the caller's after SET ROLE, the owner's
 * inside a SECURITY DEFINER function.  Everything here fails closed: a group
 * role that is missing entitles nobody but superusers, who are recorded like
 * anybody else.  lookup.c asks, and records a refusal before it raises it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "entitlement.h"
#include "miscadmin.h"
#include "utils/acl.h"

#define CLINICAL_ROLE "cpis_clinical"

/*
 * May the role in force look children up?
 */
bool
EntitledToLookUp(void)
{
	Oid			clinical = get_role_oid(CLINICAL_ROLE, true);

	if (superuser())
		return true;
	return OidIsValid(clinical) && has_privs_of_role(GetUserId(), clinical);
}

/*
 * May the role in force look children up without notifying the authority?
 */
bool
EntitledToReadSilently(void)
{
	return superuser();
}
