/*-------------------------------------------------------------------------
 *
 * purge_switch.h
 *	  Whether the purge runs by itself in this database, and whether at all.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PURGE_SWITCH_H
#define CPIS_PURGE_SWITCH_H

extern bool PurgeIsPaused(void);
extern bool PurgeIsAutomatic(void);

#endif							/* CPIS_PURGE_SWITCH_H */
