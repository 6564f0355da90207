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
#include "utils/relcache.h"

/* Columns of cpis.notification. */
#define NOTIFICATION_LOCAL_AUTHORITY 1
#define NOTIFICATION_NOTIFICATION_NO 2
#define NOTIFICATION_EVENT_ID 3
#define NOTIFICATION_NCOLUMNS 3

extern Relation NotificationIndexOpen(Relation table);
extern void NotificationForget(void);
extern void NotificationNumber(AuditEvent *event);
extern void NotificationInsert(AuditEvent **events, int nevents);

#endif							/* CPIS_NOTIFICATION_H */
