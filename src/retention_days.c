/*-------------------------------------------------------------------------
 *
 * retention_days.c
 *	  For how many days things are held.
 *
 * What is held has a kind: those of plan, what authorities have sent, and the
 * events of the trail.  An administrator's days for it, in cpis.retention_policy,
 * stand before those that come with the extension: in cpis.plan_type, 365 after the
 * answer for what authorities have sent, and no end for events.  They are looked up
 * whenever they are needed and stored with nothing that they decide about, so that a
 * restore cannot shorten a term.
 *
 * Reads the two tables through reference.c; what is locked there is said there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "retention.h"
#include "retention_days.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(cpis_retention_days);

/* Columns of the two tables. */
#define PLAN_TYPE_RETENTION_DAYS 4
#define RETENTION_POLICY_DAYS 2

#define SUBMISSION_RECORD_DAYS 365

/*
 * The days in this column of the row of this kind; false where there is no row.
 */
static bool
find_in(const Reading *reading, CpisRelation table, int column, const char *kind, int *days)
{
	TupleDesc	descriptor;
	HeapTuple	tuple = ReferenceFind(reading, table, kind, &descriptor);
	Datum		value;
	bool		isnull;

	if (tuple == NULL)
		return false;
	value = heap_getattr(tuple, column, descriptor, &isnull);
	*days = isnull ? RETENTION_WITHOUT_END : DatumGetInt32(value);
	return true;
}

/*
 * The days that come with the extension; false where there is no such kind.
 */
bool
RetentionDaysShipped(const Reading *reading, const char *kind, int *days)
{
	*days = RETENTION_WITHOUT_END;
	if (strcmp(kind, RETENTION_OF_EVENTS) == 0)
		return true;
	if (strcmp(kind, RETENTION_OF_SUBMISSION_RECORDS) == 0)
	{
		*days = SUBMISSION_RECORD_DAYS;
		return true;
	}
	return find_in(reading, CPIS_PLAN_TYPE, PLAN_TYPE_RETENTION_DAYS, kind, days);
}

/*
 * For how many days this kind is held, or RETENTION_WITHOUT_END; false where there is
 * no such kind.
 */
bool
RetentionDaysFind(const Reading *reading, const char *kind, int *days)
{
	if (find_in(reading, CPIS_RETENTION_POLICY, RETENTION_POLICY_DAYS, kind, days))
		return true;
	return RetentionDaysShipped(reading, kind, days);
}

/*
 * cpis.retention_days(kind) -> integer; NULL where it is held without end, or
 * there is no such kind.
 */
Datum
cpis_retention_days(PG_FUNCTION_ARGS)
{
	Reading		reading = ReadingBegin();
	int			days;

	if (!RetentionDaysFind(&reading, text_to_cstring(PG_GETARG_TEXT_PP(0)), &days))
		days = RETENTION_WITHOUT_END;
	ReadingEnd(&reading);
	if (days == RETENTION_WITHOUT_END)
		PG_RETURN_NULL();
	PG_RETURN_INT32(days);
}
