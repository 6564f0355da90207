/*-------------------------------------------------------------------------
 *
 * record.h
 *	  Have an event recorded, and know that it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_RECORD_H
#define CPIS_RECORD_H

#include "audit_event.h"
#include "queue.h"

extern void RecordEvent(AuditEvent *event, QueueCounter counter);

#endif							/* CPIS_RECORD_H */
