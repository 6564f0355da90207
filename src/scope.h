/*-------------------------------------------------------------------------
 *
 * scope.h
 *	  For which organisation or local authority a role acts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SCOPE_H
#define CPIS_SCOPE_H

#include "nodes/pg_list.h"
#include "reference.h"

/* What a role may do for an organisation. */
typedef struct ScopeRights
{
	bool		may_read_silently;
	bool		may_act_as_device;
	int			max_lookups_per_minute; /* 0: without limit */
	int64		counted_by;		/* of a limit: event of the scope that sets it */
} ScopeRights;

extern bool ScopeCoversOrganisation(Oid role, const char *organisation,
									const Reading *reading, ScopeRights *rights);
extern bool ScopeCoversAuthority(Oid role, const char *local_authority);
extern List *ScopeAuthorities(Oid role);

#endif							/* CPIS_SCOPE_H */
