/*-------------------------------------------------------------------------
 *
 * sha256.h
 *	  SHA-256 as plain C, over OpenSSL.
 *
 * Pure C: no PostgreSQL header, no allocation but OpenSSL's.  See sha256.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SHA256_H
#define CPIS_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_LENGTH 32

/* A part of what is hashed. */
typedef struct Sha256Part
{
	const void *bytes;
	size_t		length;
} Sha256Part;

typedef struct Sha256 Sha256;

extern Sha256 *sha256_open(void);
extern void sha256_close(Sha256 *sha256);
extern bool sha256_parts(Sha256 *sha256, const Sha256Part *parts, int nparts,
						 uint8_t *digest);

#endif							/* CPIS_SHA256_H */
