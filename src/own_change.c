/*-------------------------------------------------------------------------
 *
 * own_change.c
 *	  Changes of guarded tables by the extension's own functions.
 *
 * Policies, holds and plans are guarded by triggers that refuse what would
 * shorten the time of something.  The functions that may do so, having recorded
 * it, do it through OwnChangeExecute(): as the owner of the table, so that their
 * callers need no privilege on it, with a search_path of its own, and telling the
 * triggers of the table which rows are meant.
 *
 * What is said to the triggers holds while the command runs, also for other triggers on
 * the same table, and is taken back however that ends.  Nobody's code but the owner's
 * and superusers' runs meanwhile (trusted_code.c), and it holds for what runs as the owner: a
 * function that runs as somebody else does not act for the extension.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "own_change.h"
#include "trusted_code.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static const OwnChange *present = NULL;
static Oid	actor = InvalidOid;	/* the owner as whom it acts; InvalidOid: it does not */

static Oid
owner_of(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", table);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* One command. */
typedef struct Command
{
	const OwnGiven *given;
	int			ngiven;
	const char *text;
	int			nargs;
	const Oid  *types;
	const Datum *values;
	const char *nulls;
	OwnChangeTake take;
	void	   *context;
	uint64		processed;
} Command;

/* So many rows at a time are taken of a command that may answer very many. */
#define ROWS_AT_A_TIME 1000

/*
 * Begin to run it: let it read what is given.
 */
static void
connect(const Command *command)
{
	SPI_connect();
	for (int i = 0; i < command->ngiven; i++)
	{
		const OwnGiven *given = &command->given[i];
		EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));

		relation->md.name = pstrdup(given->name);
		relation->md.tupdesc = given->descriptor;
		relation->md.enrtype = ENR_NAMED_TUPLESTORE;
		relation->md.enrtuples = given->n;
		relation->reldata = given->rows;
		if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
			elog(ERROR, "SPI_register_relation failed");
	}
}

/*
 * Run it, and have the rows that it answers taken.
 */
static void
execute(void *context)
{
	Command    *command = context;
	int			result;

	connect(command);
	result = SPI_execute_with_args(command->text, command->nargs, unconstify(Oid *, command->types),
								   unconstify(Datum *, command->values), command->nulls, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(result));
	command->processed = SPI_processed;
	if (command->take != NULL && command->processed > 0)
		command->take(SPI_tuptable, command->context);
	SPI_finish();
}

/*
 * The same, some rows at a time.
 */
static void
execute_each(void *context)
{
	Command    *command = context;
	Portal		portal;

	connect(command);
	portal = SPI_cursor_open_with_args(NULL, command->text, command->nargs, unconstify(Oid *, command->types),
									   unconstify(Datum *, command->values), command->nulls, false, 0);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, ROWS_AT_A_TIME);
		if (SPI_processed == 0)
			break;
		command->processed += SPI_processed;
		command->take(SPI_tuptable, command->context);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
}

/*
 * Have what is planned from now on do without these methods ("enable_...", the last one
 * NULL), until AtEOXact_GUC(true, ...) is called with the answer.  The planner guesses how
 * many rows of a table that has not been analyzed lately are whose, and a wrong guess can
 * make it read everything for each row.
 */
