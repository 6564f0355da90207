/*-------------------------------------------------------------------------
 *
 * row_delete.h
 *	  Delete rows that are known, and wait for nobody who has one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_ROW_DELETE_H
#define CPIS_ROW_DELETE_H

#include "storage/itemptr.h"
#include "utils/relcache.h"

/* What is to be done when the rows are gone, before triggers fire for them. */
typedef void (*RowDeleteThen) (void *context);

extern void RowDelete(Relation table, const ItemPointerData *tids, int n, bool *gone,
					  RowDeleteThen then, void *context);

#endif							/* CPIS_ROW_DELETE_H */
