/*-------------------------------------------------------------------------
 *
 * register.c
 *	  The register: plans, authorities, organisations and care settings.
 *
 * Reads the plans of sql/register.sql by index scan, and the reference tables
 * through reference.c, without SPI and without regard to the caller's
 * privileges on them: the functions that call it are what is granted.  Locks
 * are AccessShare, released at once.  Returned data is allocated in the current
 * memory context.
 *
 * Which plans are held is plan_term.c's to say.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "plan_record.h"
#include "plan_term.h"
#include "reference.h"
#include "register.h"
#include "relation.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* Columns of cpis.local_authority. */
#define AUTHORITY_NAME 2
#define AUTHORITY_OFFICE_HOURS_PHONE 3
#define AUTHORITY_EMERGENCY_DUTY_PHONE 4

/* Columns of other tables. */
#define ORGANISATION_NAME 2

PG_FUNCTION_INFO_V1(cpis_random_salt);

/*
 * 16 random bytes, for cpis.plan.commitment_salt.
 */
Datum
cpis_random_salt(PG_FUNCTION_ARGS)
{
	bytea	   *salt = palloc(VARHDRSZ + 16);

	SET_VARSIZE(salt, VARHDRSZ + 16);
	if (!pg_strong_random(VARDATA(salt), 16))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random salt")));
	PG_RETURN_BYTEA_P(salt);
}

bool
RegisterHasOrganisation(const char *code, const Reading *reading)
{
	TupleDesc	descriptor;

	return ReferenceFind(reading, CPIS_ORGANISATION, code, &descriptor) != NULL;
}

/*
 * The name of an organisation, or NULL where it is no longer in the register.
 */
char *
RegisterOrganisationName(const char *code, const Reading *reading)
{
	TupleDesc	descriptor;
	HeapTuple	tuple = ReferenceFind(reading, CPIS_ORGANISATION, code,
									  &descriptor);

	return tuple == NULL ? NULL :
		CpisTextAttribute(tuple, descriptor, ORGANISATION_NAME);
}

bool
RegisterHasCareSetting(const char *code, const Reading *reading)
{
	TupleDesc	descriptor;

	return ReferenceFind(reading, CPIS_CARE_SETTING, code, &descriptor) != NULL;
}

/*
 * Add what is told of the authority responsible.
 */
static void
fill_authority(HeldPlan *plan, const Reading *reading)
{
	TupleDesc	descriptor;
	HeapTuple	tuple = ReferenceFind(reading, CPIS_LOCAL_AUTHORITY,
									  plan->local_authority, &descriptor);

	if (tuple == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("local authority \"%s\" is missing from \"cpis.local_authority\"",
						plan->local_authority)));
	plan->local_authority_name =
		CpisTextAttribute(tuple, descriptor, AUTHORITY_NAME);
	plan->office_hours_phone =
		CpisTextAttribute(tuple, descriptor, AUTHORITY_OFFICE_HOURS_PHONE);
	plan->emergency_duty_phone =
		CpisTextAttribute(tuple, descriptor, AUTHORITY_EMERGENCY_DUTY_PHONE);
}

/*
 * Newest start first; of two, the one entered first.
 */
static int
compare_plans(const ListCell *a, const ListCell *b)
{
	const HeldPlan *one = lfirst(a);
	const HeldPlan *other = lfirst(b);

	if (one->start_date != other->start_date)
		return one->start_date > other->start_date ? -1 : 1;
	return one->plan_id < other->plan_id ? -1 : 1;
}

/*
 * The plans held for a number today, a list of HeldPlan, newest start first.
 */
List *
RegisterPlansHeld(int32 nhs_number, DateADT today, const Reading *reading)
{
	Relation	relation;
	TupleDesc	descriptor;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *plans = NIL;
	Oid			authorities = CpisRelationOid(CPIS_LOCAL_AUTHORITY);
	Oid			plan_types = CpisRelationOid(CPIS_PLAN_TYPE);
	Oid			policies = CpisRelationOid(CPIS_RETENTION_POLICY);
	PlanPolicy	policy;

	/*
	 * Lock what is read only if a plan is found before it is known whether one
	 * is: who waits for such a lock, or not, must not tell the two apart.  In
	 * the order in which they were made, which is that of DROP EXTENSION.
	 */
	LockRelationOid(authorities, AccessShareLock);
	LockRelationOid(plan_types, AccessShareLock);
	LockRelationOid(policies, AccessShareLock);
	relation = CpisTableOpen(CPIS_PLAN, AccessShareLock);
	descriptor = RelationGetDescr(relation);

	PlanPolicyBegin(&policy, reading);
	ScanKeyInit(&key, PLAN_NHS_NUMBER, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(nhs_number));
	scan = systable_beginscan(relation,
							  CpisRelationOid(CPIS_PLAN_NHS_NUMBER_IDX),
							  true, reading->snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		PlanTerm	term = PlanTermOf(&policy, tuple, descriptor);
		HeldPlan   *plan;
		bool		isnull;

		if (!PlanTermIsHeld(&term, today))
			continue;

		plan = palloc0(sizeof(HeldPlan));
		plan->plan_id = DatumGetInt64(heap_getattr(tuple, PLAN_PLAN_ID,
												   descriptor, &isnull));
		plan->plan_type = CpisTextAttribute(tuple, descriptor, PLAN_PLAN_TYPE);
		plan->start_date = DatumGetDateADT(heap_getattr(tuple, PLAN_START_DATE,
														descriptor, &isnull));
		plan->end_date = DatumGetDateADT(heap_getattr(tuple, PLAN_END_DATE,
													  descriptor, &isnull));
		plan->has_end_date = !isnull;
		plan->local_authority =
			CpisTextAttribute(tuple, descriptor, PLAN_LOCAL_AUTHORITY);
		fill_authority(plan, reading);
		plans = lappend(plans, plan);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	UnlockRelationOid(policies, AccessShareLock);
	UnlockRelationOid(plan_types, AccessShareLock);
	UnlockRelationOid(authorities, AccessShareLock);

	list_sort(plans, compare_plans);
	return plans;
}

/*
 * Is this code in a reference table?
 */
static bool
is_known(CpisRelation table, const char *code)
{
	Reading		reading = ReadingBegin();
	TupleDesc	descriptor;
	bool		known = ReferenceFind(&reading, table, code, &descriptor) != NULL;

	ReadingEnd(&reading);
	return known;
}

/*
 * Raise an error, 42704, unless the local authority is in the register.
 */
void
RegisterRequireAuthority(const char *code)
{
	if (!is_known(CPIS_LOCAL_AUTHORITY, code))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("local authority is not in the register"),
				 errhint("See table cpis.local_authority.")));
}

/*
 * The same for an organisation.
 */
void
RegisterRequireOrganisation(const char *code)
{
	if (!is_known(CPIS_ORGANISATION, code))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("organisation is not in the register"),
				 errhint("An administrator keeps the organisations in table cpis.organisation.")));
}

/*
 * The equality of NHS numbers, of which this is the type, as it is written in a query
 * whatever the search_path.
 */
char *
RegisterNumberEquality(Oid number_type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(number_type));
	char	   *schema;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", number_type);
	schema = get_namespace_name(((Form_pg_type) GETSTRUCT(tuple))->typnamespace);
	ReleaseSysCache(tuple);
	return psprintf("OPERATOR(%s.=)", quote_identifier(schema));
}
