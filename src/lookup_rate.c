/*-------------------------------------------------------------------------
 *
 * lookup_rate.c
 *	  How many look-ups a scope has made within a minute.
 *
 * entitlement.c asks LookupRateTake() for each look-up of a scope that has a limit.  A
 * minute is the sixty seconds that begin with the first look-up after the minute before,
 * and counts for all sessions together.  A scope is known by its database and the event
 * that granted it.  Counting begins anew when the server starts.
 *
 * Counters stand in the segment of the queue.  A scope has its own among a few that its
 * hash gives; one whose minute is over may be taken over.  Where none is free, it may not
 * look up: nobody gets past his limit because others look up, too.
 *
 * rates->lock protects the counters.  It is held for a few assignments, under which
 * nothing can raise an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lookup_rate.h"
#include "miscadmin.h"
#include "queue.h"
#include "utils/timestamp.h"

#define MINUTE_US INT64CONST(60000000)

/*
 * Make the counters, in fresh memory that is zero.
 */
void
LookupRatesInit(LookupRates *rates, int tranche)
{
	LWLockInitialize(&rates->lock, tranche);
}

/*
 * Is its minute over?  By a clock that was set back it is.
 */
static bool
is_over(const LookupRateCounter *counter, TimestampTz now)
{
	return counter->taken == 0 || now < counter->since || now - counter->since >= MINUTE_US;
}

/*
 * The scope's counter, or one that it may have, or NULL.  Caller holds the lock.
 */
static LookupRateCounter *
find_counter(LookupRates *rates, int64 scope, TimestampTz now)
{
	uint32		hash = hash_combine(murmurhash32(MyDatabaseId), murmurhash32((uint32) scope));
	LookupRateCounter *ways = &rates->counters[hash % (LOOKUP_RATE_COUNTERS / LOOKUP_RATE_WAYS) * LOOKUP_RATE_WAYS];
	LookupRateCounter *unused = NULL;

	for (int i = 0; i < LOOKUP_RATE_WAYS; i++)
	{
		if (ways[i].taken > 0 && ways[i].database == MyDatabaseId && ways[i].scope == scope)
			return &ways[i];
		if (unused == NULL && is_over(&ways[i], now))
			unused = &ways[i];
	}
	return unused;
}

/*
 * Count one look-up of this scope; false where it has made so many within the minute
 * that it must not.
 */
bool
LookupRateTake(int64 scope, int most)
{
	LookupRates *rates = QueueLookupRates();
	TimestampTz now = GetCurrentTimestamp();
	LookupRateCounter *counter;
	bool		taken = false;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	counter = find_counter(rates, scope, now);
	if (counter != NULL)
	{
		if (is_over(counter, now))
		{
			counter->database = MyDatabaseId;
			counter->scope = scope;
			counter->since = now;
			counter->taken = 0;
		}
		taken = counter->taken < most;
		if (taken)
			counter->taken++;
	}
	LWLockRelease(&rates->lock);
	return taken;
}
