/*-------------------------------------------------------------------------
 *
 * submission_apply.h
 *	  Check the records of a submission, change the register, answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SUBMISSION_APPLY_H
#define CPIS_SUBMISSION_APPLY_H

#include "submission.h"

extern double cpis_full_submission_share;
extern int	cpis_minimum_client_version;

/* Instead of a number of records. */
#define RECORDS_NOT_COUNTED (-1)
#define RECORDS_ABANDONED (-2)

extern bool SubmissionTryAuthority(const char *local_authority);
extern void SubmissionApply(Submission *submission, int records, RecordRule *only);

#endif							/* CPIS_SUBMISSION_APPLY_H */
