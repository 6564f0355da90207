/*-------------------------------------------------------------------------
 *
 * direct_read_switch.h
 *	  That direct reads are not recorded any more is recorded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_DIRECT_READ_SWITCH_H
#define CPIS_DIRECT_READ_SWITCH_H

#include "datatype/timestamp.h"

extern void DirectReadSwitchNote(TimestampTz now);
extern void DirectReadSwitchForget(void);

#endif							/* CPIS_DIRECT_READ_SWITCH_H */
