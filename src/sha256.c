/*-------------------------------------------------------------------------
 *
 * sha256.c
 *	  SHA-256 as plain C, over OpenSSL.
 *
 * The algorithm is fetched once and the context reused: for messages as short
 * as a node of a Merkle tree, OpenSSL 3 spends most of its time on looking the
 * algorithm up otherwise.
 *
 * A Sha256 belongs to one caller at a time.  Errors are answered, never raised:
 * NULL where there is no memory or no SHA-256, false where hashing failed.
 *
 *-------------------------------------------------------------------------
 */
#include "sha256.h"

#include <stdlib.h>

#include <openssl/evp.h>

struct Sha256
{
	EVP_MD	   *algorithm;
	EVP_MD_CTX *context;
};

/*
 * A hasher, or NULL.  To be given back to sha256_close().
 */
Sha256 *
sha256_open(void)
{
	Sha256	   *sha256 = malloc(sizeof(Sha256));

	if (sha256 == NULL)
		return NULL;
	sha256->algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	sha256->context = EVP_MD_CTX_new();
	if (sha256->algorithm == NULL || sha256->context == NULL)
	{
		sha256_close(sha256);
		return NULL;
	}
	return sha256;
}

/*
 * Give a hasher back; NULL is none.
 */
void
sha256_close(Sha256 *sha256)
{
	if (sha256 == NULL)
		return;
	EVP_MD_CTX_free(sha256->context);
	EVP_MD_free(sha256->algorithm);
	free(sha256);
}

/*
 * Hash the parts, one after the other, into SHA256_LENGTH bytes.
 */
bool
sha256_parts(Sha256 *sha256, const Sha256Part *parts, int nparts,
			 uint8_t *digest)
{
	if (EVP_DigestInit_ex2(sha256->context, sha256->algorithm, NULL) != 1)
		return false;
	for (int i = 0; i < nparts; i++)
	{
		if (EVP_DigestUpdate(sha256->context, parts[i].bytes, parts[i].length) != 1)
			return false;
	}
	return EVP_DigestFinal_ex(sha256->context, digest, NULL) == 1;
}
