/*-------------------------------------------------------------------------
 *
 * drop_guard.h
 *	  A trail is not dropped by accident.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_DROP_GUARD_H
#define CPIS_DROP_GUARD_H

extern bool cpis_allow_drop;

extern void DropGuardInstall(void);

#endif							/* CPIS_DROP_GUARD_H */
