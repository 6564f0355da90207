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

#endif							/* CPIS_ENTITLEMENT_H */
