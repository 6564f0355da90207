/*-------------------------------------------------------------------------
 *
 * spin_wait.h
 *	  Waiting a moment without giving the processor up.
 *
 * To sleep and be woken costs two changes of context, more than the whole work
 * on a lone look-up.  So where a look-up is alone, both sides spin for a while
 * before they sleep: request.c for the answer, writer.c for the next request.
 * Each stops when it is no longer alone.  One that has spun in vain - the disk is
 * slow, the other processors are busy, nobody asks - leaves out the next
 * chances, twice as many each time: an idle database and a busy machine pay for
 * a spin now and then.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SPIN_WAIT_H
#define CPIS_SPIN_WAIT_H

#include "portability/instr_time.h"
#include "storage/s_lock.h"

/* The longest spin, in microseconds: two or three flushes of a fast disk. */
#define SPIN_MOST_US 300

/* The most chances left out after spinning in vain. */
#define SPIN_LEFT_OUT_MOST 255

typedef struct SpinWait
{
	int			leave_out;		/* chances still to be left out */
	int			penalty;		/* of the last spin in vain */
} SpinWait;

/* Pauses between two looks at the clock. */
#define SPIN_PAUSES 16

static inline void
spin_pause(void)
{
	for (int i = 0; i < SPIN_PAUSES; i++)
		SPIN_DELAY();
}

/*
 * Is this chance to be taken?
 */
static inline bool
spin_is_due(SpinWait *spin)
{
	if (spin->leave_out == 0)
		return true;
	spin->leave_out--;
	return false;
}

/*
 * Learn from a spin that was neither interrupted nor given up for others.
 */
static inline void
spin_learn(SpinWait *spin, bool in_vain)
{
	if (in_vain)
		spin->penalty = Min(spin->penalty * 2 + 1, SPIN_LEFT_OUT_MOST);
	else
		spin->penalty /= 2;
	spin->leave_out = in_vain ? spin->penalty : 0;
}

/*
 * Microseconds since then.  Not by the clock on the wall, which may be set back.
 */
static inline int64
microseconds_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MICROSEC(now);
}

#endif							/* CPIS_SPIN_WAIT_H */
