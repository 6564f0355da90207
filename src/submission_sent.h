/*-------------------------------------------------------------------------
 *
 * submission_sent.h
 *	  The records of a submission, read and checked one by one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SUBMISSION_SENT_H
#define CPIS_SUBMISSION_SENT_H

#include "own_change.h"
#include "utils/date.h"

/* Columns of what was sent, as far as it could be read. */
typedef enum SentTableColumn
{
	SENT_TABLE_TID = 1,			/* of the record */
	SENT_TABLE_LINE_NO,
	SENT_TABLE_RULE,			/* RecordRule */
	SENT_TABLE_NHS_NUMBER,
	SENT_TABLE_PLAN_TYPE,
	SENT_TABLE_START_DATE,
	SENT_TABLE_END_DATE,
	SENT_TABLE_DELETE_DATE,
	SENT_TABLE_DATE_OF_BIRTH,
	SENT_TABLE_LOCAL_REFERENCE,
	SENT_TABLE_NCOLUMNS = SENT_TABLE_LOCAL_REFERENCE
} SentTableColumn;

extern void SentRead(int64 submission_id, Oid number_type, DateADT today, OwnGiven *sent);

#endif							/* CPIS_SUBMISSION_SENT_H */
