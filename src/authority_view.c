/*-------------------------------------------------------------------------
 *
 * authority_view.c
 *	  What a local authority sees of what is its own.
 *
 * Behind each of the views cpis.authority_* there is a function, and no table: what the
 * caller adds to a query of the view - conditions, operators, functions that tell what they
 * are given - sees nothing but rows that are his anyhow, and neither the planner's estimates
 * nor its statistics know more than how many rows a function may answer.
 *
 * Each finds the authorities that the role in force acts for, records that it reads
 * (trail_read.c), and then reads as the owner of the table.  A member of the group that acts for
 * none is refused, and that is recorded.  Superusers act for all.
 *
 * Locks are those of the queries.  Rows are answered in no order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "day.h"
#include "entitlement.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "own_change.h"
#include "plan_record.h"
#include "plan_term.h"
#include "register.h"
#include "relation.h"
#include "scope.h"
#include "trail_read.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(cpis_authority_plans);
PG_FUNCTION_INFO_V1(cpis_authority_submissions);
PG_FUNCTION_INFO_V1(cpis_authority_submission_records);
PG_FUNCTION_INFO_V1(cpis_authority_notifications);
PG_FUNCTION_INFO_V1(cpis_authority_accesses);

/* What is being answered. */
typedef struct Showing
{
	ReturnSetInfo *rsinfo;
	/* For plans: */
	Reading		reading;
	PlanPolicy	policy;
	DateADT		today;
} Showing;

/*
 * The authorities that the role in force acts for, as an array of texts: recorded as those
 * of whom it reads this view.
 */
static Datum
authorities_for(const char *view)
{
	List	   *codes = ScopeAuthorities(GetUserId());
	Datum	   *elements = palloc(list_length(codes) * sizeof(Datum));
	StringInfoData names;
	ListCell   *cell;
	int			n = 0;

	if (!superuser() && (codes == NIL || !EntitledAuthorityHas(GetUserId())))
		TrailReadRefuse(view);
	initStringInfo(&names);
	foreach(cell, codes)
	{
		appendStringInfo(&names, "%s%s", n == 0 ? "" : ", ", (char *) lfirst(cell));
		elements[n++] = CStringGetTextDatum(lfirst(cell));
	}
	TrailReadRecord(view, superuser() ? "all local authorities" : names.data);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Take rows as they are.
 */
static void
take_rows(SPITupleTable *rows, void *context)
{
	Showing    *showing = context;

	for (uint64 i = 0; i < rows->numvals; i++)
		tuplestore_puttuple(showing->rsinfo->setResult, rows->vals[i]);
}

/*
 * Of plans, take those that are held today, without their salt.
 */
static void
take_plans(SPITupleTable *rows, void *context)
{
	Showing    *showing = context;

	for (uint64 i = 0; i < rows->numvals; i++)
	{
		PlanTerm	term = PlanTermOf(&showing->policy, rows->vals[i], rows->tupdesc);
		Datum		values[PLAN_COMMITMENT_SALT];
		bool		isnull[PLAN_COMMITMENT_SALT];

		if (!PlanTermIsHeld(&term, showing->today))
			continue;
		heap_deform_tuple(rows->vals[i], rows->tupdesc, values, isnull);
		tuplestore_putvalues(showing->rsinfo->setResult, showing->rsinfo->setDesc, values, isnull);
	}
}

/*
 * Answer a view: run the query, which gets the authorities and whether it is all of them, and
 * have its rows taken.
 */
static void
show(FunctionCallInfo fcinfo, const char *view, CpisRelation table, const char *query, OwnChangeTake take)
{
	static const Oid types[] = {TEXTARRAYOID, BOOLOID};
	Showing		showing = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	Datum		values[2];

	InitMaterializedSRF(fcinfo, 0);
	values[0] = authorities_for(view);
	values[1] = BoolGetDatum(superuser());
	showing.reading = ReadingBegin();
	PlanPolicyBegin(&showing.policy, &showing.reading);
	showing.today = DayToday();
	(void) OwnReadEach(CpisRelationOid(table), NULL, 0, query, lengthof(types), types, values, take, &showing);
	ReadingEnd(&showing.reading);
}

/*
 * cpis.authority_plans() -> the plans of the authorities that are held today.
 */
Datum
cpis_authority_plans(PG_FUNCTION_ARGS)
{
	show(fcinfo, "authority_plan", CPIS_PLAN,
		 "SELECT p.* FROM cpis.plan p WHERE $2 OR p.local_authority = ANY ($1)", take_plans);
	return (Datum) 0;
}

/*
 * cpis.authority_submissions() -> what they have sent, and the answer.
 */
Datum
cpis_authority_submissions(PG_FUNCTION_ARGS)
{
	show(fcinfo, "authority_submission", CPIS_SUBMISSION,
		 "SELECT s.* FROM cpis.submission s WHERE $2 OR s.local_authority = ANY ($1)", take_rows);
	return (Datum) 0;
}

/*
 * cpis.authority_submission_records() -> the same, record by record.
 */
Datum
cpis_authority_submission_records(PG_FUNCTION_ARGS)
{
	show(fcinfo, "authority_submission_record", CPIS_SUBMISSION_RECORD,
		 "SELECT s.local_authority, r.submission_id, r.line_no, r.nhs_number, r.plan_type, r.start_date, r.end_date, r.delete_date,"
		 " r.date_of_birth, r.local_reference, r.record_code, r.detail_code, r.field"
		 " FROM cpis.submission s JOIN cpis.submission_record r ON r.submission_id = s.submission_id"
		 " WHERE $2 OR s.local_authority = ANY ($1)", take_rows);
	return (Datum) 0;
}

/*
 * cpis.authority_notifications() -> all their notices, acknowledged or not.
 */
Datum
cpis_authority_notifications(PG_FUNCTION_ARGS)
{
	show(fcinfo, "authority_notification", CPIS_NOTIFICATION,
		 "SELECT a.code, n.*, n.notification_no <= k.acknowledged FROM cpis.local_authority a"
		 " CROSS JOIN LATERAL (SELECT COALESCE(max(c.acknowledged), 0) FROM cpis.acknowledgement c WHERE c.local_authority = a.code) AS k (acknowledged)"
		 " CROSS JOIN LATERAL cpis.notices(a.code, 0, 2147483647) AS n"
		 " WHERE $2 OR a.code = ANY ($1)", take_rows);
	return (Datum) 0;
}

/*
 * cpis.authority_accesses() -> the accesses that disclosed a plan of theirs, or that there
 * is one, as long as that is in the register.
 */
Datum
cpis_authority_accesses(PG_FUNCTION_ARGS)
{
	Oid			number_type = get_atttype(CpisRelationOid(CPIS_PLAN), PLAN_NHS_NUMBER);

	show(fcinfo, "authority_access", CPIS_AUDIT_EVENT,
		 psprintf("SELECT p.local_authority, e.recorded_at, e.worker_name, e.organisation, o.name, e.care_setting, e.job_role,"
				  " e.nhs_number, p.plan_id, e.action, e.notify, e.event_id"
				  " FROM cpis.plan p JOIN cpis.audit_event e ON e.nhs_number %s p.nhs_number AND p.plan_id = ANY (e.plan_ids)"
				  " LEFT JOIN cpis.organisation o ON o.code = e.organisation"
				  " WHERE ($2 OR p.local_authority = ANY ($1)) AND e.action IN ('lookup', 'flag') AND e.outcome = 'found'",
				  RegisterNumberEquality(number_type)), take_rows);
	return (Datum) 0;
}
