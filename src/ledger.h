/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  The ledger as it stands in its tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_LEDGER_H
#define CPIS_LEDGER_H

#include "access/htup.h"
#include "datatype/timestamp.h"
#include "merkle.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* A tree of more events would take longer than there are servers. */
#define LEDGER_SIZE_MOST (INT64CONST(1) << 53)

/* The longest origin: a verifier key must fit into the detail of an event. */
#define ORIGIN_LENGTH 128

/* Columns of cpis.ledger. */
#define LEDGER_ORIGIN 1
#define LEDGER_CREATED_AT 2
#define LEDGER_NCOLUMNS 2

/* Columns of cpis.ledger_tile. */
#define TILE_LEVEL 1
#define TILE_TILE 2
#define TILE_HASHES 3
#define TILE_ROOT 4
#define TILE_NCOLUMNS 4

/* Length of the column "hashes", in bytes. */
#define TILE_LENGTH (MERKLE_TILE_WIDTH * SHA256_LENGTH)

/* A tile that is in the table. */
typedef struct LedgerTile
{
	int			rows;			/* that claim to be this tile */
	bool		sound;			/* have its columns the right lengths? */
	MerkleHash	hashes[MERKLE_TILE_WIDTH];
	MerkleHash	root;
} LedgerTile;

/* The part of a tile that was read last, one a level. */
typedef struct KeptTile
{
	uint64		tile;
	int			width;			/* 0: nothing is kept */
	MerkleHash	hashes[MERKLE_TILE_WIDTH];
} KeptTile;

/* A reading of the ledger under one snapshot. */
typedef struct LedgerReading
{
	Snapshot	snapshot;
	bool		lenient;		/* read what is missing as zeros */
	bool		missing;		/* something was */
	Relation	tiles;
	List	   *months;			/* NIL: LedgerMonths() has not been asked */
	MerkleSource source;
	KeptTile	kept[MERKLE_TILE_LEVELS];
} LedgerReading;

extern Sha256 *LedgerSha256(void);
extern void LedgerLockToRead(void);
extern LedgerReading *LedgerReadingBegin(Snapshot snapshot, bool lenient);
extern void LedgerReadingEnd(LedgerReading *reading);

extern List *LedgerMonths(LedgerReading *reading);
extern int64 LedgerLeaves(LedgerReading *reading);
extern bool LedgerHasTree(LedgerReading *reading, int64 size);
extern int64 LedgerTreeSize(LedgerReading *reading);
extern bool LedgerTakeHash(Datum value, MerkleHash *hash);
extern char *LedgerOrigin(LedgerReading *reading, TimestampTz *created_at,
						  int *rows);
extern void LedgerReadTile(LedgerReading *reading, int level, int64 tile,
						   LedgerTile *result);
extern void LedgerReadRoots(LedgerReading *reading, int level, int64 first,
							int width, MerkleHash *roots);
extern HeapTuple LedgerFindEvent(LedgerReading *reading, int64 event_id,
								 TupleDesc *descriptor);

#endif							/* CPIS_LEDGER_H */
