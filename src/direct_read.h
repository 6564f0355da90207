/*-------------------------------------------------------------------------
 *
 * direct_read.h
 *	  Who reads the tables directly is recorded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_DIRECT_READ_H
#define CPIS_DIRECT_READ_H

/* What its events have as action. */
#define DIRECT_READ_ACTION "direct_read"

extern bool cpis_record_direct_reads;

extern void DirectReadInstall(void);
extern bool DirectReadIsOn(void);

#endif							/* CPIS_DIRECT_READ_H */
