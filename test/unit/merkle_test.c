/*
 * Unit tests of src/merkle.c: the public vectors of RFC 6962's eight-leaf tree,
 * and every tree of up to 300 leaves against the definition in RFC 9162,
 * written here as it stands there, recursively and without tiles.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merkle.h"

/* All trees up to this size are tried; a tile and a bit. */
#define LEAVES 300

static int	tests = 0;
static int	failures = 0;
static Sha256 *sha256;
static MerkleHash leaves[1 << 17];

static void
check(bool holds, const char *what, long a, long b)
{
	tests++;
	if (holds)
		return;
	failures++;
	fprintf(stderr, "not ok: %s (%ld, %ld)\n", what, a, b);
}

/*
 * The definition: MTH, PATH and SUBPROOF of RFC 9162, section 2.1.
 */
static long
split(long n)
{
	long		k = 1;

	while (k * 2 < n)
		k *= 2;
	return k;
}

static MerkleHash
mth(const MerkleHash *d, long n)
{
	MerkleHash	hash;

	if (n == 0)
		sha256_parts(sha256, NULL, 0, hash.bytes);
	else if (n == 1)
		hash = d[0];
	else
	{
		MerkleHash	left = mth(d, split(n));
		MerkleHash	right = mth(d + split(n), n - split(n));

		merkle_node(sha256, &left, &right, &hash);
	}
	return hash;
}

static void
path(long m, const MerkleHash *d, long n, MerkleProof *proof)
{
	long		k;

	if (n == 1)
		return;
	k = split(n);
	if (m < k)
	{
		path(m, d, k, proof);
		proof->hashes[proof->length++] = mth(d + k, n - k);
	}
	else
	{
		path(m - k, d + k, n - k, proof);
		proof->hashes[proof->length++] = mth(d, k);
	}
}

static void
subproof(long m, const MerkleHash *d, long n, bool whole, MerkleProof *proof)
{
	long		k;

	if (m == n)
	{
		if (!whole)
			proof->hashes[proof->length++] = mth(d, n);
		return;
	}
	k = split(n);
	if (m <= k)
	{
		subproof(m, d, k, whole, proof);
		proof->hashes[proof->length++] = mth(d + k, n - k);
	}
	else
	{
		subproof(m - k, d + k, n - k, false, proof);
		proof->hashes[proof->length++] = mth(d, k);
	}
}

static bool
same_proof(const MerkleProof *a, const MerkleProof *b)
{
	if (a->length != b->length)
		return false;
	for (int i = 0; i < a->length; i++)
	{
		if (!merkle_equal(&a->hashes[i], &b->hashes[i]))
			return false;
	}
	return true;
}

/*
 * Tiles, as a growing tree hands them over.
 */
#define TILES 1024

typedef struct Store
{
	MerkleHash	hashes[2][TILES][MERKLE_TILE_WIDTH];
	uint64_t	ntiles[MERKLE_TILE_LEVELS];
	const MerkleEdge *edge;		/* what is in no full tile */
	int			unreadable;		/* reads until one fails, 0 for none */
} Store;

static Store store;
static MerkleEdge edge;

static bool
take_tile(void *context, int level, uint64_t tile, const MerkleHash *hashes,
		  const MerkleHash *root)
{
	Store	   *s = context;
	MerkleHash	expected = mth(hashes, MERKLE_TILE_WIDTH);

	check(tile == s->ntiles[level], "tiles come in order", level, tile);
	check(merkle_equal(root, &expected), "root of a tile", level, tile);
	memcpy(s->hashes[level][tile], hashes, sizeof(s->hashes[0][0]));
	s->ntiles[level]++;
	return true;
}

static bool
read_tile(void *context, int level, uint64_t tile, int width,
		  MerkleHash *hashes)
{
	Store	   *s = context;

	if (s->unreadable > 0 && --s->unreadable == 0)
		return false;
	if (tile < s->ntiles[level])
		memcpy(hashes, s->hashes[level][tile], width * sizeof(MerkleHash));
	else
	{
		check(tile == s->ntiles[level] &&
			  width <= merkle_edge_width(s->edge->size, level),
			  "nothing is read beyond the tree", level, tile);
		memcpy(hashes, s->edge->hashes[level], width * sizeof(MerkleHash));
	}
	return true;
}

static const MerkleSource *
source(void)
{
	static MerkleSource result;

	result.sha256 = sha256;
	result.read = read_tile;
	result.context = &store;
	return &result;
}

