/*-------------------------------------------------------------------------
 *
 * summary.c
 *	  cpis_summarise(): summaries of the trail for analysts.
 *
 * Numbers of what has come since the last run are appended to the tables of sql/summary.sql, or added to
 * those of its month; that also says what is counted.  The purge calls SummariseNext() when the plans have gone,
 * a transaction for each month of events, and a month of the trail does not go before its
 * events are summarised (removed_month.c).
 *
 * Events are taken by their numbers, which come in the order in which they are committed, so each
 * is counted once.  Acknowledgements and submissions have no such order: those are taken of which
 * there is no row yet.
 *
 * ShareRowExclusiveLock on cpis.summary keeps a second run out until the first has ended; who
 * reads is not stopped.  A caller whose snapshot is older than the last run meets a key of
 * cpis.summary, 23505, and nothing is counted twice.  After an error everything is as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "own_change.h"
#include "relation.h"
#include "request.h"
#include "storage/lmgr.h"
#include "summary.h"

PG_FUNCTION_INFO_V1(cpis_summarise);

/* Events that are to be summarised, or the month that is complete. */
typedef struct Period
{
	Datum		values[3];		/* first and last event, month */
	char		nulls[3];
} Period;

static void
take_period(SPITupleTable *rows, void *context)
{
	Period	   *period = context;
	bool		isnull;

	for (int i = 0; i < lengthof(period->values); i++)
	{
		period->values[i] = SPI_getbinval(rows->vals[0], rows->tupdesc, i + 1, &isnull);
		period->nulls[i] = isnull ? 'n' : ' ';
	}
}

/*
 * The number of the first event that is not summarised.
 */
int64
SummaryFirstMissing(void)
{
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_SUMMARY)};
	int64		number = 0;

	(void) OwnChangeExecute(&as_owner, "SELECT COALESCE(max(last_event) + 1, 0) FROM cpis.summary",
							0, NULL, NULL, NULL, &number);
	return number;
}

/*
 * Append to one of the tables, or add to its numbers, what the command selects.  Accesses by day are
 * appended by the command that adds them to those of the month.
 */
static void
append(CpisRelation table, const Period *period, int nargs, const char *command)
{
	static const Oid types[] = {INT8OID, INT8OID, DATEOID};
	OwnChange	change = {.table = CpisRelationOid(table)};

	if (table == CPIS_ACCESS_MONTH_SUMMARY)
		change.inserts_into = CpisRelationOid(CPIS_ACCESS_SUMMARY);
	(void) OwnChangeExecute(&change, command, nargs, types, period == NULL ? NULL : period->values,
							period == NULL ? NULL : period->nulls, NULL);
}

/*
 * Append that these events are summarised, or the month complete.
 */
static void
append_period(const Period *period)
{
	append(CPIS_SUMMARY, period, 3,
		   "INSERT INTO cpis.summary (first_event, last_event, completed_month, summarised_at)"
		   " VALUES ($1, $2, $3, clock_timestamp())");
}

/*
 * Append in how many places people were seen in the month.
 */
static void
append_month(const Period *period)
{
	append(CPIS_ATTENDANCE_SUMMARY, period, 3,
		   "INSERT INTO cpis.attendance_summary (month, care_settings, organisations, local_authorities, children)"
		   " SELECT $3, care_settings, organisations, local_authorities, children FROM cpis.attendance_of_month($3)");
}

/*
 * Append the numbers of these events.
 */
static void
append_events(const Period *period)
{
	/* In one statement, for planning one over all months takes longer than a day's events. */
	append(CPIS_ACCESS_MONTH_SUMMARY, period, 2,
		   "WITH added AS ("
		   "INSERT INTO cpis.access_summary (day, action, outcome, organisation, care_setting, notify, accesses)"
		   " SELECT day, action, outcome, organisation, care_setting, notify, count(*) FROM cpis.access_of_event"
		   " WHERE event_id >= $1 AND event_id <= $2 GROUP BY day, action, outcome, organisation, care_setting, notify"
		   " RETURNING day, action, outcome, organisation, care_setting, notify, accesses)"
		   " INSERT INTO cpis.access_month_summary AS s (month, action, outcome, organisation, care_setting, notify, accesses)"
		   " SELECT date_trunc('month', day::timestamp)::date, action, outcome, organisation, care_setting, notify, sum(accesses) FROM added"
		   " GROUP BY 1, 2, 3, 4, 5, 6"
		   " ON CONFLICT ON CONSTRAINT access_month_summary_one_number DO UPDATE SET accesses = s.accesses + excluded.accesses");
	append(CPIS_NOTICE_SUMMARY, period, 2,
		   "INSERT INTO cpis.notice_summary AS s (month, local_authority, action, care_setting, notices)"
		   " SELECT month, local_authority, action, care_setting, count(*) FROM cpis.notice_of_event"
		   " WHERE event_id >= $1 AND event_id <= $2 GROUP BY month, local_authority, action, care_setting"
		   " ON CONFLICT ON CONSTRAINT notice_summary_one_number DO UPDATE SET notices = s.notices + excluded.notices");
}

