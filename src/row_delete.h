/*-------------------------------------------------------------------------
 *
 * row_delete.h
 *	  Delete rows that are known, and wait for nobody.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_ROW_DELETE_H
#define CPIS_ROW_DELETE_H

#include "storage/itemptr.h"
#include "utils/relcache.h"

extern int	RowDelete(Relation table, const ItemPointerData *tids, int n, bool *gone);

#endif							/* CPIS_ROW_DELETE_H */
