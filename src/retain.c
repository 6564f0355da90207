/*-------------------------------------------------------------------------
 *
 * retain.c
 *	  The trigger function cpis_retain(): rows stay until their time has run.
 *
 * For any table with a column of type date or timestamptz: a row is held for a
 * number of days after the day in that column, the last of them included, and
 * without end where there is none.  A day is one in England (day.c).
 *
 *	INSERT		is let through, whatever the day: a restore inserts.
 *	DELETE		is refused before the time of the row has run.
 *	UPDATE		is refused where it would shorten a time that has begun to run, or
 *				take its day away, after which another could be earlier; or end one
 *				that had not begun so that the row could go today.
 *	TRUNCATE	is refused, by the same function in a statement trigger.
 *
 * Attached ENABLE ALWAYS, so that session_replication_role does not get past it.
 * A BEFORE trigger whose name comes later could still change the row that this
 * one has seen; as AFTER trigger, this one sees what is stored.
 *
 * Takes no lock.  An error leaves the row as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "day.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define RETAIN_DAYS_MOST 36525

/* Last days of rows that have none, or that have long had it. */
#define HELD_WITHOUT_END PG_INT64_MAX
#define HELD_NO_MORE PG_INT64_MIN

PG_FUNCTION_INFO_V1(cpis_retain);

/* What the trigger's arguments say. */
typedef struct Term
{
	int			column;			/* its number in this table, or partition */
	Oid			type;
	int			days;
} Term;

static int
parse_days(const char *text)
{
	char	   *end;
	long		days;

	errno = 0;
	days = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || days < 0 || days > RETAIN_DAYS_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid number of days: \"%s\"", text),
				 errdetail("Rows are held for 0 to %d days after the day in the column.",
						   RETAIN_DAYS_MOST)));
	return days;
}

/*
 * Read the arguments: the name of the column, and the days.
 */
static Term
read_term(const TriggerData *trigger)
{
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	const char *name = trigger->tg_trigger->tgargs[0];
	Term		term;

	term.column = SPI_fnumber(descriptor, name);
	if (term.column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", name,
						RelationGetRelationName(trigger->tg_relation))));
	term.type = SPI_gettypeid(descriptor, term.column);
	if (term.type != DATEOID && term.type != TIMESTAMPTZOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" must be of type date or timestamp with time zone", name),
				 errtable(trigger->tg_relation)));
	if (TupleDescAttr(descriptor, term.column - 1)->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" must not be generated", name),
				 errdetail("A trigger does not see what it is going to be."),
				 errtable(trigger->tg_relation)));
	term.days = parse_days(trigger->tg_trigger->tgargs[1]);
	return term;
}

/*
 * The last day on which the row is held.
 */
static int64
last_day(const Term *term, HeapTuple row, TupleDesc descriptor)
{
	bool		isnull;
	Datum		value = SPI_getbinval(row, descriptor, term->column, &isnull);
	DateADT		day;

	if (isnull)
		return HELD_WITHOUT_END;
	if (term->type == TIMESTAMPTZOID)
	{
		TimestampTz at = DatumGetTimestampTz(value);

		if (TIMESTAMP_NOT_FINITE(at))
			return TIMESTAMP_IS_NOEND(at) ? HELD_WITHOUT_END : HELD_NO_MORE;
		day = DayAt(at);
	}
	else
	{
		day = DatumGetDateADT(value);
		if (DATE_NOT_FINITE(day))
			return DATE_IS_NOEND(day) ? HELD_WITHOUT_END : HELD_NO_MORE;
	}
	return (int64) day + term->days;
}

static void
refuse_delete(const TriggerData *trigger, const Term *term)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot delete from table \"%s\" what is still held",
					RelationGetRelationName(trigger->tg_relation)),
			 errdetail("A row is held for %d days after the day in column \"%s\", and without end where that is null.",
					   term->days, trigger->tg_trigger->tgargs[0]),
			 errtable(trigger->tg_relation)));
}

static void
refuse_update(const TriggerData *trigger, const Term *term, bool had_begun)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot update table \"%s\" so that rows are held for less long",
					RelationGetRelationName(trigger->tg_relation)),
			 had_begun ?
			 errdetail("The day in column \"%s\", once it is there, may become later, but not earlier, and not be taken away.",
					   trigger->tg_trigger->tgargs[0]) :
			 errdetail("A day in column \"%s\" more than %d days ago would end the time of the row at once.",
					   trigger->tg_trigger->tgargs[0], term->days),
			 errtable(trigger->tg_relation)));
}

/*
 * Refuse an update that would have the row go earlier, or lets another do so.
 */
static void
check_update(const TriggerData *trigger, const Term *term)
{
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	int64		before = last_day(term, trigger->tg_trigtuple, descriptor);
	int64		after = last_day(term, trigger->tg_newtuple, descriptor);
	bool		had_begun = before != HELD_WITHOUT_END;

	if (before < DayToday())
		return;					/* it may go already */
	if (had_begun ? after < before || after == HELD_WITHOUT_END : after < DayToday())
		refuse_update(trigger, term, had_begun);
}

/*
 * cpis_retain(column, days) as trigger: see above.  42703 for a column that does
 * not exist, 42804 for one of another type, 22023 for a number of days that is
 * none, 39P01 where it is not called as it should be, 55000 for what is refused.
 */
Datum
cpis_retain(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		truncates;
	Term		term;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as trigger, with two arguments",
						"cpis_retain"),
				 errhint("The arguments are the name of a column and a number of days.")));
	truncates = TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event);
	if (!truncates && (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
					   TRIGGER_FIRED_INSTEAD(trigger->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called for each row of a table", "cpis_retain")));

	term = read_term(trigger);
	if (truncates)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot truncate table \"%s\"",
						RelationGetRelationName(trigger->tg_relation)),
				 errdetail("Rows are held for %d days after the day in column \"%s\".",
						   term.days, trigger->tg_trigger->tgargs[0]),
				 errtable(trigger->tg_relation)));

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		check_update(trigger, &term);
		return PointerGetDatum(trigger->tg_newtuple);
	}
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) &&
		last_day(&term, trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation)) >= DayToday())
		refuse_delete(trigger, &term);
	return PointerGetDatum(trigger->tg_trigtuple);
}
