/*-------------------------------------------------------------------------
 *
 * record_check.h
 *	  What an authority has sent, field by field, against the rules.
 *
 * Pure C: no PostgreSQL header, no allocation, no global state.  See
 * record_check.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_RECORD_CHECK_H
#define CPIS_RECORD_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limit of cpis.plan.local_reference, in bytes. */
#define LOCAL_REFERENCE_LENGTH 64

/* The fields of a record, in the order of their columns. */
typedef enum SentColumn
{
	SENT_NHS_NUMBER,
	SENT_PLAN_TYPE,
	SENT_START_DATE,
	SENT_END_DATE,
	SENT_DELETE_DATE,
	SENT_DATE_OF_BIRTH,
	SENT_LOCAL_REFERENCE,
	SENT_NCOLUMNS
} SentColumn;

/* One of them, as it was sent: UTF-8, without a zero at its end. */
typedef struct SentField
{
	const char *bytes;			/* NULL: none was sent */
	size_t		length;
} SentField;

/* Why a record is not loaded; the first that applies, in this order. */
typedef enum RecordRule
{
	RULE_NONE,					/* it is loaded */
	RULE_NHS_NUMBER_MISSING,
	RULE_NHS_NUMBER_FORMAT,
	RULE_NHS_NUMBER_CHECK_DIGIT,
	RULE_NHS_NUMBER_PLACEHOLDER,
	RULE_PLAN_TYPE_MISSING,
	RULE_PLAN_TYPE_UNKNOWN,
	RULE_START_DATE_MISSING,
	RULE_START_DATE_FORMAT,
	RULE_START_DATE_RANGE,
	RULE_END_DATE_FORMAT,
	RULE_END_DATE_RANGE,
	RULE_END_BEFORE_START,
	RULE_DELETE_DATE_FORMAT,
	RULE_DELETE_DATE_RANGE,
	RULE_DATE_OF_BIRTH_FORMAT,
	RULE_DATE_OF_BIRTH_RANGE,
	RULE_START_BEFORE_BIRTH,
	RULE_OVER_EIGHTEEN,
	RULE_REFERENCE_TEXT,
	RULE_REFERENCE_LENGTH,
	/* Those that the record alone does not tell. */
	RULE_NOT_FOUND,
	RULE_SENSITIVE,
	RULE_NOT_VERIFIED,
	RULE_SUPERSEDED,
	RULE_INACTIVE,
	RULE_DUPLICATE,
	RULE_NOT_HELD,				/* it ended too long ago */
	RULE_DELETED,				/* it would be deleted, and is not there */
	RULE_NO_SUCH_PLAN,
	RULE_FILE_REFUSED,
	RULE_COUNT
} RecordRule;

/* A date as year * 10000 + month * 100 + day; 0 where there is none. */
typedef int32_t SentDate;

/* A record that has been checked: what could be read of it. */
typedef struct CheckedRecord
{
	RecordRule	rule;
	bool		has_number;
	int32_t		nine_digits;	/* the first nine of the number */
	const char *plan_type;		/* code, or NULL */
	SentDate	start_date;
	SentDate	end_date;
	SentDate	delete_date;
	SentDate	date_of_birth;
	SentField	local_reference;	/* without space around it */
} CheckedRecord;

extern void record_check(const SentField *fields, SentDate today, CheckedRecord *record);
extern const char *record_rule_code(RecordRule rule);
extern const char *record_rule_detail(RecordRule rule);
extern const char *record_rule_field(RecordRule rule);
extern bool sent_date_parse(SentField field, SentDate *date);

#endif							/* CPIS_RECORD_CHECK_H */
