/*-------------------------------------------------------------------------
 *
 * notification.h
 *	  Notices to local authorities, numbered without gaps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_NOTIFICATION_H
#define CPIS_NOTIFICATION_H

#include "audit_event.h"

extern void NotificationForget(void);
extern void NotificationNumber(AuditEvent *event);
extern void NotificationInsert(AuditEvent **events, int nevents);

#endif							/* CPIS_NOTIFICATION_H */
