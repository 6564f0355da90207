/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  cpis_lookup() and cpis_flag().
 *
 * Both do, in this order and in one function, look_up(): entitle, read,
 * record, disclose.  Nothing that was read leaves that function before
 * RecordEvent() has returned, that is, before the access event is durable
 * whatever becomes of the caller's transaction.  A refusal is recorded too,
 * and raised afterwards.  An error on the way discloses nothing.
 *
 * Arguments that are malformed - NULL, empty, too long, with control
 * characters - are errors of the caller's program: they are raised before
 * anything is read, and leave no event.
 *
 * The plans are read under the newest snapshot, for a REPEATABLE READ
 * transaction may have begun before a plan was made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "argument.h"
#include "audit_event.h"
#include "day.h"
#include "entitlement.h"
#include "executor/instrument.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lookup_rate.h"
#include "miscadmin.h"
#include "mod11.h"
#include "pgstat.h"
#include "provider_setting.h"
#include "register.h"
#include "request.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(cpis_lookup);
PG_FUNCTION_INFO_V1(cpis_flag);

/* Positions of the arguments; cpis_flag() has no "notify", and "device" in its place. */
#define ARG_NHS_NUMBER 0
#define ARG_SYSTEM_ID 6
#define ARG_LOCATION 7
#define ARG_NOTIFY 9
#define ARG_DEVICE 10

/* The care setting whose devices say where the person is. */
#define SETTING_NHS_111 "nhs_111"

/* The text arguments, their limits in bytes, and their place in the event. */
static const struct
{
	int			position;
	const char *name;
	bool		required;
	int			limit;
	size_t		offset;
}			text_arguments[] =
{
	{1, "worker_name", true, WORKER_NAME_LENGTH, offsetof(AuditEvent, worker_name)},
	{2, "organisation", true, ORGANISATION_LENGTH, offsetof(AuditEvent, organisation)},
	{3, "care_setting", true, CARE_SETTING_LENGTH, offsetof(AuditEvent, care_setting)},
	{4, "worker_id", false, WORKER_ID_LENGTH, offsetof(AuditEvent, worker_id)},
	{5, "job_role", false, JOB_ROLE_LENGTH, offsetof(AuditEvent, job_role)},
	{6, "system_id", false, SYSTEM_ID_LENGTH, offsetof(AuditEvent, system_id)},
	{7, "location", false, LOCATION_LENGTH, offsetof(AuditEvent, location)},
	{8, "request_id", false, REQUEST_ID_LENGTH, offsetof(AuditEvent, request_id)},
};

/* Why a look-up is refused: what the trail says, and what the caller is told. */
typedef struct Refusal
{
	int			sqlerrcode;
	const char *recorded;
	const char *message;
	const char *hint;
} Refusal;

static const Refusal not_entitled = {
	ERRCODE_INSUFFICIENT_PRIVILEGE, "not entitled",
	"permission denied to look children up",
	"The role must be a member of cpis_clinical, and none of cpis_steward."
};
static const Refusal not_in_scope = {
	ERRCODE_INSUFFICIENT_PRIVILEGE, "not entitled for the organisation",
	"permission denied to look children up for the organisation",
	"The role must have been given the organisation by cpis_scope_grant()."
};
static const Refusal silent_not_entitled = {
	ERRCODE_INSUFFICIENT_PRIVILEGE, "not entitled to read silently",
	"permission denied to look children up without notifying the local authority",
	"Leave out the argument \"notify\"."
};
static const Refusal device_not_entitled = {
	ERRCODE_INSUFFICIENT_PRIVILEGE, "not entitled to act as device",
	"permission denied to look children up as a device",
	"Leave out the argument \"device\" where a person asks."
};
static const Refusal too_many_lookups = {
	ERRCODE_PROGRAM_LIMIT_EXCEEDED, "too many look-ups within a minute",
	"more look-ups within a minute than the role may make for the organisation",
	"See max_lookups_per_minute of cpis_scope_grant()."
};
static const Refusal unknown_organisation = {
	ERRCODE_UNDEFINED_OBJECT, "unknown organisation",
	"organisation is not in the register",
	"An administrator keeps the organisations in table cpis.organisation."
};
static const Refusal unknown_care_setting = {
	ERRCODE_UNDEFINED_OBJECT, "unknown care setting",
	"care setting does not exist",
	"The codes are those of table cpis.care_setting, such as emergency_department."
};
static const Refusal not_live = {
	ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "care setting is not live",
	"the care setting of the organisation is not live",
	"An administrator sets from when it is live with cpis_provider_setting_set()."
};
static const Refusal no_go_live = {
	ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "care setting has no record of going live",
	"the care setting of the organisation has no record of going live",
	"See cpis_provider_setting_set() and the setting cpis.require_go_live."
};
static const Refusal too_many_plans = {
	ERRCODE_INVALID_PARAMETER_VALUE, "too many plans",
	"more plans are held for one NHS number than can be disclosed",
	"A look-up discloses up to 64 plans."
};
static const Refusal placeholder_number = {
	ERRCODE_INVALID_PARAMETER_VALUE, "placeholder number",
	"NHS number is a placeholder for a missing number",
	"A person without a known NHS number cannot be looked up."
};

