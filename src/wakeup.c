/*-------------------------------------------------------------------------
 *
 * wakeup.c
 *	  Sleep until another process calls.
 *
 * A requester sleeps so for its answer (request.c).  It is what a latch does, by
 * a POSIX semaphore: on Linux, to set a latch means to send a signal to a
 * process that waits in epoll for a descriptor, and to read that away again.  A
 * writer that answers a batch does little else, and everybody waits for it.
 *
 * Interrupts.  A signal ends the sleep - one without a time limit would be taken
 * up again - and its handler leaves to CHECK_FOR_INTERRUPTS() what there is to
 * do.  Unlike a latch, a semaphore does not know of a signal that came just
 * before the process went to sleep; so no sleep is longer than
 * WAKEUP_SLEEP_MOST_MS, and that long a cancel may wait, in the worst case, to
 * be noticed.  The death of the postmaster ends the process.
 *
 * No lock protects a Wakeup, and none is needed.  A call to nobody is kept, and
 * ends the next sleep at once; the sleeper must look whether what it waits for
 * has come about.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "wakeup.h"

/*
 * Make one in fresh shared memory.
 */
void
WakeupInit(Wakeup *wakeup)
{
	if (sem_init(&wakeup->calls, 1, 0) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not create semaphore: %m")));
}

/*
 * Forget the calls that nobody has heard.
 */
void
WakeupForget(Wakeup *wakeup)
{
	while (sem_trywait(&wakeup->calls) == 0)
		;
}

/*
 * End the sleep on it, or the next.  Neither fails nor waits.
 */
void
WakeupCall(Wakeup *wakeup)
{
	(void) sem_post(&wakeup->calls);
}

/*
 * The time so many milliseconds, less than a second, from now.
 */
static struct timespec
time_after(long milliseconds)
{
	struct timespec at;

	clock_gettime(CPIS_SEM_CLOCK, &at);
	at.tv_nsec += milliseconds * 1000000;
	if (at.tv_nsec >= 1000000000)
	{
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

/*
 * Sleep until somebody calls, a signal comes, or time is up, which is no more
 * than WAKEUP_SLEEP_MOST_MS.
 */
void
WakeupSleep(Wakeup *wakeup, long milliseconds, uint32 wait_event)
{
	struct timespec until = time_after(milliseconds);
	int			result;

	Assert(milliseconds <= WAKEUP_SLEEP_MOST_MS);

	pgstat_report_wait_start(wait_event);
	result = CPIS_SEM_WAIT(&wakeup->calls, &until);
	pgstat_report_wait_end();

	if (result != 0 && !PostmasterIsAlive())
		proc_exit(1);
}
