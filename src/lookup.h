/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  What functions that disclose have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_LOOKUP_H
#define CPIS_LOOKUP_H

extern void LookupCheckCallable(const char *function);

#endif							/* CPIS_LOOKUP_H */
