/*-------------------------------------------------------------------------
 *
 * month.h
 *	  The monthly partitions of cpis.audit_event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_MONTH_H
#define CPIS_MONTH_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

extern Oid	MonthPartition(TimestampTz at);
extern List *MonthPartitions(void);
extern bool MonthTryLockPartitions(void);
extern Oid	MonthEventIdIndex(Oid partition);
extern Oid	MonthNhsNumberIndex(Oid partition);
extern void MonthEnsure(TimestampTz now, int lock_timeout);
extern bool MonthEnsureNext(TimestampTz now);
extern void MonthForget(void);

#endif							/* CPIS_MONTH_H */
