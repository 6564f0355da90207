/*-------------------------------------------------------------------------
 *
 * notice_wake.h
 *	  Waking the local authorities that listen for their notices.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_NOTICE_WAKE_H
#define CPIS_NOTICE_WAKE_H

#include "audit_event.h"

extern void NoticeWakeNote(AuditEvent **events, int nevents);
extern void NoticeWakeRemember(void);
extern long NoticeWakeDueIn(void);
extern bool NoticeWakeSend(void);

#endif							/* CPIS_NOTICE_WAKE_H */
