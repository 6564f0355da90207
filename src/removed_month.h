/*-------------------------------------------------------------------------
 *
 * removed_month.h
 *	  Months of the trail whose time has run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_REMOVED_MONTH_H
#define CPIS_REMOVED_MONTH_H

#include "utils/snapshot.h"

extern int64 RemovedMonthsFloor(Snapshot snapshot);
extern bool RemovedMonthNext(void);

#endif							/* CPIS_REMOVED_MONTH_H */
