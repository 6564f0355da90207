/*-------------------------------------------------------------------------
 *
 * merkle.c
 *	  Merkle trees of RFC 9162 as plain C: hashes, tiles, roots, proofs.
 *
 * A tree of n leaves is RFC 9162's (section 2.1): a leaf is SHA-256 over 0x00
 * and the data, a node over 0x01 and its two children, and of n leaves the
 * largest power of two that is less than n is to the left.
 *
 * Nodes that will not change any more are kept in tiles (C2SP tlog-tiles): a
 * tile of level l has the roots of 256 adjacent complete subtrees of 256^l
 * leaves; nodes in between are computed from them.  Whoever calls supplies a
 * function that reads tiles, whole ones and those at the right edge that are
 * not full yet, up to the width that the tree of the asked size has.
 *
 * A caller that lets a tree grow keeps its right edge, at most 255 hashes a
 * level, and is handed each tile when it becomes full.
 *
 * No allocation, no global state, no recursion.  Functions answer false where
 * the arguments make no sense, the reader or SHA-256 failed; those that verify,
 * where the proof does not hold.  A proof that comes from elsewhere may have
 * any length up to MERKLE_PROOF_MOST and any content.
 *
 *-------------------------------------------------------------------------
 */
#include "merkle.h"

#include <string.h>

/*
 * The hash of a leaf.
 */
bool
merkle_leaf(Sha256 *sha256, const void *data, size_t length, MerkleHash *hash)
{
	const Sha256Part parts[] = {{"\0", 1}, {data, length}};

	return sha256_parts(sha256, parts, 2, hash->bytes);
}

/*
 * The hash of a node.
 */
bool
merkle_node(Sha256 *sha256, const MerkleHash *left, const MerkleHash *right,
			MerkleHash *hash)
{
	/* In one piece, for each costs as much as a tenth of the hash. */
	uint8_t		data[1 + 2 * SHA256_LENGTH];
	const Sha256Part parts[] = {{data, sizeof(data)}};

	data[0] = 1;
	memcpy(data + 1, left->bytes, SHA256_LENGTH);
	memcpy(data + 1 + SHA256_LENGTH, right->bytes, SHA256_LENGTH);
	return sha256_parts(sha256, parts, 1, hash->bytes);
}

