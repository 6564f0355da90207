/*-------------------------------------------------------------------------
 *
 * number_change.c
 *	  NHS numbers that are not to be used any more.
 *
 * cpis_nhs_number_inactivate() puts a number into cpis.inactive_number, and tells every
 * authority that has used it, in the register or in what it has sent, by a notice;
 * cpis_nhs_number_reactivate() takes that back.  From then on, records with the number are
 * answered CPR05.  Plans that are held stay, and look-ups find them, until their
 * authority ends them.
 *
 * What replaces a number is told where somebody gave it, and only by the notice; the event
 * has the old number alone.  Where nobody gave it, as after an adoption, nothing here has
 * both.
 *
 * Takes ShareRowExclusiveLock on cpis.inactive_number: it waits for the transactions that have
 * applied a submission, so that no authority which is just using the number is overlooked, and
 * those that come wait for this one.  Therefore it waits a few seconds at most (55P03), has
 * looked through what was sent before that, and looks only for what has come since afterwards;
 * and it wants the newest snapshot (25001).  Look-ups do not touch the table.  The event is
 * durable, and the authorities have their notices, before the change can be committed; an
 * error leaves everything as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "argument.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mod11.h"
#include "own_change.h"
#include "register.h"
#include "relation.h"
#include "request.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "submission_apply.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cpis_nhs_number_inactivate);
PG_FUNCTION_INFO_V1(cpis_nhs_number_reactivate);

#define NUMBER_ACTION "number"

#define INACTIVE_NHS_NUMBER 1

/* How long to wait for who has applied a submission, in ms: who comes later waits behind. */
#define LOCK_PATIENCE_MS 5000

/* Who is to be told. */
typedef struct Users
{
	MemoryContext context;
	List	   *authorities;
} Users;

static void
take_users(SPITupleTable *rows, void *context)
{
	Users	   *users = context;
	MemoryContext outer = MemoryContextSwitchTo(users->context);

	for (uint64 i = 0; i < rows->numvals; i++)
	{
		char	   *code = SPI_getvalue(rows->vals[i], rows->tupdesc, 1);
		ListCell   *cell;

		foreach(cell, users->authorities)
		{
			if (strcmp(lfirst(cell), code) == 0)
				break;
		}
		if (cell == NULL)
			users->authorities = lappend(users->authorities, pstrdup(code));
	}
	MemoryContextSwitchTo(outer);
}

/*
 * Add the authorities that have used the number, in the register, or in submissions that
 * were not answered before "since".  What was sent is text, and has no index: this reads
 * all of it.
 */
static void
find_users(Users *users, Oid number_type, Datum number, TimestampTz since)
{
	Oid			types[] = {number_type, TEXTOID, TIMESTAMPTZOID};
	char		digits[NHS_NUMBER_DIGITS + 1];
	char	   *equals = RegisterNumberEquality(number_type);
	Datum		values[3];

	mod11_print(DatumGetInt32(number), digits);
	values[0] = number;
	values[1] = CStringGetTextDatum(digits);
	values[2] = TimestampTzGetDatum(since);
	(void) OwnReadEach(CpisRelationOid(CPIS_PLAN), NULL, 0,
					   psprintf("SELECT local_authority FROM cpis.plan WHERE nhs_number %s $1"
								" UNION SELECT s.local_authority FROM cpis.submission_record r JOIN cpis.submission s USING (submission_id)"
								" WHERE translate(r.nhs_number, E' -\\t\\n\\x0b\\f\\r\\uFEFF', '') = $2"
								" AND (s.answered_at IS NULL OR s.answered_at >= $3) ORDER BY 1", equals),
					   lengthof(types), types, values, take_users, users);
}

/*
 * Lock the numbers.
 */
