/*-------------------------------------------------------------------------
 *
 * bulk_insert.c
 *	  Put rows into a table of the trail, index entries included.
 *
 * For the writer alone, inside its transaction.  Triggers, defaults and
 * constraints of the table are not looked at: the writer makes every column
 * itself, and nothing that somebody attached to the table may stop it.  The
 * lock is RowExclusive, kept to the end of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "bulk_insert.h"
#include "compat.h"
#include "executor/executor.h"
#include "utils/rel.h"

/*
 * Open the table and make a slot for each row.  42P01 where it is gone, 55000
 * where it has not the columns that this library writes.
 */
BulkInsert *
BulkInsertBegin(Oid table, int ncolumns, int nrows)
{
	BulkInsert *insert = palloc(sizeof(BulkInsert));

	insert->relation = try_table_open(table, RowExclusiveLock);
	if (insert->relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("a table of the audit trail has been dropped")));
	if (RelationGetNumberOfAttributes(insert->relation) != ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not have the columns that this version of the library writes",
						RelationGetRelationName(insert->relation)),
				 errhint("Run ALTER EXTENSION cpis UPDATE.")));

	insert->nslots = nrows;
	insert->slots = palloc(nrows * sizeof(TupleTableSlot *));
	for (int i = 0; i < nrows; i++)
		insert->slots[i] = table_slot_create(insert->relation, NULL);
	return insert;
}

/*
 * Insert the filled slots, in order, and close.
 */
void
BulkInsertEnd(BulkInsert *insert)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);

	InitResultRelInfo(info, insert->relation, 0, NULL, 0);
	ExecOpenIndices(info, false);

	table_multi_insert(insert->relation, insert->slots, insert->nslots,
					   GetCurrentCommandId(true), 0, NULL);
	if (info->ri_NumIndices > 0)
	{
		for (int i = 0; i < insert->nslots; i++)
		{
			CPIS_EXEC_INSERT_INDEX_TUPLES(info, insert->slots[i], estate);
			ResetPerTupleExprContext(estate);
		}
	}
	table_finish_bulk_insert(insert->relation, 0);

	for (int i = 0; i < insert->nslots; i++)
		ExecDropSingleTupleTableSlot(insert->slots[i]);
	ExecCloseIndices(info);
	FreeExecutorState(estate);
	table_close(insert->relation, NoLock);
}
