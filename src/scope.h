/*-------------------------------------------------------------------------
 *
 * scope.h
 *	  Which role acts for which local authority.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SCOPE_H
#define CPIS_SCOPE_H

extern bool ScopeCoversAuthority(Oid role, const char *local_authority);

#endif							/* CPIS_SCOPE_H */
