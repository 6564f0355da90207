/*-------------------------------------------------------------------------
 *
 * provider_setting.c
 *	  Which care settings of a provider are live.
 *
 * A provider goes live one care setting at a time (guidance sections 1 and 6).  Where
 * cpis.provider_setting has a record that says that a setting is not live, look-ups from there
 * are refused; lookup.c asks, for each, through reference.c, which keeps the answer.
 *
 * cpis_provider_setting_set() and cpis_provider_setting_remove() change the table, having
 * recorded it in an event, action go_live.  They hold ShareRowExclusiveLock on the table to the
 * end of the transaction, so that changes are in the order of their events; who looks up is not
 * stopped.  An error leaves everything as it was, but for an event.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "argument.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "day.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "own_change.h"
#include "provider_setting.h"
#include "register.h"
#include "request.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

PG_FUNCTION_INFO_V1(cpis_provider_setting_set);
PG_FUNCTION_INFO_V1(cpis_provider_setting_remove);

#define GO_LIVE_ACTION "go_live"

/* Columns of cpis.provider_setting. */
#define SETTING_LIVE_FROM 6
#define SETTING_LIVE_UNTIL 7

/* Days that a record may name: those that a plan may (cpis.plan.start_date). */
#define EARLIEST_DAY (date2j(1948, 7, 5) - POSTGRES_EPOCH_JDATE)
#define LATEST_DAY (date2j(2999, 12, 31) - POSTGRES_EPOCH_JDATE)

/* Positions of the arguments; cpis_provider_setting_remove() has the first two. */
#define ARG_ORGANISATION 0
#define ARG_CARE_SETTING 1
#define ARG_ACCESS_WAY 2
#define ARG_GO_LIVE_DUE_ON 3
#define ARG_LIVE_FROM 4
#define ARG_LIVE_UNTIL 5

/* Setting: are look-ups refused where there is no record? */
bool		cpis_require_go_live = false;

/*
 * Is this care setting of the organisation live today?
 */
ProviderSettingState
ProviderSettingFind(const char *organisation, const char *care_setting, DateADT today,
					const Reading *reading)
{
	TupleDesc	descriptor;
	HeapTuple	tuple = ReferenceFind(reading, CPIS_PROVIDER_SETTING,
									  psprintf("%s %s", organisation, care_setting), &descriptor);
	bool		never;
	bool		still;
	DateADT		from;
	DateADT		until;

	if (tuple == NULL)
		return PROVIDER_SETTING_WITHOUT_RECORD;
	from = DatumGetDateADT(heap_getattr(tuple, SETTING_LIVE_FROM, descriptor, &never));
	until = DatumGetDateADT(heap_getattr(tuple, SETTING_LIVE_UNTIL, descriptor, &still));
	return !never && from <= today && (still || today <= until) ?
		PROVIDER_SETTING_LIVE : PROVIDER_SETTING_NOT_LIVE;
}

/*
 * Begin an event of a change of the record of this setting, and keep other changes out.
 */
static void
begin(FunctionCallInfo fcinfo, AuditEvent *event)
{
	char	   *organisation = ArgumentText(fcinfo, ARG_ORGANISATION, "organisation", true, ORGANISATION_LENGTH);
	char	   *care_setting = ArgumentText(fcinfo, ARG_CARE_SETTING, "care_setting", true, CARE_SETTING_LENGTH);

	LockRelationOid(CpisRelationOid(CPIS_PROVIDER_SETTING), ShareRowExclusiveLock);
	AuditEventInit(event, GO_LIVE_ACTION);
	strlcpy(event->organisation, organisation, sizeof(event->organisation));
	strlcpy(event->care_setting, care_setting, sizeof(event->care_setting));
}

/*
 * Does the command find a row?  Its arguments are the organisation of the event and, where there are
 * two, the care setting.
 */
static bool
finds(CpisRelation table, const char *command, int nargs, const AuditEvent *event)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	OwnChange	as_owner = {.table = CpisRelationOid(table)};
	Datum		values[] = {CStringGetTextDatum(event->organisation), CStringGetTextDatum(event->care_setting)};

	return OwnChangeExecute(&as_owner, command, nargs, types, values, "  ", NULL) > 0;
}

/*
 * Raise an error, 42704, unless the provider and the care setting are there.
 */
static void
check_setting(const AuditEvent *event)
{
	Reading		reading = ReadingBegin();
	bool		known = RegisterHasCareSetting(event->care_setting, &reading);

	ReadingEnd(&reading);
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("care setting does not exist"),
				 errhint("The codes are those of table cpis.care_setting, such as emergency_department.")));
	if (!finds(CPIS_PROVIDER, "SELECT 1::bigint FROM cpis.provider WHERE organisation = $1", 1, event))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("organisation is not a provider"),
				 errhint("Insert it into table cpis.provider.")));
}

/*
 * Take a date, and add it to what the event says.
 */