static void
lock_numbers(void)
{
	int			nest_level = NewGUCNestLevel();

	if (LockTimeout == 0 || LockTimeout > LOCK_PATIENCE_MS)
		(void) set_config_option("lock_timeout", psprintf("%d", LOCK_PATIENCE_MS), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	LockRelationOid(CpisRelationOid(CPIS_INACTIVE_NUMBER), ShareRowExclusiveLock);
	AtEOXact_GUC(true, nest_level);
}

static bool
number_is_inactive(Oid number_type, Datum number)
{
	OwnChange	as_owner = {.table = CpisRelationOid(CPIS_INACTIVE_NUMBER)};

	return OwnChangeExecute(&as_owner,
							psprintf("SELECT event_id FROM cpis.inactive_number WHERE nhs_number %s $1",
									 RegisterNumberEquality(number_type)),
							1, &number_type, &number, NULL, NULL) > 0;
}

/*
 * Find who has used the number, lock the numbers, and see that it is inactive, or that it is
 * not; 22023 where it is not so, and for a placeholder.
 */
static List *
begin(Oid *number_type, Datum number, bool must_be_inactive)
{
	Users		users = {.context = CurrentMemoryContext};
	/* What was answered before that, in a transaction that has not ended, is not seen yet. */
	TimestampTz since = GetCurrentTimestamp() - USECS_PER_DAY;
	bool		is_inactive;

	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("an NHS number must be changed in a transaction of isolation level READ COMMITTED")));
	*number_type = get_atttype(CpisRelationOid(CPIS_INACTIVE_NUMBER), INACTIVE_NHS_NUMBER);
	if (mod11_is_placeholder(DatumGetInt32(number)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the NHS number is a placeholder")));
	find_users(&users, *number_type, number, DT_NOBEGIN);
	lock_numbers();
	is_inactive = number_is_inactive(*number_type, number);
	if (is_inactive != must_be_inactive)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 is_inactive ? errmsg("the NHS number is inactive already") : errmsg("the NHS number is not inactive"),
				 errhidestmt(true), errhidecontext(true)));
	find_users(&users, *number_type, number, since);
	return users.authorities;
}

/*
 * Record what becomes of the number, and tell those who have used it: as many in one event
 * as it has room for, in more where they are more.  The event that is left in "event" is
 * the last.
 */
static void
record(AuditEvent *event, Datum number, const char *detail, const List *authorities)
{
	int			told = 0;

	do
	{
		AuditEventInit(event, NUMBER_ACTION);
		event->has_nhs_number = true;
		event->nhs_number = DatumGetInt32(number);
		strlcpy(event->detail, detail, sizeof(event->detail));
		while (told < list_length(authorities) && event->nnotified < PLANS_PER_LOOKUP)
			strlcpy(event->notified_authority[event->nnotified++], list_nth(authorities, told++), LOCAL_AUTHORITY_LENGTH + 1);
		RecordChange(event);
	} while (told < list_length(authorities));
}

/*
 * cpis_nhs_number_inactivate(nhs_number, superseded_by) -> bigint: the event.
 */
Datum
cpis_nhs_number_inactivate(PG_FUNCTION_ARGS)
{
	Oid			types[] = {InvalidOid, InvalidOid, TIMESTAMPTZOID, INT8OID};
	Datum		values[4];
	char		nulls[4] = {' ', ' ', ' ', ' '};
	OwnChange	change = {0};
	AuditEvent	event;
	List	   *users;

	ChangeCheckCallable("cpis_nhs_number_inactivate()");
	if (PG_ARGISNULL(0))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "nhs_number", "must not be null");
	if (!PG_ARGISNULL(1) && (PG_GETARG_INT32(1) == PG_GETARG_INT32(0) || mod11_is_placeholder(PG_GETARG_INT32(1))))
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "superseded_by", "must be another number, and no placeholder");
	users = begin(&types[0], PG_GETARG_DATUM(0), false);
	if (!PG_ARGISNULL(1) && number_is_inactive(types[0], PG_GETARG_DATUM(1)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the NHS number that replaces it is inactive itself"),
				 errhidestmt(true), errhidecontext(true)));
	record(&event, PG_GETARG_DATUM(0), PG_ARGISNULL(1) ? "inactive" : "superseded", users);

	change.table = CpisRelationOid(CPIS_INACTIVE_NUMBER);
	types[1] = types[0];
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	values[2] = TimestampTzGetDatum(event.recorded_at);
	values[3] = Int64GetDatum(event.event_id);
	OwnChangeOne(&change,
				 "INSERT INTO cpis.inactive_number (nhs_number, superseded_by, inactive_since, event_id) VALUES ($1, $2, $3, $4)",
				 lengthof(types), types, values, nulls, NULL);
	PG_RETURN_INT64(event.event_id);
}

/*
 * cpis_nhs_number_reactivate(nhs_number) -> bigint: the event.
 */
Datum
cpis_nhs_number_reactivate(PG_FUNCTION_ARGS)
{
	Oid			type;
	Datum		number;
	OwnChange	change = {0};
	AuditEvent	event;

	ChangeCheckCallable("cpis_nhs_number_reactivate()");
	if (PG_ARGISNULL(0))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "nhs_number", "must not be null");
	number = PG_GETARG_DATUM(0);
	record(&event, number, "active again", begin(&type, number, true));
	change.table = CpisRelationOid(CPIS_INACTIVE_NUMBER);
	OwnChangeOne(&change,
				 psprintf("DELETE FROM cpis.inactive_number WHERE nhs_number %s $1", RegisterNumberEquality(type)),
				 1, &type, &number, NULL, NULL);
	PG_RETURN_INT64(event.event_id);
}
