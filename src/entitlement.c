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
#define STEWARD_ROLE "cpis_steward"

/*
 * Does the role have the privileges of this group?
 */
static bool
has_group(Oid role, const char *name)
{
	Oid			group = get_role_oid(name, true);

	return OidIsValid(group) && has_privs_of_role(role, group);
}

/*
 * May the role in force look children up?  Who watches over those who do, may not.
 */
bool
EntitledToLookUp(void)
{
	return superuser() || (EntitledClinicalHas(GetUserId()) && !has_group(GetUserId(), STEWARD_ROLE));
}

/*
 * May the role in force look children up for this organisation?  Then *rights are what it
 * may do besides, and how often.
 */
bool
EntitledToSpeakFor(const char *organisation, const Reading *reading, ScopeRights *rights)
{
	if (superuser())
	{
		*rights = (ScopeRights) {.may_read_silently = true, .may_act_as_device = true};
		return true;
	}
	return ScopeCoversOrganisation(GetUserId(), organisation, reading, rights);
}

/*
 * May the role in force send records and collect notices for this authority?
 */
bool
EntitledToActFor(const char *local_authority)
{
	return superuser() ||
		(EntitledAuthorityHas(GetUserId()) && ScopeCoversAuthority(GetUserId(), local_authority));
}

/*
 * May the role in force look at what only a steward may?
 */
bool
EntitledAsSteward(void)
{
	return superuser() || has_group(GetUserId(), STEWARD_ROLE);
}

/*
 * Does the role have the privileges of the group of those who look up?
 */
bool
EntitledClinicalHas(Oid role)
{
	return has_group(role, CLINICAL_ROLE);
}

/*
 * Does the role have the privileges of the group of local authorities?
 */
bool
EntitledAuthorityHas(Oid role)
{
	return has_group(role, LOCAL_AUTHORITY_ROLE);
}