int
OwnPlannerWithout(const char *method,...)
{
	int			nest_level = NewGUCNestLevel();
	va_list		methods;

	va_start(methods, method);
	for (; method != NULL; method = va_arg(methods, const char *))
		(void) set_config_option(method, "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	va_end(methods);
	return nest_level;
}

/*
 * Act as the owner of the table, with a search_path of our own.  Nothing is compiled: that takes
 * longer than what is run, and, before PostgreSQL 17, memory that the session does not get back.
 */
void
OwnAct(Oid table, OwnChangeAct act, void *context)
{
	int			nest_level = NewGUCNestLevel();
	Oid			user;
	Oid			outer = actor;
	int			security_context;

	GetUserIdAndSecContext(&user, &security_context);
	PG_TRY();
	{
		actor = owner_of(table);
		SetUserIdAndSecContext(actor, security_context | SECURITY_LOCAL_USERID_CHANGE);
		(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		act(context);
	}
	PG_FINALLY();
	{
		actor = outer;
		SetUserIdAndSecContext(user, security_context);
	}
	PG_END_TRY();
	AtEOXact_GUC(true, nest_level);
}

/*
 * The same for a change of it.  55000 where somebody else's code would run.
 */
void
OwnChangeRun(const OwnChange *change, OwnChangeAct act, void *context)
{
	const OwnChange *outer = present;

	RequireTrustedCode(change->table);
	if (OidIsValid(change->inserts_into))
		RequireTrustedCode(change->inserts_into);
	PG_TRY();
	{
		present = change;
		OwnAct(change->table, act, context);
	}
	PG_FINALLY();
	{
		present = outer;
	}
	PG_END_TRY();
}

/*
 * Run a command that changes the table, or reads it; answers how many rows it was.
 * Where it answers rows, "take" is called with them, in memory that is gone
 * afterwards.
 */
uint64
OwnChangeQuery(const OwnChange *change, const char *command, int nargs,
			   const Oid *types, const Datum *values, const char *nulls,
			   OwnChangeTake take, void *context)
{
	Command		run = {.given = change->given, .ngiven = change->ngiven, .text = command,
		.nargs = nargs, .types = types, .values = values, .nulls = nulls, .take = take, .context = context};

	OwnChangeRun(change, execute, &run);
	return run.processed;
}

/*
 * Take one bigint.
 */
static void
take_first(SPITupleTable *rows, void *context)
{
	bool		isnull;

	*(int64 *) context = DatumGetInt64(SPI_getbinval(rows->vals[0], rows->tupdesc, 1, &isnull));
}

/*
 * Run a command that only reads the table, as its owner: on a standby too, for no trigger
 * fires.
 */
uint64
OwnRead(Oid table, const char *command, int nargs,
		const Oid *types, const Datum *values, const char *nulls,
		OwnChangeTake take, void *context)
{
	Command		run = {.text = command, .nargs = nargs, .types = types, .values = values,
		.nulls = nulls, .take = take, .context = context};

	OwnAct(table, execute, &run);
	return run.processed;
}

/*
 * The same for a command that may answer very many rows, which are taken some at a time.
 */
uint64
OwnReadEach(Oid table, const OwnGiven *given, int ngiven,
			const char *command, int nargs, const Oid *types,
			const Datum *values, OwnChangeTake take, void *context)
{
	Command		run = {.given = given, .ngiven = ngiven, .text = command,
		.nargs = nargs, .types = types, .values = values, .take = take, .context = context};

	OwnAct(table, execute_each, &run);
	return run.processed;
}

/*
 * As OwnChangeQuery() for a command that answers nothing or, where "returned" is not NULL, one
 * bigint a row, of which that gets the first.
 */
uint64
OwnChangeExecute(const OwnChange *change, const char *command, int nargs,
				 const Oid *types, const Datum *values, const char *nulls,
				 int64 *returned)
{
	return OwnChangeQuery(change, command, nargs, types, values, nulls,
						  returned == NULL ? NULL : take_first, returned);
}

/*
 * The same for a command that changes one row; 09000 where a trigger has kept it from
 * that.
 */
void
OwnChangeOne(const OwnChange *change, const char *command, int nargs,
			 const Oid *types, const Datum *values, const char *nulls,
			 int64 *returned)
{
	if (OwnChangeExecute(change, command, nargs, types, values, nulls, returned) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("table \"%s\" was not changed", get_rel_name(change->table)),
				 errdetail("A trigger has kept it as it was.")));
}

/*
 * Raise an error that a change has met; one of a constraint with this message, and without
 * its detail, which is the record.
 */
void
OwnChangeRethrow(ErrorData *error, const char *message)
{
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		ReThrowError(error);
	ereport(ERROR,
			(errcode(error->sqlerrcode),
			 errmsg("%s", message),
			 error->constraint_name == NULL ? 0 :
			 errdetail("This would violate constraint \"%s\" of table \"%s\".", error->constraint_name,
					   error->table_name == NULL ? "?" : error->table_name),
			 errhidestmt(true),
			 errhidecontext(true)));
}

/*
 * Does the extension itself act just now?
 */
bool
OwnActs(void)
{
	return OidIsValid(actor) && GetUserId() == actor;
}

/*
 * Does it change something?
 */
bool
OwnChangeIsUnderWay(void)
{
	return present != NULL && OwnActs();
}

/*
 * Is a change of this table by the extension itself under way?
 */
bool
OwnChangeIsOf(Oid table)
{
	return OwnChangeIsUnderWay() && present->table == table;
}

/*
 * Is it this operation on this row?
 */
bool
OwnChangeHas(Oid table, CmdType operation, int64 id)
{
	int			low = 0;
	int			high = OwnChangeIsOf(table) && present->operation == operation ? present->nids : 0;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (present->ids[middle] == id)
			return true;
		if (present->ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}
