/*-------------------------------------------------------------------------
 *
 * day.h
 *	  The date in England.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_DAY_H
#define CPIS_DAY_H

#include "utils/date.h"

extern DateADT DayAt(TimestampTz at);
extern DateADT DayToday(void);
extern char *DayText(DateADT day);

#endif							/* CPIS_DAY_H */
