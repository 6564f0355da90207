/*-------------------------------------------------------------------------
 *
 * submission.h
 *	  Submissions: what an authority sends, and how it is answered.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SUBMISSION_H
#define CPIS_SUBMISSION_H

#include "audit_event.h"
#include "datatype/timestamp.h"
#include "record_check.h"

/* What a submission is for. */
#define SUBMISSION_DELTA "delta"
#define SUBMISSION_FULL "full"
#define SUBMISSION_PUT "put"
#define SUBMISSION_END "end"

/* How long a submission may stay open. */
#define SUBMISSION_OPEN_FOR "30 days"

/* Codes of CP-IS for a file. */
#define FILE_ERROR "CPF01"
#define FILE_LOADED "CPF02"
#define FILE_LOADED_IN_PART "CPF03"
#define FILE_NOT_LOADED "CPF04"
#define FILE_UNAVAILABLE "CPF05"
#define FILE_CLIENT_TOO_OLD "CPF06"

/* Columns of cpis.submission_record. */
typedef enum SubmissionRecordColumn
{
	RECORD_SUBMISSION_ID = 1,
	RECORD_LINE_NO,
	RECORD_NHS_NUMBER,			/* and the other fields, as SentColumn has them */
	RECORD_RECORD_CODE = RECORD_NHS_NUMBER + SENT_NCOLUMNS,
	RECORD_DETAIL_CODE,
	RECORD_FIELD,
	RECORD_COMMITMENT_SALT
} SubmissionRecordColumn;

/* A submission. */
typedef struct Submission
{
	int64		submission_id;
	char		local_authority[LOCAL_AUTHORITY_LENGTH + 1];
	char		kind[NAMEDATALEN];
	int32		client_version;
	TimestampTz opened_at;
	bool		answered;

	/* The answer. */
	char		file_code[NAMEDATALEN];
	int32		accepted;
	int32		rejected;
	int32		ended;
	char		detail_code[NAMEDATALEN];	/* empty: none */
} Submission;

extern void SubmissionRequire(int64 submission_id, Submission *submission);
extern void SubmissionLock(int64 submission_id, Submission *submission);
extern int64 SubmissionInsert(const char *local_authority, const char *kind, int32 client_version);
extern void SubmissionLockTables(void);
extern int64 SubmissionOpened(void);
extern bool SubmissionAbandon(void);
extern void SubmissionGuardForget(void);

#endif							/* CPIS_SUBMISSION_H */
