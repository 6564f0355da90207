/*-------------------------------------------------------------------------
 *
 * purge_submission.h
 *	  What authorities have sent, when its term has ended.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PURGE_SUBMISSION_H
#define CPIS_PURGE_SUBMISSION_H

#include "purge_batch.h"

/* How far a purge has come: up to this line of this submission. */
typedef struct SubmissionCursor
{
	int64		submission_id;	/* 0: at the beginning */
	int			line_no;
} SubmissionCursor;

extern bool PurgeSubmissionFind(SubmissionCursor *cursor, PurgeBatch *batch,
								int64 *held_back);

#endif							/* CPIS_PURGE_SUBMISSION_H */
