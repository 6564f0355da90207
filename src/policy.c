/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  cpis_retention_set(): for how long things are held.
 *
 * For each kind (retention_days.c), an administrator may set other days than come
 * with the extension.  What is set is recorded in the
 * trail, and durable there, before it counts; shortening needs a reason.
 *
 * Setting takes ShareRowExclusiveLock on cpis.retention_policy to the end of the
 * transaction, so that of two who set at once the second knows what the first has
 * done, and the purge waits for either.  Look-ups read on.  An error leaves the policy
 * as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "argument.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "own_change.h"
#include "request.h"
#include "retention.h"
#include "retention_days.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cpis_retention_set);

/*
 * For how many days this kind is held at present; 42704 where there is no such
 * kind.
 */
static int
present_days(const char *kind)
{
	Reading		reading = ReadingBegin();
	int			days;

	if (!RetentionDaysFind(&reading, kind, &days))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no retention of this kind"),
				 errhint("The kinds are those of table cpis.plan_type, \"%s\" and \"%s\".",
						 RETENTION_OF_SUBMISSION_RECORDS, RETENTION_OF_EVENTS)));
	ReadingEnd(&reading);
	return days;
}

static int
days_argument(FunctionCallInfo fcinfo, int position)
{
	int			days;

	if (PG_ARGISNULL(position))
		return RETENTION_WITHOUT_END;
	days = PG_GETARG_INT32(position);
	if (days < 0 || days > RETENTION_DAYS_MOST)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "retention_days",
					  psprintf("must be null or from 0 to %d", RETENTION_DAYS_MOST));
	return days;
}

static const char *
days_text(int days)
{
	return days == RETENTION_WITHOUT_END ? "without end" : psprintf("%d days", days);
}

static void
record(AuditEvent *event, const char *kind, int before, int after, const char *reason)
{
	AuditEventInit(event, "retention");
	snprintf(event->detail, sizeof(event->detail), "%s: %s instead of %s%s%s", kind,
			 days_text(after), days_text(before), reason == NULL ? "" : "; ",
			 reason == NULL ? "" : reason);
	RecordChange(event);
}

static void
store(Oid table, const char *kind, int days, const char *reason, const AuditEvent *event)
{
	static const Oid types[] = {TEXTOID, INT4OID, TEXTOID, TIMESTAMPTZOID, INT8OID};
	OwnChange	change = {.table = table};
	Datum		values[5];
	char		nulls[5] = {' ', ' ', ' ', ' ', ' '};

	values[0] = CStringGetTextDatum(kind);
	values[1] = Int32GetDatum(days);
	nulls[1] = days == RETENTION_WITHOUT_END ? 'n' : ' ';
	values[2] = reason == NULL ? (Datum) 0 : CStringGetTextDatum(reason);
	nulls[2] = reason == NULL ? 'n' : ' ';
	values[3] = TimestampTzGetDatum(event->recorded_at);
	values[4] = Int64GetDatum(event->event_id);
	OwnChangeOne(&change,
							"INSERT INTO cpis.retention_policy (kind, retention_days, reason, set_at, event_id)"
							" VALUES ($1, $2, $3, $4, $5)"
							" ON CONFLICT (kind) DO UPDATE SET retention_days = excluded.retention_days,"
							" reason = excluded.reason, set_at = excluded.set_at, event_id = excluded.event_id",
							lengthof(types), types, values, nulls, NULL);
}

/*
 * cpis_retention_set(kind, retention_days, reason) -> bigint: the event.  NULL days
 * are without end.  42704 for an unknown kind, 22023 for days out of range, 22004
 * where a shorter time has no reason; else as RecordChange().
 */
Datum
cpis_retention_set(PG_FUNCTION_ARGS)
{
	char	   *kind;
	char	   *reason;
	int			before;
	int			after;
	Relation	table;
	AuditEvent	event;

	ChangeCheckCallable("cpis_retention_set()");
	kind = ArgumentText(fcinfo, 0, "kind", true, NAMEDATALEN - 1);
	after = days_argument(fcinfo, 1);
	reason = ArgumentText(fcinfo, 2, "reason", false, REASON_LENGTH);

	table = CpisTableOpen(CPIS_RETENTION_POLICY, ShareRowExclusiveLock);
	before = present_days(kind);
	if (after != RETENTION_WITHOUT_END && reason == NULL &&
		(before == RETENTION_WITHOUT_END || after < before))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("to hold \"%s\" for less long needs a reason", kind),
				 errdetail("At present it is held %s.", days_text(before))));

	record(&event, kind, before, after, reason);
	store(RelationGetRelid(table), kind, after, reason, &event);
	table_close(table, NoLock);
	PG_RETURN_INT64(event.event_id);
}
