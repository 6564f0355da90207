/*-------------------------------------------------------------------------
 *
 * retention_days.h
 *	  For how many days things are held.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_RETENTION_DAYS_H
#define CPIS_RETENTION_DAYS_H

#include "reference.h"

/* The most days that anything is held after its end. */
#define RETENTION_DAYS_MOST 36525

/* Held without end. */
#define RETENTION_WITHOUT_END (-1)

extern bool RetentionDaysShipped(const Reading *reading, const char *kind, int *days);
extern bool RetentionDaysFind(const Reading *reading, const char *kind, int *days);

#endif							/* CPIS_RETENTION_DAYS_H */
