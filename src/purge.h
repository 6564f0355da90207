/*-------------------------------------------------------------------------
 *
 * purge.h
 *	  Remove plans whose term has ended.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PURGE_H
#define CPIS_PURGE_H

/* Plans that go in one transaction, where nobody says otherwise. */
#define PURGE_BATCH_SIZE 1000

extern void PurgeRun(int batch_size, int max_rate);

#endif							/* CPIS_PURGE_H */
