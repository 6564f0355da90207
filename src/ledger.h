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
#include "signed_note.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

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

/* Columns of cpis.checkpoint. */
#define CHECKPOINT_TREE_SIZE 1
#define CHECKPOINT_ROOT 2
#define CHECKPOINT_NOTE 3
#define CHECKPOINT_VERIFIER_KEYS 4
#define CHECKPOINT_AT 5
#define CHECKPOINT_NCOLUMNS 5

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

/* A row of cpis.checkpoint. */
typedef struct LedgerCheckpoint
{
	int64		tree_size;
	MerkleHash	root;
	bool		root_is_sound;	/* has it the right length? */
	char	   *note;
	List	   *verifier_keys;	/* of char *; NIL where unsigned */
	TimestampTz at;
} LedgerCheckpoint;

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
	List	   *months;			/* partitions of the trail, locked */
	MerkleSource source;
	KeptTile	kept[MERKLE_TILE_LEVELS];
} LedgerReading;

extern Sha256 *LedgerSha256(void);
extern LedgerReading *LedgerReadingBegin(Snapshot snapshot, bool lenient);
extern void LedgerReadingEnd(LedgerReading *reading);

extern int64 LedgerLeaves(LedgerReading *reading);
extern int64 LedgerTreeSize(LedgerReading *reading);
extern char *LedgerOrigin(LedgerReading *reading, int *rows);
extern void LedgerReadTile(LedgerReading *reading, int level, int64 tile,
						   LedgerTile *result);
extern void LedgerReadRoots(LedgerReading *reading, int level, int64 first,
							int width, MerkleHash *roots);
extern HeapTuple LedgerFindEvent(LedgerReading *reading, int64 event_id,
								 TupleDesc *descriptor);
extern void LedgerCheckpointRead(HeapTuple tuple, TupleDesc descriptor,
								 LedgerCheckpoint *checkpoint);
extern bool LedgerNewestCheckpoint(LedgerReading *reading, bool signed_only,
								   LedgerCheckpoint *checkpoint);

#endif							/* CPIS_LEDGER_H */