static void
take_date(FunctionCallInfo fcinfo, int position, const char *name, const char *words, StringInfo said,
		  Datum *value, char *null)
{
	*null = PG_ARGISNULL(position) ? 'n' : ' ';
	if (PG_ARGISNULL(position))
		return;
	*value = PG_GETARG_DATUM(position);
	if (DatumGetDateADT(*value) < EARLIEST_DAY || DatumGetDateADT(*value) > LATEST_DAY)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, name, "must be a day from 1948 to 2999");
	appendStringInfo(said, ", %s %s", words, DayText(DatumGetDateADT(*value)));
}

/*
 * Take the record, and say it in the event; 22023 where it contradicts itself.
 */
static void
take_record(FunctionCallInfo fcinfo, AuditEvent *event, Datum *values, char *nulls)
{
	char	   *way = ArgumentText(fcinfo, ARG_ACCESS_WAY, "access_way", false, NAMEDATALEN);
	StringInfoData said;

	if (way != NULL && strcmp(way, "integrated") != 0 && strcmp(way, "summary_care_record") != 0)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "access_way", "must be integrated or summary_care_record");
	/* cpis.reconcile_submissions() says it in the same words. */
	initStringInfo(&said);
	appendStringInfo(&said, "%s %s: access %s", event->organisation, event->care_setting, way == NULL ? "unknown" : way);
	nulls[ARG_ACCESS_WAY] = way == NULL ? 'n' : ' ';
	values[ARG_ACCESS_WAY] = way == NULL ? (Datum) 0 : CStringGetTextDatum(way);
	take_date(fcinfo, ARG_GO_LIVE_DUE_ON, "go_live_due_on", "due", &said, &values[ARG_GO_LIVE_DUE_ON], &nulls[ARG_GO_LIVE_DUE_ON]);
	take_date(fcinfo, ARG_LIVE_FROM, "live_from", "live from", &said, &values[ARG_LIVE_FROM], &nulls[ARG_LIVE_FROM]);
	take_date(fcinfo, ARG_LIVE_UNTIL, "live_until", "live until", &said, &values[ARG_LIVE_UNTIL], &nulls[ARG_LIVE_UNTIL]);
	if (nulls[ARG_LIVE_UNTIL] == ' ' &&
		(nulls[ARG_LIVE_FROM] == 'n' || DatumGetDateADT(values[ARG_LIVE_UNTIL]) < DatumGetDateADT(values[ARG_LIVE_FROM])))
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "live_until", "must not be before live_from");
	strlcpy(event->detail, said.data, sizeof(event->detail));
}

/*
 * cpis_provider_setting_set(organisation, care_setting, access_way, go_live_due_on, live_from,
 * live_until) -> bigint: the event.  42704 for a care setting or a provider that there is not.
 */
Datum
cpis_provider_setting_set(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, DATEOID, DATEOID, DATEOID, TIMESTAMPTZOID, INT8OID};
	OwnChange	change = {0};
	Datum		values[lengthof(types)] = {0};
	char		nulls[lengthof(types)] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
	AuditEvent	event;

	ChangeCheckCallable("cpis_provider_setting_set()");
	begin(fcinfo, &event);
	take_record(fcinfo, &event, values, nulls);
	check_setting(&event);
	RecordChange(&event);

	values[ARG_ORGANISATION] = CStringGetTextDatum(event.organisation);
	values[ARG_CARE_SETTING] = CStringGetTextDatum(event.care_setting);
	values[ARG_LIVE_UNTIL + 1] = TimestampTzGetDatum(event.recorded_at);
	values[ARG_LIVE_UNTIL + 2] = Int64GetDatum(event.event_id);
	change.table = CpisRelationOid(CPIS_PROVIDER_SETTING);
	OwnChangeOne(&change,
				 "INSERT INTO cpis.provider_setting AS s (organisation, care_setting, access_way, go_live_due_on, live_from, live_until, set_at, event_id)"
				 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
				 " ON CONFLICT ON CONSTRAINT provider_setting_pkey DO UPDATE SET access_way = $3, go_live_due_on = $4, live_from = $5, live_until = $6,"
				 " set_at = $7, event_id = $8",
				 lengthof(types), types, values, nulls, NULL);
	PG_RETURN_INT64(event.event_id);
}

/*
 * cpis_provider_setting_remove(organisation, care_setting) -> bigint: the event.  22023 where there
 * is no record.
 */
Datum
cpis_provider_setting_remove(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	OwnChange	change = {0};
	Datum		values[lengthof(types)];
	AuditEvent	event;

	ChangeCheckCallable("cpis_provider_setting_remove()");
	begin(fcinfo, &event);
	if (!finds(CPIS_PROVIDER_SETTING, "SELECT 1::bigint FROM cpis.provider_setting WHERE organisation = $1 AND care_setting = $2", 2, &event))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the care setting of the organisation has no record")));
	snprintf(event.detail, sizeof(event.detail), "%s %s: no record", event.organisation, event.care_setting);
	RecordChange(&event);

	values[0] = CStringGetTextDatum(event.organisation);
	values[1] = CStringGetTextDatum(event.care_setting);
	change.table = CpisRelationOid(CPIS_PROVIDER_SETTING);
	OwnChangeOne(&change, "DELETE FROM cpis.provider_setting WHERE organisation = $1 AND care_setting = $2",
				 lengthof(types), types, values, "  ", NULL);
	PG_RETURN_INT64(event.event_id);
}
