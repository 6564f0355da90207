/*-------------------------------------------------------------------------
 *
 * wakeup.h
 *	  Sleep until another process calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_WAKEUP_H
#define CPIS_WAKEUP_H

#include <semaphore.h>

/* No sleep is longer, for a signal may come just before it; below a second. */
#define WAKEUP_SLEEP_MOST_MS 100

/* In shared memory; one process sleeps on it, any may call. */
typedef struct Wakeup
{
	sem_t		calls;			/* not yet heard */
} Wakeup;

extern void WakeupInit(Wakeup *wakeup);
extern void WakeupForget(Wakeup *wakeup);
extern void WakeupCall(Wakeup *wakeup);
extern void WakeupSleep(Wakeup *wakeup, long milliseconds, uint32 wait_event);

#endif							/* CPIS_WAKEUP_H */
