/*-------------------------------------------------------------------------
 *
 * log_guard.h
 *	  Keep NHS numbers out of the server log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_LOG_GUARD_H
#define CPIS_LOG_GUARD_H

extern void LogGuardInstall(void);

#endif							/* CPIS_LOG_GUARD_H */
