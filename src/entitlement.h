/*-------------------------------------------------------------------------
 *
 * entitlement.h
 *	  May the role in force do what it asks for?
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_ENTITLEMENT_H
#define CPIS_ENTITLEMENT_H

extern bool EntitledToLookUp(void);
extern bool EntitledToReadSilently(void);
extern bool EntitledToActFor(const char *local_authority);
extern bool EntitledGroupHas(Oid role);

#endif							/* CPIS_ENTITLEMENT_H */