/* What is asked for that needs a right of its own. */
typedef struct Asked
{
	bool		silently;		/* a look-up, which else notifies, should not */
	bool		by_device;		/* the author is a device */
} Asked;

/*
 * Copy one text argument into the event.
 */
static void
take_text(FunctionCallInfo fcinfo, int i, AuditEvent *event)
{
	const char *value = ArgumentText(fcinfo, text_arguments[i].position, text_arguments[i].name,
									 text_arguments[i].required, text_arguments[i].limit);

	if (value != NULL)
		strlcpy((char *) event + text_arguments[i].offset, value, text_arguments[i].limit + 1);
}

/*
 * Does the caller say that the author is a device?  Such a one says which, and in NHS 111
 * where the person is.
 */
static bool
take_device(FunctionCallInfo fcinfo, int position, AuditEvent *event)
{
	if (PG_ARGISNULL(position))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "device", "must not be null");
	if (!PG_GETARG_BOOL(position))
		return false;
	if (PG_ARGISNULL(ARG_SYSTEM_ID))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "system_id", "must be given where the author is a device");
	if (PG_ARGISNULL(ARG_LOCATION) && strcmp(event->care_setting, SETTING_NHS_111) == 0)
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "location", "must be given where the author is a device of NHS 111");
	strlcpy(event->detail, DEVICE_DETAIL, sizeof(event->detail));
	return true;
}

/*
 * Fill an event from the arguments of the call.
 */
static void
take_arguments(FunctionCallInfo fcinfo, AuditEvent *event, Asked *asked)
{
	if (PG_ARGISNULL(ARG_NHS_NUMBER))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "nhs_number", "must not be null");
	event->has_nhs_number = true;
	event->nhs_number = PG_GETARG_INT32(ARG_NHS_NUMBER);

	for (int i = 0; i < lengthof(text_arguments); i++)
		take_text(fcinfo, i, event);

	event->has_notify = true;
	event->notify = false;
	if (PG_NARGS() > ARG_DEVICE)
	{
		/* NULL could be meant as either, and silence must be asked for. */
		if (PG_ARGISNULL(ARG_NOTIFY))
			ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "notify", "must not be null");
		event->notify = PG_GETARG_BOOL(ARG_NOTIFY);
		asked->silently = !event->notify;
	}
	asked->by_device = take_device(fcinfo, PG_NARGS() - 1, event);
}

/*
 * Why the care setting cannot look up, or NULL.
 */
static const Refusal *
entitle_setting(const AuditEvent *event, const Reading *reading)
{
	if (!RegisterHasCareSetting(event->care_setting, reading))
		return &unknown_care_setting;
	switch (ProviderSettingFind(event->organisation, event->care_setting, DayToday(), reading))
	{
		case PROVIDER_SETTING_NOT_LIVE:
			return &not_live;
		case PROVIDER_SETTING_WITHOUT_RECORD:
			return cpis_require_go_live ? &no_go_live : NULL;
		case PROVIDER_SETTING_LIVE:
			break;
	}
	return NULL;
}

/*
 * Why the look-up is refused, or NULL.
 *
 * The order is relied on: by the reason alone, the SQL functions cpis.organisation_is_known() and
 * cpis.care_setting_is_known() tell whether these had been found in the register before.
 */
static const Refusal *
entitle(const AuditEvent *event, const Asked *asked, const Reading *reading)
{
	ScopeRights rights;
	const Refusal *refusal;

	if (!EntitledToLookUp())
		return &not_entitled;
	if (!RegisterHasOrganisation(event->organisation, reading))
		return &unknown_organisation;
	if (!EntitledToSpeakFor(event->organisation, reading, &rights))
		return &not_in_scope;
	if (asked->silently && !rights.may_read_silently)
		return &silent_not_entitled;
	if (asked->by_device && !rights.may_act_as_device)
		return &device_not_entitled;
	refusal = entitle_setting(event, reading);
	if (refusal != NULL)
		return refusal;
	if (mod11_is_placeholder(event->nhs_number))
		return &placeholder_number;
	/* Last, so that what is refused anyhow does not count. */
	if (rights.max_lookups_per_minute > 0 &&
		!LookupRateTake(rights.counted_by, rights.max_lookups_per_minute))
		return &too_many_lookups;
	return NULL;
}

/*
 * Name in the event the plans found and, once each, the authorities to notify.
 */
