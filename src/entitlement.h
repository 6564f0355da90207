/*-------------------------------------------------------------------------
 *
 * entitlement.h
 *	  May the role in force do what it asks for?
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_ENTITLEMENT_H
#define CPIS_ENTITLEMENT_H

#include "scope.h"

extern bool EntitledToLookUp(void);
extern bool EntitledToSpeakFor(const char *organisation, const Reading *reading,
							   ScopeRights *rights);
extern bool EntitledToActFor(const char *local_authority);
extern bool EntitledAsSteward(void);
extern bool EntitledClinicalHas(Oid role);
extern bool EntitledAuthorityHas(Oid role);

#endif							/* CPIS_ENTITLEMENT_H */
