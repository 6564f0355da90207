/*-------------------------------------------------------------------------
 *
 * merkle.h
 *	  Merkle trees of RFC 9162 as plain C: hashes, tiles, roots, proofs.
 *
 * Pure C: no PostgreSQL header, no allocation, no global state.  See merkle.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_MERKLE_H
#define CPIS_MERKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sha256.h"

/* The most leaves of a tree: sizes and indexes are bigint in SQL. */
#define MERKLE_SIZE_MOST UINT64_C(0x7fffffffffffffff)

/* A tile has the roots of 256 adjacent subtrees, of 256^level leaves each. */
#define MERKLE_TILE_HEIGHT 8
#define MERKLE_TILE_WIDTH (1 << MERKLE_TILE_HEIGHT)
#define MERKLE_TILE_LEVELS 8

/* The most hashes of a proof for a tree of MERKLE_SIZE_MOST leaves. */
#define MERKLE_PROOF_MOST 64

typedef struct MerkleHash
{
	uint8_t		bytes[SHA256_LENGTH];
} MerkleHash;

typedef struct MerkleProof
{
	int			length;
	MerkleHash	hashes[MERKLE_PROOF_MOST];
} MerkleProof;

/*
 * Reads the first "width" hashes of a tile, counted from 0 within its level;
 * false where it cannot.
 */
typedef bool (*MerkleReadTile) (void *context, int level, uint64_t tile,
								int width, MerkleHash *hashes);

/* Takes a tile that has become full, and the root of it; false to stop. */
typedef bool (*MerkleTakeTile) (void *context, int level, uint64_t tile,
								const MerkleHash *hashes,
								const MerkleHash *root);

/* What is needed to read a tree. */
typedef struct MerkleSource
{
	Sha256	   *sha256;
	MerkleReadTile read;
	void	   *context;
} MerkleSource;

/* The right edge of a growing tree: the hashes that are in no full tile. */
typedef struct MerkleEdge
{
	uint64_t	size;			/* leaves of the whole tree */
	MerkleHash	hashes[MERKLE_TILE_LEVELS][MERKLE_TILE_WIDTH];
} MerkleEdge;

extern bool merkle_leaf(Sha256 *sha256, const void *data, size_t length,
						MerkleHash *hash);
extern bool merkle_node(Sha256 *sha256, const MerkleHash *left,
						const MerkleHash *right, MerkleHash *hash);
extern bool merkle_equal(const MerkleHash *a, const MerkleHash *b);

extern int	merkle_edge_width(uint64_t size, int level);
extern bool merkle_edge_read(const MerkleSource *source, uint64_t size,
							 MerkleEdge *edge);
extern bool merkle_edge_append(MerkleEdge *edge, Sha256 *sha256,
							   const MerkleHash *leaf, MerkleTakeTile take,
							   void *context);
extern bool merkle_edge_root(const MerkleEdge *edge, Sha256 *sha256,
							 MerkleHash *root);
extern bool merkle_tile_root(Sha256 *sha256, const MerkleHash *hashes,
							 MerkleHash *root);

extern bool merkle_root(const MerkleSource *source, uint64_t size,
						MerkleHash *root);
extern bool merkle_inclusion_proof(const MerkleSource *source, uint64_t index,
								   uint64_t size, MerkleProof *proof);
extern bool merkle_consistency_proof(const MerkleSource *source,
									 uint64_t old_size, uint64_t new_size,
									 MerkleProof *proof);

extern bool merkle_verify_inclusion(Sha256 *sha256, const MerkleHash *leaf,
									uint64_t index, uint64_t size,
									const MerkleProof *proof,
									const MerkleHash *root);
extern bool merkle_verify_consistency(Sha256 *sha256,
									  uint64_t old_size, uint64_t new_size,
									  const MerkleProof *proof,
									  const MerkleHash *old_root,
									  const MerkleHash *new_root);

#endif							/* CPIS_MERKLE_H */
