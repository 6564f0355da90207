/*
 * Fuzzer of src/merkle.c.  The input names a tree, a leaf, an older tree and one
 * change: proofs that are made must verify, and must not once changed.  What
 * is left of the input is put to the verifiers as a proof from elsewhere, and
 * verifies against the root of the tree only where it is the tree's own.
 */
#include <stdlib.h>
#include <string.h>

#include "merkle.h"

#define LEAVES 70000
#define MEDIUM 600
#define SMALL 40

typedef struct Input
{
	uint32_t	size;
	uint32_t	old_size;
	uint32_t	index;
	uint16_t	changed_bit;
	uint64_t	claimed_index;
	uint64_t	claimed_size;
	MerkleHash	claimed_root;
} Input;

static Sha256 *sha256;
static MerkleHash hashes[3][LEAVES];
static uint64_t ntiles[MERKLE_TILE_LEVELS];
static MerkleEdge edge;

static bool
take_tile(void *context, int level, uint64_t tile, const MerkleHash *tile_hashes,
		  const MerkleHash *root)
{
	(void) context;
	(void) tile_hashes;
	(void) root;
	hashes[level + 1][tile] = *root;
	ntiles[level]++;
	return true;
}

static bool
read_tile(void *context, int level, uint64_t tile, int width, MerkleHash *out)
{
	(void) context;
	if (level > 2 || tile * MERKLE_TILE_WIDTH + width > LEAVES >> (level * MERKLE_TILE_HEIGHT))
		abort();				/* beyond the tree */
	memcpy(out, &hashes[level][tile * MERKLE_TILE_WIDTH], width * sizeof(MerkleHash));
	return true;
}

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static void
change(MerkleProof *proof, unsigned bit)
{
	bit %= proof->length * SHA256_LENGTH * 8;
	proof->hashes[bit / 256].bytes[bit % 256 / 8] ^= 1 << bit % 8;
}

/*
 * How many leaves there may be.  Large trees take long, so few are, and a change of what named one seldom names another.
 */
static uint32_t
most_leaves(const uint8_t *data, size_t length)
{
	uint8_t		sum = 0;

	for (size_t i = 0; i < length; i++)
		sum += data[i];
	return sum == 0 ? LEAVES : sum < 8 ? MEDIUM : SMALL;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	sha256 = sha256_open();
	for (uint32_t i = 0; i < LEAVES; i++)
	{
		require(merkle_leaf(sha256, &i, sizeof(i), &hashes[0][i]));
		require(merkle_edge_append(&edge, sha256, &hashes[0][i], take_tile, NULL));
	}
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	const MerkleSource source = {sha256, read_tile, NULL};
	Input		in;
	MerkleHash	root;
	MerkleHash	old_root;
	MerkleProof proof;

	if (length < sizeof(in))
		return 0;
	memcpy(&in, data, sizeof(in));
	in.size = 1 + in.size % most_leaves(data, length);
	in.old_size %= in.size + 1;
	in.index %= in.size;

	require(merkle_root(&source, in.size, &root));
	require(merkle_root(&source, in.old_size, &old_root));
	require(merkle_inclusion_proof(&source, in.index, in.size, &proof));
	require(merkle_verify_inclusion(sha256, &hashes[0][in.index], in.index, in.size, &proof, &root));
	if (proof.length > 0)
	{
		change(&proof, in.changed_bit);
		require(!merkle_verify_inclusion(sha256, &hashes[0][in.index], in.index, in.size, &proof, &root));
	}
	require(merkle_consistency_proof(&source, in.old_size, in.size, &proof));
	require(merkle_verify_consistency(sha256, in.old_size, in.size, &proof, &old_root, &root));
	if (proof.length > 0)
	{
		change(&proof, in.changed_bit);
		require(!merkle_verify_consistency(sha256, in.old_size, in.size, &proof, &old_root, &root));
	}

	proof.length = (length - sizeof(in)) / sizeof(MerkleHash);
	if (proof.length > MERKLE_PROOF_MOST)
		proof.length = MERKLE_PROOF_MOST;
	memcpy(proof.hashes, data + sizeof(in), proof.length * sizeof(MerkleHash));
	/* Of a root that is somebody's own, anything may be a proof; of the tree's, one alone. */
	(void) merkle_verify_inclusion(sha256, &hashes[0][0], in.claimed_index, in.claimed_size, &proof,
								   &in.claimed_root);
	if (merkle_verify_inclusion(sha256, &hashes[0][in.index], in.claimed_index, in.size, &proof, &root))
	{
		MerkleProof own;

		require(in.claimed_index == in.index);
		require(merkle_inclusion_proof(&source, in.index, in.size, &own));
		require(own.length == proof.length &&
				memcmp(own.hashes, proof.hashes, own.length * sizeof(MerkleHash)) == 0);
	}
	(void) merkle_verify_consistency(sha256, in.claimed_index, in.claimed_size, &proof, &old_root,
									 &in.claimed_root);
	return 0;
}
