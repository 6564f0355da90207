/*-------------------------------------------------------------------------
 *
 * bulk_insert.h
 *	  Put rows into a table of the trail, index entries included.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_BULK_INSERT_H
#define CPIS_BULK_INSERT_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

/* Rows on their way into one table. */
typedef struct BulkInsert
{
	Relation	relation;
	TupleTableSlot **slots;		/* filled by the caller, one a row */
	int			nslots;
	bool		same_key;		/* do all have the same in the first column? */
} BulkInsert;

extern BulkInsert *BulkInsertBegin(Oid table, int ncolumns, int nrows);
extern void BulkInsertEnd(BulkInsert *insert);

#endif							/* CPIS_BULK_INSERT_H */
