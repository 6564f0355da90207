/*-------------------------------------------------------------------------
 *
 * bulk_insert.c
 *	  Put rows into a table of the trail, index entries included.
 *
 * For the writer, and for the certificates of the purge, inside their transactions.
 * Triggers, defaults and constraints of the table are not looked at: these make every
 * column themselves, and nothing that somebody attached to the table may stop them.
 * The lock is RowExclusive, kept to the end of the transaction.
 *
 * Tables and indexes are opened for each batch, for a lock does not outlive its
 * transaction; the slots are kept for the life of the process, with a descriptor of
 * their own that nothing counts references to.  A slot that an error has left
 * filled is cleared when it is next used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "bulk_insert.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "compat.h"
#include "executor/executor.h"
#include "relation.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* The slots of one table; the writer writes two, and now and then another. */
typedef struct SlotPool
{
	Oid			table;
	uint64		generation;
	MemoryContext context;
	const TupleTableSlotOps *ops;
	TupleDesc	descriptor;
	TupleTableSlot **slots;
	int			nslots;
} SlotPool;

#define POOLS 6

/* A larger batch leaves no slots behind. */
#define SLOTS_KEPT 2048

static SlotPool pools[POOLS];

/*
 * The pool of a table, empty if it is new, has another access method, may have
 * other columns, or was used by an uncommonly large batch.  A new table takes
 * the place of the one after the one that was used last.
 */
static SlotPool *
find_pool(Relation relation)
{
	static int	last = 0;
	const TupleTableSlotOps *ops = table_slot_callbacks(relation);
	Oid			table = RelationGetRelid(relation);
	SlotPool   *pool;
	int			i = 0;

	while (i < POOLS && pools[i].table != table)
		i++;
	if (i == POOLS)
		i = (last + 1) % POOLS;
	last = i;

	pool = &pools[i];
	if (pool->table != table || pool->generation != CpisGeneration() ||
		pool->ops != ops || pool->nslots > SLOTS_KEPT)
	{
		if (pool->context == NULL)
			pool->context = AllocSetContextCreate(TopMemoryContext,
												  "cpis bulk insert",
												  ALLOCSET_DEFAULT_SIZES);
		pool->table = InvalidOid;
		pool->slots = NULL;
		pool->nslots = 0;
		MemoryContextReset(pool->context);
		pool->generation = CpisGeneration();
		pool->ops = ops;
		pool->table = table;
	}
	return pool;
}

/*
 * Slots for so many rows.
 */
static TupleTableSlot **
take_slots(Relation relation, int nrows)
{
	SlotPool   *pool = find_pool(relation);
	MemoryContext context = MemoryContextSwitchTo(pool->context);

	if (pool->slots == NULL)
	{
		pool->descriptor = CreateTupleDescCopy(RelationGetDescr(relation));
		pool->slots = palloc(nrows * sizeof(TupleTableSlot *));
	}
	else if (nrows > pool->nslots)
		pool->slots = repalloc(pool->slots, nrows * sizeof(TupleTableSlot *));
	for (; pool->nslots < nrows; pool->nslots++)
		pool->slots[pool->nslots] =
			MakeSingleTupleTableSlot(pool->descriptor, pool->ops);
	MemoryContextSwitchTo(context);

	return pool->slots;
}

/*
 * Open the table and have a slot for each row.  42P01 where it is gone, 55000
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
	insert->same_key = false;
	insert->slots = take_slots(insert->relation, nrows);
	return insert;
}

/*
 * Is the one index of the table a BRIN index on the first column?
 */
static bool
has_brin_alone(const ResultRelInfo *info)
{
	const RelationData *index = info->ri_NumIndices == 1 ? info->ri_IndexRelationDescs[0] : NULL;

	return index != NULL && index->rd_rel->relam == BRIN_AM_OID &&
		index->rd_index->indnatts == 1 && index->rd_index->indkey.values[0] == 1 &&
		heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

/*
 * Put the rows into the indexes.  A BRIN index wants to know of the same key once a
 * page.
 */
static void
insert_into_indexes(const BulkInsert *insert, ResultRelInfo *info, EState *estate)
{
	bool		once_a_page = insert->same_key && has_brin_alone(info);
	BlockNumber page = InvalidBlockNumber;

	for (int i = 0; i < insert->nslots; i++)
	{
		BlockNumber at = ItemPointerGetBlockNumber(&insert->slots[i]->tts_tid);

		if (once_a_page && at == page)
			continue;
		page = at;
		CPIS_EXEC_INSERT_INDEX_TUPLES(info, insert->slots[i], estate);
		ResetPerTupleExprContext(estate);
	}
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
		insert_into_indexes(insert, info, estate);
	table_finish_bulk_insert(insert->relation, 0);

	/* What they point to goes with the batch. */
	for (int i = 0; i < insert->nslots; i++)
		ExecClearTuple(insert->slots[i]);
	ExecCloseIndices(info);
	FreeExecutorState(estate);
	table_close(insert->relation, NoLock);
}
