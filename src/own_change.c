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
 * What is said to the triggers holds while the command runs, also for triggers of
 * others on the same table, and is taken back however that ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "own_change.h"
#include "utils/guc.h"
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

/*
 * Run one command; what its RETURNING clause, if it has one, says of the first
 * row goes to *returned.
 */
static uint64
execute(const char *command, int nargs, const Oid *types, const Datum *values,
		const char *nulls, int64 *returned)
{
	int			result;
	uint64		processed;
	bool		isnull;

	SPI_connect();
	result = SPI_execute_with_args(command, nargs, unconstify(Oid *, types),
								   unconstify(Datum *, values), nulls, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(result));
	processed = SPI_processed;
	if (returned != NULL && processed > 0)
		*returned = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
												SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return processed;
}

/*
 * Run a command that changes the table; answers how many rows it was.  Where
 * "returned" is not NULL, the command returns one bigint a row, and it gets the
 * first.
 */
uint64
OwnChangeExecute(const OwnChange *change, const char *command, int nargs,
				 const Oid *types, const Datum *values, const char *nulls,
				 int64 *returned)
{
	const OwnChange *outer = present;
	volatile uint64 processed = 0;
	Oid			user;
	int			security_context;
	int			nest_level = NewGUCNestLevel();

	GetUserIdAndSecContext(&user, &security_context);
	PG_TRY();
	{
		present = change;
		SetUserIdAndSecContext(owner_of(change->table),
							   security_context | SECURITY_LOCAL_USERID_CHANGE);
		(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		processed = execute(command, nargs, types, values, nulls, returned);
	}
	PG_FINALLY();
	{
		present = outer;
		SetUserIdAndSecContext(user, security_context);
	}
	PG_END_TRY();
	AtEOXact_GUC(true, nest_level);
	return processed;
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
 * Is it one of this row?
 */
bool
OwnChangeHas(Oid table, int64 id)
{
	int			low = 0;
	int			high = OwnChangeIsOf(table) ? present->nids : 0;

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
