/*
 * Fuzzer of src/sha256.c: parts hash as the whole does, whatever the hasher has hashed before.
 */
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "sha256.h"

#define PARTS 8

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	static Sha256 *sha256;
	Sha256Part	parts[PARTS];
	uint8_t		digest[SHA256_LENGTH];
	uint8_t		expected[SHA256_LENGTH];
	int			nparts = 0;

	if (sha256 == NULL)
		sha256 = sha256_open();
	/* The first bytes say how long the parts are, the last one takes the rest. */
	for (size_t at = 0; nparts < PARTS; nparts++)
	{
		size_t		n = nparts < PARTS - 1 && (size_t) nparts < length ? data[nparts] : length;

		if (n > length - at)
			n = length - at;
		parts[nparts].bytes = data + at;
		parts[nparts].length = n;
		at += n;
	}
	if (sha256 == NULL || !sha256_parts(sha256, parts, nparts, digest))
		abort();
	SHA256(data, length, expected);
	if (memcmp(digest, expected, SHA256_LENGTH) != 0)
		abort();
	return 0;
}