static void
grow_to(uint64_t size)
{
	if (size < edge.size)
	{
		memset(&store, 0, sizeof(store));
		memset(&edge, 0, sizeof(edge));
	}
	store.edge = &edge;
	while (edge.size < size)
		check(merkle_edge_append(&edge, sha256, &leaves[edge.size], take_tile, &store),
			  "append", edge.size, 0);
}

static MerkleHash
from_hex(const char *hex)
{
	MerkleHash	hash;

	for (size_t i = 0; i < sizeof(hash.bytes); i++)
	{
		char		byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		hash.bytes[i] = strtol(byte, NULL, 16);
	}
	return hash;
}

static void
make_leaf(int i, const void *data, size_t length)
{
	check(merkle_leaf(sha256, data, length, &leaves[i]), "leaf", i, 0);
}

/*
 * The eight leaves, roots and proofs that implementations of RFC 6962 test with.
 */
static const char *const vector_roots[] =
{
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

#define LEAF_1 "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
#define LEAF_2 "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
#define LEAF_5 "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
#define NODE_3_4 "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
#define NODE_5_6 "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
#define NODE_5_8 "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
#define NODE_7_8 "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"

static const struct
{
	int			index;
	int			size;
	int			length;
	const char *hashes[3];
}			vector_inclusion[] =
{
	{0, 1, 0, {NULL}},
	{0, 8, 3, {LEAF_2, NODE_3_4, NODE_5_8}},
	{5, 8, 3, {LEAF_5, NODE_7_8, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
	{2, 3, 1, {"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
	{1, 5, 3, {LEAF_1, NODE_3_4, LEAF_5}},
};

static const struct
{
	int			old_size;
	int			new_size;
	int			length;
	const char *hashes[3];
}			vector_consistency[] =
{
	{1, 1, 0, {NULL}},
	{1, 8, 3, {LEAF_2, NODE_3_4, NODE_5_8}},
	{6, 8, 3, {NODE_5_6, NODE_7_8, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
	{2, 5, 2, {NODE_3_4, LEAF_5}},
};

static void
make_vector_leaves(void)
{
	make_leaf(0, "", 0);
	make_leaf(1, "\x00", 1);
	make_leaf(2, "\x10", 1);
	make_leaf(3, "\x20\x21", 2);
	make_leaf(4, "\x30\x31", 2);
	make_leaf(5, "\x40\x41\x42\x43", 4);
	make_leaf(6, "\x50\x51\x52\x53\x54\x55\x56\x57", 8);
	make_leaf(7, "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16);
}

static void
test_vectors(void)
{
	MerkleHash	root;
	MerkleProof proof;

	make_vector_leaves();
	for (int size = 0; size <= 8; size++)
	{
		MerkleHash	expected = from_hex(vector_roots[size]);

		grow_to(size);
		check(merkle_root(source(), size, &root) && merkle_equal(&root, &expected),
			  "vector: root", size, 0);
	}
	for (size_t i = 0; i < sizeof(vector_inclusion) / sizeof(vector_inclusion[0]); i++)
	{
		int			index = vector_inclusion[i].index;
		int			size = vector_inclusion[i].size;
		MerkleProof expected = {0};

		for (; expected.length < vector_inclusion[i].length; expected.length++)
			expected.hashes[expected.length] =
				from_hex(vector_inclusion[i].hashes[expected.length]);
		check(merkle_inclusion_proof(source(), index, size, &proof) &&
			  same_proof(&proof, &expected), "vector: inclusion", index, size);
	}
	for (size_t i = 0; i < sizeof(vector_consistency) / sizeof(vector_consistency[0]); i++)
	{
		int			old_size = vector_consistency[i].old_size;
		int			new_size = vector_consistency[i].new_size;
		MerkleProof expected = {0};

		for (; expected.length < vector_consistency[i].length; expected.length++)
			expected.hashes[expected.length] =
				from_hex(vector_consistency[i].hashes[expected.length]);
		check(merkle_consistency_proof(source(), old_size, new_size, &proof) &&
			  same_proof(&proof, &expected), "vector: consistency", old_size, new_size);
	}
}

/*
 * A proof that holds does not hold any more with anything else put into it.
 */
static void
test_forged_inclusion(long index, long size, const MerkleProof *proof,
					  const MerkleHash *root)
{
	MerkleProof forged = *proof;
	MerkleHash	other = *root;

	for (int i = 0; i < proof->length; i++)
	{
		forged.hashes[i].bytes[(index + i) % 32] ^= 1 << (size % 8);
		check(!merkle_verify_inclusion(sha256, &leaves[index], index, size, &forged, root),
			  "another hash in the proof", index, size);
		forged.hashes[i] = proof->hashes[i];
	}
	other.bytes[size % 32] ^= 1;
	check(!merkle_verify_inclusion(sha256, &leaves[index], index, size, proof, &other),
		  "another root", index, size);
	check(!merkle_verify_inclusion(sha256, &leaves[(index + 1) % LEAVES], index, size, proof, root),
		  "another leaf", index, size);
	check(!merkle_verify_inclusion(sha256, &leaves[index], index ^ 1, size, proof, root) || size == 1,
		  "the index of the sibling", index, size);
	forged.hashes[forged.length++] = *root;
	check(!merkle_verify_inclusion(sha256, &leaves[index], index, size, &forged, root),
		  "a hash too many", index, size);
	forged.length = proof->length - 1;
	check(proof->length == 0 ||
		  !merkle_verify_inclusion(sha256, &leaves[index], index, size, &forged, root),
		  "a hash too few", index, size);
}

static void
test_forged_consistency(long old_size, long new_size, const MerkleProof *proof,
						const MerkleHash *old_root, const MerkleHash *new_root)
{
	MerkleProof forged = *proof;
	MerkleHash	other;

	for (int i = 0; i < proof->length; i++)
	{
		forged.hashes[i].bytes[(old_size + i) % 32] ^= 1 << (new_size % 8);
		check(!merkle_verify_consistency(sha256, old_size, new_size, &forged, old_root, new_root),
			  "another hash in the proof", old_size, new_size);
		forged.hashes[i] = proof->hashes[i];
	}
	other = *old_root;
	other.bytes[0] ^= 0x80;
	check(!merkle_verify_consistency(sha256, old_size, new_size, proof, &other, new_root),
		  "another old root", old_size, new_size);
	other = *new_root;
	other.bytes[31] ^= 1;
	check(!merkle_verify_consistency(sha256, old_size, new_size, proof, old_root, &other) ||
		  old_size == 0, "another new root", old_size, new_size);
	forged.hashes[forged.length++] = *new_root;
	check(!merkle_verify_consistency(sha256, old_size, new_size, &forged, old_root, new_root),
		  "a hash too many", old_size, new_size);
	forged.length = proof->length - 1;
	check(proof->length == 0 ||
		  !merkle_verify_consistency(sha256, old_size, new_size, &forged, old_root, new_root),
		  "a hash too few", old_size, new_size);
}

static void
test_tree(long size, MerkleHash *roots)
{
	MerkleHash	root;
	MerkleEdge	reread;
	MerkleProof proof;
	MerkleProof expected;

	grow_to(size);
	roots[size] = mth(leaves, size);
	check(merkle_root(source(), size, &root) && merkle_equal(&root, &roots[size]),
		  "root", size, 0);
	check(merkle_edge_root(&edge, sha256, &root) && merkle_equal(&root, &roots[size]),
		  "root from the edge", size, 0);
	check(merkle_edge_read(source(), size, &reread) &&
		  merkle_edge_root(&reread, sha256, &root) && merkle_equal(&root, &roots[size]),
		  "edge read from tiles", size, 0);

	for (long index = 0; index < size; index++)
	{
		expected.length = 0;
		path(index, leaves, size, &expected);
		check(merkle_inclusion_proof(source(), index, size, &proof) &&
			  same_proof(&proof, &expected), "inclusion", index, size);
		check(merkle_verify_inclusion(sha256, &leaves[index], index, size, &proof, &roots[size]),
			  "inclusion verifies", index, size);
		test_forged_inclusion(index, size, &proof, &roots[size]);
	}
	for (long old_size = 0; old_size <= size; old_size++)
	{
		expected.length = 0;
		if (old_size > 0)
			subproof(old_size, leaves, size, true, &expected);
		check(merkle_consistency_proof(source(), old_size, size, &proof) &&
			  same_proof(&proof, &expected), "consistency", old_size, size);
		check(merkle_verify_consistency(sha256, old_size, size, &proof, &roots[old_size], &roots[size]),
			  "consistency verifies", old_size, size);
		test_forged_consistency(old_size, size, &proof, &roots[old_size], &roots[size]);
	}
}

/*
 * Two levels of tiles, at sizes around where something changes; and proofs for
 * smaller trees than the one that is stored.
 */
static void
test_large(void)
{
	static const long sizes[] = {65535, 65536, 65537, 65792, 66048, 100000, 131072};
	MerkleHash	root;
	MerkleHash	old_root;
	MerkleProof proof;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
	{
		long		size = sizes[s];
		MerkleHash	expected = mth(leaves, size);

		grow_to(size);
		check(merkle_edge_root(&edge, sha256, &root) && merkle_equal(&root, &expected),
			  "large: root from the edge", size, 0);
		for (size_t o = 0; o <= s; o++)
		{
			old_root = mth(leaves, sizes[o]);
			check(merkle_root(source(), sizes[o], &root) && merkle_equal(&root, &old_root),
				  "large: root of a smaller tree", sizes[o], size);
			check(merkle_consistency_proof(source(), sizes[o], size, &proof) &&
				  merkle_verify_consistency(sha256, sizes[o], size, &proof, &old_root, &expected),
				  "large: consistency", sizes[o], size);
			for (long index = o; index < sizes[o]; index += 4999)
				check(merkle_inclusion_proof(source(), index, sizes[o], &proof) &&
					  merkle_verify_inclusion(sha256, &leaves[index], index, sizes[o], &proof, &old_root),
					  "large: inclusion", index, sizes[o]);
		}
	}
}

/*
 * What makes no sense is answered false, and so is a tree that cannot be read.
 */
static void
test_refusals(void)
{
	uint64_t	beyond = (uint64_t) MERKLE_SIZE_MOST + 1;
	MerkleHash	root;
	MerkleProof proof = {0};
	MerkleEdge	full;

	grow_to(300);
	check(!merkle_inclusion_proof(source(), 300, 300, &proof), "index beyond the tree", 300, 300);
	check(!merkle_inclusion_proof(source(), 0, 0, &proof), "index in no tree", 0, 0);
	check(!merkle_inclusion_proof(source(), 0, beyond, &proof), "tree too large", 0, -1);
	check(!merkle_consistency_proof(source(), 301, 300, &proof), "tree that shrinks", 301, 300);
	check(!merkle_consistency_proof(source(), 1, beyond, &proof), "tree too large", 1, -1);
	check(!merkle_root(source(), beyond, &root), "tree too large", -1, 0);
	check(!merkle_edge_read(source(), beyond, &full), "tree too large", -1, 0);
	check(!merkle_verify_inclusion(sha256, &leaves[0], 300, 300, &proof, &root), "index beyond the tree", 300, 300);
	check(!merkle_verify_inclusion(sha256, &leaves[0], 0, 0, &proof, &root), "index in no tree", 0, 0);
	check(!merkle_verify_consistency(sha256, 301, 300, &proof, &root, &root), "tree that shrinks", 301, 300);
	full.size = MERKLE_SIZE_MOST;
	check(!merkle_edge_append(&full, sha256, &leaves[0], take_tile, &store), "tree that is full", -1, 0);

	for (int reads = 1; reads <= 2; reads++)
	{
		store.unreadable = reads;
		check(!merkle_root(source(), 299, &root), "unreadable: root", reads, 0);
		store.unreadable = reads;
		check(!merkle_edge_read(source(), 257, &full), "unreadable: edge", reads, 0);
		store.unreadable = reads;
		check(!merkle_inclusion_proof(source(), 3, 299, &proof), "unreadable: inclusion", reads, 0);
		store.unreadable = reads;
		check(!merkle_consistency_proof(source(), 77, 299, &proof), "unreadable: consistency", reads, 0);
	}
	store.unreadable = 0;
}

int
main(void)
{
	static MerkleHash roots[LEAVES + 1];

	sha256 = sha256_open();
	if (sha256 == NULL)
	{
		fprintf(stderr, "no SHA-256\n");
		return 1;
	}
	test_vectors();

	for (long i = 0; i < (long) (sizeof(leaves) / sizeof(leaves[0])); i++)
	{
		char		data[32];

		make_leaf(i, data, snprintf(data, sizeof(data), "leaf %ld", i));
	}
	grow_to(0);
	for (long size = 0; size <= LEAVES; size++)
		test_tree(size, roots);
	test_large();
	test_refusals();
	sha256_close(sha256);

	printf("merkle: %d of %d checks passed\n", tests - failures, tests);
	return failures != 0;
}
