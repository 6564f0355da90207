/*-------------------------------------------------------------------------
 *
 * submission_load.h
 *	  Bring the register to what was sent, and answer each record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SUBMISSION_LOAD_H
#define CPIS_SUBMISSION_LOAD_H

#include "own_change.h"
#include "submission.h"
#include "utils/date.h"

/* What queries about a submission may read. */
enum
{
	GIVEN_SENT,					/* submission_sent.h */
	GIVEN_KNOWN,				/* demographics.h */
	GIVEN_ACCEPTED,				/* records that will be accepted: see below */
	GIVEN_REJECTED,				/* and rejected */
	GIVEN_COUNT
};

/* Columns of the records that will be accepted. */
enum
{
	ACCEPTED_NHS_NUMBER = 1,
	ACCEPTED_PLAN_TYPE,
	ACCEPTED_START_DATE,
	ACCEPTED_NCOLUMNS = ACCEPTED_START_DATE
};

/* Columns of the records that will be rejected. */
enum
{
	REJECTED_NHS_NUMBER = 1,	/* NULL: nobody can read it */
	REJECTED_LOCAL_REFERENCE,
	REJECTED_RUNS,				/* does the plan, by its dates, run on? */
	REJECTED_NCOLUMNS = REJECTED_RUNS
};

/* A submission that is being applied. */
typedef struct Loading
{
	const Submission *submission;
	DateADT		today;			/* in England */
	Oid			number_type;
	const char *equals;			/* of that, for queries */
	OwnGiven	given[GIVEN_COUNT];
	bool		refused;		/* the file as a whole */
	bool		only_decides;

	/* What has become of the records. */
	int64		rules[RULE_COUNT];
	RecordRule	last;			/* of the record decided last */
	int64		added;
	int64		changed;
	int64		shortened;		/* of those that were changed: held for less long now */
	int64		unchanged;
} Loading;

extern void LoadDecided(Loading *loading);
extern void LoadRecords(Loading *loading);
extern void LoadRaiseChanged(void);

#endif							/* CPIS_SUBMISSION_LOAD_H */
