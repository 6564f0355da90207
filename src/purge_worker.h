/*-------------------------------------------------------------------------
 *
 * purge_worker.h
 *	  The purge by itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PURGE_WORKER_H
#define CPIS_PURGE_WORKER_H

extern int	cpis_purge_interval;

extern void PurgeWorkerRegister(void);
extern bool PurgeWorkerIsRegistered(void);
extern PGDLLEXPORT void cpis_purge_launcher_main(Datum unused);
extern PGDLLEXPORT void cpis_purge_worker_main(Datum database);

#endif							/* CPIS_PURGE_WORKER_H */
