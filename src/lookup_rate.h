/*-------------------------------------------------------------------------
 *
 * lookup_rate.h
 *	  How many look-ups a scope has made within a minute.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_LOOKUP_RATE_H
#define CPIS_LOOKUP_RATE_H

#include "datatype/timestamp.h"
#include "storage/lwlock.h"

/* The highest limit that can be set. */
#define LOOKUP_RATE_MOST 1000000

/* Scopes that can be counted at a time, in the whole cluster; a multiple of the next. */
#define LOOKUP_RATE_COUNTERS 4096

/* Where a scope may be counted: so many counters, one after the other. */
#define LOOKUP_RATE_WAYS 16

/* One scope's. */
typedef struct LookupRateCounter
{
	Oid			database;
	int			taken;			/* look-ups since then; 0 where unused */
	int64		scope;			/* event that granted it */
	TimestampTz since;
} LookupRateCounter;

typedef struct LookupRates
{
	LWLock		lock;
	LookupRateCounter counters[LOOKUP_RATE_COUNTERS];
} LookupRates;

extern void LookupRatesInit(LookupRates *rates, int tranche);
extern bool LookupRateTake(int64 scope, int most);

#endif							/* CPIS_LOOKUP_RATE_H */
