/*-------------------------------------------------------------------------
 *
 * checkpoint.h
 *	  The checkpoints that the writer makes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_CHECKPOINT_H
#define CPIS_CHECKPOINT_H

#include "datatype/timestamp.h"
#include "signing_key.h"

/* Room for a checkpoint with all its signatures, with the zero. */
#define CHECKPOINT_NOTE_SIZE \
	(CHECKPOINT_TEXT_SIZE + 1 + SIGNING_KEYS_MOST * NOTE_SIGNATURE_LINE_SIZE)

/* What the writer answers to who wants a checkpoint. */
typedef struct CheckpointReply
{
	int64		wanted;			/* events to cover; -1 in a first request: all so far */
	int			retry_after_ms; /* ask again then, for these; 0: there is a note */
	bool		locked;			/* because the checkpoints are, not too early */
	bool		newest_will_do; /* the writer's: to who wants no more than it covers */
	char		note[CHECKPOINT_NOTE_SIZE];
	char		problem[SIGNING_KEY_PROBLEM_SIZE];	/* why it is not signed */
} CheckpointReply;

extern int	cpis_checkpoint_interval;

extern void CheckpointForget(void);
extern bool CheckpointLock(void);
extern long CheckpointDueIn(TimestampTz now);
extern bool CheckpointIsBehind(void);
extern void CheckpointNoteGrowth(TimestampTz now);
extern void CheckpointPutOff(TimestampTz now);
extern void CheckpointMake(TimestampTz now, bool wanted, CheckpointReply *reply);
extern void CheckpointReplyLocked(CheckpointReply *reply);
extern void CheckpointMade(const CheckpointReply *reply);
extern void CheckpointAnswer(const CheckpointReply *reply, CheckpointReply *own);

#endif							/* CPIS_CHECKPOINT_H */