/*
 * Append how long notices had waited that have been acknowledged.
 */
void
SummariseAcknowledgements(void)
{
	LockRelationOid(CpisRelationOid(CPIS_SUMMARY), ShareRowExclusiveLock);
	append(CPIS_ACKNOWLEDGEMENT_SUMMARY, NULL, 0,
		   "INSERT INTO cpis.acknowledgement_summary"
		   " (local_authority, acknowledged, acknowledged_at, notices, total_lag, longest_lag, within_hour, within_day)"
		   " SELECT local_authority, acknowledged, acknowledged_at, notices, total_lag, longest_lag, within_hour, within_day"
		   " FROM cpis.lag_of_acknowledgement");
}

/*
 * Append how records were answered of submissions that are not summarised: of the one that the period gives
 * in place of its first event, or of all.  Somebody else may do so meanwhile: what that one has appended when it
 * commits is there already.
 */
static void
append_answers(const Period *period)
{
	append(CPIS_ANSWER_SUMMARY, period, 1,
		   "INSERT INTO cpis.answer_summary (submission_id, record_code, detail_code, field, records)"
		   " SELECT submission_id, record_code, detail_code, field, records FROM cpis.answer_of_submission"
		   " WHERE $1 IS NULL OR submission_id = $1"
		   " ON CONFLICT ON CONSTRAINT answer_summary_one_answer DO NOTHING");
}

/*
 * The same, of one submission: the purge has that done with the records that it removes.
 */
void
SummariseAnswers(int64 submission_id)
{
	Period		period = {.values = {Int64GetDatum(submission_id)}, .nulls = {' ', 'n', 'n'}};

	append_answers(&period);
}

/*
 * Count unusual accesses, once a week: it reads the events of months.
 */
static void
summarise_unusual(void)
{
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_UNUSUAL_SUMMARY)};

	/* A statement of its own, for the other would be planned for nothing, over all months. */
	if (OwnChangeExecute(&as_owner, "SELECT 1::bigint FROM cpis.unusual_summary"
						 " WHERE day > (clock_timestamp() AT TIME ZONE 'Europe/London')::date - 7",
						 0, NULL, NULL, NULL, NULL) > 0)
		return;
	append(CPIS_UNUSUAL_SUMMARY, NULL, 0,
		   "INSERT INTO cpis.unusual_summary (day, kind, cases, workers)"
		   " SELECT today.day, counted.kind, counted.cases, counted.workers"
		   " FROM (SELECT (clock_timestamp() AT TIME ZONE 'Europe/London')::date) AS today (day)"
		   " CROSS JOIN LATERAL ("
		   " SELECT 'bulk', count(*), count(DISTINCT (organisation, worker)) FROM cpis.bulk_case WHERE NOT device"
		   " UNION ALL SELECT 'misses', count(*), count(DISTINCT (organisation, worker)) FROM cpis.misses_case WHERE NOT device"
		   " UNION ALL SELECT 'hours', count(*), count(DISTINCT (organisation, worker)) FROM cpis.hours_case WHERE NOT device"
		   " UNION ALL SELECT 'distance', count(*), count(DISTINCT (organisation, worker)) FROM cpis.distance_case WHERE NOT device)"
		   " AS counted (kind, cases, workers)");
}

/*
 * Summarise events up to the end of a month, or complete one, and add to *events how many.  Where all is
 * summarised that can be, summarise acknowledgements, answers to submissions and unusual accesses, and answer false.
 */
bool
SummariseNext(int64 *events)
{
	static const Period all = {.nulls = {'n', 'n', 'n'}};
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_SUMMARY)};
	Period		period;

	LockRelationOid(CpisRelationOid(CPIS_SUMMARY), ShareRowExclusiveLock);
	if (OwnChangeQuery(&as_owner, "SELECT first_event, last_event, completed_month FROM cpis.next_summary()",
					   0, NULL, NULL, NULL, take_period, &period) > 0)
	{
		append_period(&period);
		if (period.nulls[2] == ' ')
			append_month(&period);
		else
			append_events(&period);
		*events += DatumGetInt64(period.values[1]) - DatumGetInt64(period.values[0]) + 1;
		return true;
	}
	SummariseAcknowledgements();
	append_answers(&all);
	summarise_unusual();
	return false;
}

/*
 * cpis_summarise() -> bigint: how many events have been summarised.
 */
Datum
cpis_summarise(PG_FUNCTION_ARGS)
{
	int64		events = 0;

	ChangeCheckCallable("cpis_summarise()");
	while (SummariseNext(&events))
		CHECK_FOR_INTERRUPTS();
	PG_RETURN_INT64(events);
}
