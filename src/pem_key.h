/*-------------------------------------------------------------------------
 *
 * pem_key.h
 *	  Ed25519 private keys in PEM, as plain C.
 *
 * Pure C: no PostgreSQL header, no allocation.  See pem_key.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PEM_KEY_H
#define CPIS_PEM_KEY_H

#include <stddef.h>
#include <stdint.h>

/* Length of a private key, in bytes (RFC 8032, section 5.1.5). */
#define PEM_KEY_LENGTH 32

typedef enum PemKeyFound
{
	PEM_KEY_FOUND,
	PEM_KEY_END,				/* there is nothing more */
	PEM_KEY_OF_OTHER_KIND,		/* a private key, not of Ed25519 */
	PEM_KEY_SOMETHING_ELSE		/* in PEM, or what should be */
} PemKeyFound;

extern PemKeyFound pem_key_next(const char *text, size_t length, size_t *at,
								uint8_t *key);

#endif							/* CPIS_PEM_KEY_H */