bool
merkle_equal(const MerkleHash *a, const MerkleHash *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/*
 * The root of no leaves.
 */
static bool
empty_root(Sha256 *sha256, MerkleHash *root)
{
	return sha256_parts(sha256, NULL, 0, root->bytes);
}

/*
 * The root of 2^height adjacent hashes, up to a whole tile.
 */
static bool
complete_root(Sha256 *sha256, const MerkleHash *hashes, int height,
			  MerkleHash *root)
{
	MerkleHash	row[MERKLE_TILE_WIDTH / 2];

	if (height == 0)
	{
		*root = hashes[0];
		return true;
	}
	for (int n = 1 << (height - 1); n > 0; n /= 2)
	{
		for (int i = 0; i < n; i++)
		{
			/* A pair is read before its place in the row is written. */
			if (!merkle_node(sha256, &hashes[2 * i], &hashes[2 * i + 1], &row[i]))
				return false;
		}
		hashes = row;
	}
	*root = row[0];
	return true;
}

/*
 * The root of a full tile.
 */
bool
merkle_tile_root(Sha256 *sha256, const MerkleHash *hashes, MerkleHash *root)
{
	return complete_root(sha256, hashes, MERKLE_TILE_HEIGHT, root);
}

/*
 * Put a complete subtree to the left of what has been joined so far, if
 * anything has.
 */
static bool
join_left(Sha256 *sha256, const MerkleHash *subtree, bool *any,
		  MerkleHash *joined)
{
	if (*any)
		return merkle_node(sha256, subtree, joined, joined);
	*joined = *subtree;
	*any = true;
	return true;
}

/*
 * How many hashes of a level are in no full tile of a tree.
 */
int
merkle_edge_width(uint64_t size, int level)
{
	return (size >> (level * MERKLE_TILE_HEIGHT)) % MERKLE_TILE_WIDTH;
}

/*
 * Read the right edge of a tree.
 */
bool
merkle_edge_read(const MerkleSource *source, uint64_t size, MerkleEdge *edge)
{
	if (size > MERKLE_SIZE_MOST)
		return false;
	edge->size = size;
	for (int level = 0; level < MERKLE_TILE_LEVELS; level++)
	{
		uint64_t	hashes = size >> (level * MERKLE_TILE_HEIGHT);
		int			width = merkle_edge_width(size, level);

		if (width > 0 &&
			!source->read(source->context, level, hashes / MERKLE_TILE_WIDTH,
						  width, edge->hashes[level]))
			return false;
	}
	return true;
}

/*
 * Append a leaf, and hand over the tiles that it makes full, lowest first, unless
 * "take" is NULL.
 * After false, the edge is neither the old one nor the new.
 */
bool
merkle_edge_append(MerkleEdge *edge, Sha256 *sha256, const MerkleHash *leaf,
				   MerkleTakeTile take, void *context)
{
	MerkleHash	hash = *leaf;

	if (edge->size >= MERKLE_SIZE_MOST)
		return false;
	for (int level = 0; level < MERKLE_TILE_LEVELS; level++)
	{
		int			width = merkle_edge_width(edge->size, level);
		uint64_t	hashes = edge->size >> (level * MERKLE_TILE_HEIGHT);

		edge->hashes[level][width] = hash;
		if (width + 1 < MERKLE_TILE_WIDTH)
			break;
		if (!merkle_tile_root(sha256, edge->hashes[level], &hash) ||
			(take != NULL && !take(context, level, hashes / MERKLE_TILE_WIDTH,
								   edge->hashes[level], &hash)))
			return false;
	}
	edge->size++;
	return true;
}

/*
 * The root of a tree, from its right edge.
 */
bool
merkle_edge_root(const MerkleEdge *edge, Sha256 *sha256, MerkleHash *root)
{
	bool		any = false;

	/* From the right, where the smallest subtrees are. */
	for (int level = 0; level < MERKLE_TILE_LEVELS; level++)
	{
		int			left = merkle_edge_width(edge->size, level);

		for (int height = 0; left > 0; height++)
		{
			MerkleHash	subtree;

			if ((left & (1 << height)) == 0)
				continue;
			left -= 1 << height;
			if (!complete_root(sha256, &edge->hashes[level][left], height, &subtree) ||
				!join_left(sha256, &subtree, &any, root))
				return false;
		}
	}
	return any || empty_root(sha256, root);
}

/*
 * The root of the complete subtree of 2^height leaves that has so many of its
 * like to the left.
 */
static bool
read_subtree(const MerkleSource *source, int height, uint64_t index,
			 MerkleHash *root)
{
	MerkleHash	hashes[MERKLE_TILE_WIDTH];
	int			in_tile = height % MERKLE_TILE_HEIGHT;
	uint64_t	first = index << in_tile;
	int			offset = first % MERKLE_TILE_WIDTH;

	return source->read(source->context, height / MERKLE_TILE_HEIGHT,
						first / MERKLE_TILE_WIDTH, offset + (1 << in_tile),
						hashes) &&
		complete_root(source->sha256, hashes + offset, in_tile, root);
}

/*
 * The root over the leaves from "begin" up to but not "end", one at least, as
 * they occur in a tree: "begin" is a multiple of the largest power of two that
 * is not more than their number.
 */
static bool
read_range(const MerkleSource *source, uint64_t begin, uint64_t end,
		   MerkleHash *root)
{
	uint64_t	left = end - begin;
	bool		any = false;

	for (int height = 0; left > 0; height++)
	{
		MerkleHash	subtree;

		if ((left & (UINT64_C(1) << height)) == 0)
			continue;
		left -= UINT64_C(1) << height;
		if (!read_subtree(source, height, (begin + left) >> height, &subtree) ||
			!join_left(source->sha256, &subtree, &any, root))
			return false;
	}
	return any;
}

/*
 * The root of a tree.
 */
bool
merkle_root(const MerkleSource *source, uint64_t size, MerkleHash *root)
{
	if (size > MERKLE_SIZE_MOST)
		return false;
	if (size == 0)
		return empty_root(source->sha256, root);
	return read_range(source, 0, size, root);
}

/*
 * How many of n leaves, n > 1, are to the left of the root.
 */
static uint64_t
leaves_to_the_left(uint64_t n)
{
	uint64_t	k = 1;

	while (k < n - k)
		k *= 2;
	return k;
}

/*
 * Proofs are made from the root down, and read from the leaf up.
 */
static void
reverse(MerkleProof *proof)
{
	for (int i = 0; i < proof->length / 2; i++)
	{
		MerkleHash	hash = proof->hashes[i];

		proof->hashes[i] = proof->hashes[proof->length - 1 - i];
		proof->hashes[proof->length - 1 - i] = hash;
	}
}

/*
 * Prove that the leaf with this index, from 0, is in the tree of this size: RFC
 * 9162, section 2.1.3.1.
 */
bool
merkle_inclusion_proof(const MerkleSource *source, uint64_t index,
					   uint64_t size, MerkleProof *proof)
{
	uint64_t	begin = 0;
	uint64_t	end = size;

	proof->length = 0;
	if (size > MERKLE_SIZE_MOST || index >= size)
		return false;
	while (end - begin > 1)
	{
		uint64_t	middle = begin + leaves_to_the_left(end - begin);
		MerkleHash *sibling = &proof->hashes[proof->length++];

		if (index < middle)
		{
			if (!read_range(source, middle, end, sibling))
				return false;
			end = middle;
		}
		else
		{
			if (!read_range(source, begin, middle, sibling))
				return false;
			begin = middle;
		}
	}
	reverse(proof);
	return true;
}

/*
 * Prove that the tree of the old size is the beginning of the tree of the new
 * size: RFC 9162, section 2.1.4.1.  From no leaves, or to the same size, there
 * is nothing to prove, and the proof is empty.
 */
bool
merkle_consistency_proof(const MerkleSource *source, uint64_t old_size,
						 uint64_t new_size, MerkleProof *proof)
{
	uint64_t	begin = 0;
	uint64_t	end = new_size;

	proof->length = 0;
	if (new_size > MERKLE_SIZE_MOST || old_size > new_size)
		return false;
	if (old_size == 0)
		return true;
	while (old_size < end)
	{
		uint64_t	middle = begin + leaves_to_the_left(end - begin);
		MerkleHash *sibling = &proof->hashes[proof->length++];

		if (old_size <= middle)
		{
			if (!read_range(source, middle, end, sibling))
				return false;
			end = middle;
		}
		else
		{
			if (!read_range(source, begin, middle, sibling))
				return false;
			begin = middle;
		}
	}
	/* The whole old tree is known to who verifies; a part of it is not. */
	if (begin > 0 &&
		!read_range(source, begin, end, &proof->hashes[proof->length++]))
		return false;
	reverse(proof);
	return true;
}

/*
 * Go up one level, past those where a node at the right edge has no sibling:
 * such a node is its own parent.
 */
static void
go_up(uint64_t *node, uint64_t *last)
{
	while (*node % 2 == 0 && *node != 0)
	{
		*node /= 2;
		*last /= 2;
	}
}

/*
 * Does the proof show that the leaf with this index is in the tree with this
 * root?  RFC 9162, section 2.1.3.2.
 */
bool
merkle_verify_inclusion(Sha256 *sha256, const MerkleHash *leaf,
						uint64_t index, uint64_t size,
						const MerkleProof *proof, const MerkleHash *root)
{
	uint64_t	node = index;
	uint64_t	last = size - 1;
	MerkleHash	hash = *leaf;

	if (size > MERKLE_SIZE_MOST || index >= size)
		return false;
	for (int i = 0; i < proof->length; i++)
	{
		const MerkleHash *sibling = &proof->hashes[i];

		if (last == 0)
			return false;
		if (node % 2 == 1 || node == last)
		{
			if (!merkle_node(sha256, sibling, &hash, &hash))
				return false;
			go_up(&node, &last);
		}
		else if (!merkle_node(sha256, &hash, sibling, &hash))
			return false;
		node /= 2;
		last /= 2;
	}
	return last == 0 && merkle_equal(&hash, root);
}

/*
 * Does the rest of a consistency proof lead from "seed", the root of the
 * largest complete subtree at the right edge of the old tree, to both roots?
 * RFC 9162, section 2.1.4.2.
 */
static bool
leads_to_both(Sha256 *sha256, uint64_t old_size, uint64_t new_size,
			  const MerkleHash *seed, const MerkleHash *rest, int nrest,
			  const MerkleHash *old_root, const MerkleHash *new_root)
{
	uint64_t	node = old_size - 1;
	uint64_t	last = new_size - 1;
	MerkleHash	old_hash = *seed;
	MerkleHash	new_hash = *seed;

	while (node % 2 == 1)
	{
		node /= 2;
		last /= 2;
	}
	for (int i = 0; i < nrest; i++)
	{
		if (last == 0)
			return false;
		if (node % 2 == 1 || node == last)
		{
			if (!merkle_node(sha256, &rest[i], &old_hash, &old_hash) ||
				!merkle_node(sha256, &rest[i], &new_hash, &new_hash))
				return false;
			go_up(&node, &last);
		}
		else if (!merkle_node(sha256, &new_hash, &rest[i], &new_hash))
			return false;
		node /= 2;
		last /= 2;
	}
	return last == 0 && merkle_equal(&old_hash, old_root) &&
		merkle_equal(&new_hash, new_root);
}

/*
 * Does the proof show that the tree with the old root is the beginning of the
 * tree with the new one?  Every tree begins with the empty one.
 */
bool
merkle_verify_consistency(Sha256 *sha256, uint64_t old_size,
						  uint64_t new_size, const MerkleProof *proof,
						  const MerkleHash *old_root,
						  const MerkleHash *new_root)
{
	MerkleHash	empty;

	if (new_size > MERKLE_SIZE_MOST || old_size > new_size)
		return false;
	if (old_size == new_size)
		return proof->length == 0 && merkle_equal(old_root, new_root);
	if (old_size == 0)
		return proof->length == 0 && empty_root(sha256, &empty) &&
			merkle_equal(old_root, &empty);

	/* The root of a complete old tree is where the proof begins. */
	if ((old_size & (old_size - 1)) == 0)
		return leads_to_both(sha256, old_size, new_size, old_root,
							 proof->hashes, proof->length, old_root, new_root);
	return proof->length > 0 &&
		leads_to_both(sha256, old_size, new_size, &proof->hashes[0],
					  proof->hashes + 1, proof->length - 1, old_root, new_root);
}
