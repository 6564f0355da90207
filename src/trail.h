/*-------------------------------------------------------------------------
 *
 * trail.h
 *	  The audit trail as the writer sees it: numbered, sealed, stored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_TRAIL_H
#define CPIS_TRAIL_H

#include "audit_event.h"

extern void TrailForget(void);
extern void TrailLock(TimestampTz now);
extern void TrailAppend(AuditEvent **events, int nevents, TimestampTz now);

#endif							/* CPIS_TRAIL_H */
