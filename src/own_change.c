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
 * and superusers' runs meanwhile (trusted_code.c).
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
	const char *text;
	int			nargs;
	const Oid  *types;
	const Datum *values;
	const char *nulls;
	OwnChangeTake take;
	void	   *context;
	uint64		processed;
} Command;

/*
 * Run it, and have the rows that it answers taken.
 */
static void
execute(void *context)
{
	Command    *command = context;
	int			result;

	SPI_connect();
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
 * Act as the owner of the table.  55000 where somebody else's code would run.
 */
void
OwnChangeRun(const OwnChange *change, OwnChangeAct act, void *context)
{
	const OwnChange *outer = present;
	Oid			user;
	int			security_context;
	int			nest_level;

	RequireTrustedCode(change->table);
	nest_level = NewGUCNestLevel();
	GetUserIdAndSecContext(&user, &security_context);
	PG_TRY();
	{
		present = change;
		SetUserIdAndSecContext(owner_of(change->table),
							   security_context | SECURITY_LOCAL_USERID_CHANGE);
		(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		act(context);
	}
	PG_FINALLY();
	{
		present = outer;
		SetUserIdAndSecContext(user, security_context);
	}
	PG_END_TRY();
	AtEOXact_GUC(true, nest_level);
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
	Command		run = {.text = command, .nargs = nargs, .types = types, .values = values,
		.nulls = nulls, .take = take, .context = context};

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
 * The same for a command that answers nothing or, where "returned" is not NULL, one
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
 * Is a change of this table by the extension itself under way?
 */
bool
OwnChangeIsOf(Oid table)
{
	return present != NULL && present->table == table;
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
