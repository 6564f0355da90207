/*-------------------------------------------------------------------------
 *
 * ledger_edge.h
 *	  The right edge of the ledger, where the writer lets it grow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_LEDGER_EDGE_H
#define CPIS_LEDGER_EDGE_H

#include "ledger.h"

extern char *cpis_log_origin;

extern bool LedgerOriginIsValid(const char *origin);

extern void LedgerForget(void);
extern void LedgerLock(void);
extern int64 LedgerSize(void);
extern const char *LedgerName(TimestampTz now, TimestampTz *since);
extern void LedgerAppend(const MerkleHash *leaf);
extern void LedgerStore(TimestampTz now);
extern void LedgerRoot(MerkleHash *root);

#endif							/* CPIS_LEDGER_EDGE_H */