static void
note_plans(AuditEvent *event, List *plans)
{
	ListCell   *cell;

	foreach(cell, plans)
	{
		HeldPlan   *plan = lfirst(cell);
		int			n = 0;

		event->plan_ids[event->nplans++] = plan->plan_id;
		if (!event->notify)
			continue;
		while (n < event->nnotified &&
			   strcmp(event->notified_authority[n], plan->local_authority) != 0)
			n++;
		if (n == event->nnotified)
			strlcpy(event->notified_authority[event->nnotified++],
					plan->local_authority, LOCAL_AUTHORITY_LENGTH + 1);
	}
}

static void
raise_refusal(const Refusal *refusal)
{
	ereport(ERROR,
			(errcode(refusal->sqlerrcode),
			 errmsg("%s", refusal->message),
			 errdetail("The refusal is recorded in the audit trail."),
			 errhint("%s", refusal->hint),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Entitle and read, leaving no trace of what was read where the caller could
 * see it while his event is not recorded yet: neither in the statistics of his
 * transaction nor in EXPLAIN's count of buffers.
 */
static const Refusal *
entitle_and_read(const AuditEvent *event, const Asked *asked, List **plans)
{
	Reading		reading = ReadingBegin();
	bool		track_counts = pgstat_track_counts;
	BufferUsage buffer_usage = pgBufferUsage;
	const Refusal *refusal = NULL;

	*plans = NIL;
	PG_TRY();
	{
		pgstat_track_counts = false;
		refusal = entitle(event, asked, &reading);
		if (refusal == NULL)
			*plans = RegisterPlansHeld(event->nhs_number, DayToday(),
									   &reading);
	}
	PG_FINALLY();
	{
		pgstat_track_counts = track_counts;
		pgBufferUsage = buffer_usage;
	}
	PG_END_TRY();
	ReadingEnd(&reading);

	if (list_length(*plans) > PLANS_PER_LOOKUP)
		return &too_many_plans;
	return refusal;
}

/*
 * Entitle, read, record, disclose: the plans held for the person in the event,
 * whose access event is durable when this returns.
 */
static List *
look_up(AuditEvent *event, const Asked *asked, QueueCounter counter)
{
	List	   *plans;
	const Refusal *refusal = entitle_and_read(event, asked, &plans);

	if (refusal != NULL)
	{
		strlcpy(event->outcome, "refused", sizeof(event->outcome));
		snprintf(event->detail, sizeof(event->detail), "%s%s%s", refusal->recorded,
				 asked->by_device ? "; " : "", asked->by_device ? DEVICE_DETAIL : "");
		RecordEvent(event, QUEUE_REFUSALS);
		raise_refusal(refusal);
	}

	note_plans(event, plans);
	strlcpy(event->outcome, plans == NIL ? "not_found" : "found",
			sizeof(event->outcome));
	RecordEvent(event, counter);

	return plans;
}

/*
 * cpis_lookup(nhs_number, worker_name, organisation, care_setting, worker_id,
 * job_role, system_id, location, request_id, notify, device) -> setof
 * cpis.lookup_result: a row for each plan held.
 */
Datum
cpis_lookup(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	AuditEvent	event;
	Asked		asked = {0};
	List	   *plans;
	ListCell   *cell;

	RequestCheckCallable("cpis_lookup()");
	InitMaterializedSRF(fcinfo, 0);

	AuditEventInit(&event, "lookup");
	take_arguments(fcinfo, &event, &asked);
	plans = look_up(&event, &asked, QUEUE_LOOKUPS);

	foreach(cell, plans)
	{
		HeldPlan   *plan = lfirst(cell);
		Datum		values[9];
		bool		isnull[9] = {false};

		values[0] = Int32GetDatum(event.nhs_number);
		values[1] = CStringGetTextDatum(plan->plan_type);
		values[2] = DateADTGetDatum(plan->start_date);
		values[3] = DateADTGetDatum(plan->end_date);
		isnull[3] = !plan->has_end_date;
		values[4] = CStringGetTextDatum(plan->local_authority);
		values[5] = CStringGetTextDatum(plan->local_authority_name);
		isnull[6] = (plan->office_hours_phone == NULL);
		if (!isnull[6])
			values[6] = CStringGetTextDatum(plan->office_hours_phone);
		values[7] = CStringGetTextDatum(plan->emergency_duty_phone);
		values[8] = Int64GetDatum(event.event_id);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	}

	return (Datum) 0;
}

/*
 * cpis_flag(nhs_number, worker_name, organisation, care_setting, worker_id,
 * job_role, system_id, location, request_id, device) -> boolean: is any plan held?
 */
Datum
cpis_flag(PG_FUNCTION_ARGS)
{
	AuditEvent	event;
	Asked		asked = {0};

	RequestCheckCallable("cpis_flag()");

	AuditEventInit(&event, "flag");
	take_arguments(fcinfo, &event, &asked);
	PG_RETURN_BOOL(look_up(&event, &asked, QUEUE_FLAGS) != NIL);
}
