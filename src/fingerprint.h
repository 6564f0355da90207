/*-------------------------------------------------------------------------
 *
 * fingerprint.h
 *	  Are two collections the same, in whatever order?  As plain C.
 *
 * Pure C: no PostgreSQL header, no allocation, no global state.  See
 * fingerprint.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_FINGERPRINT_H
#define CPIS_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

/* Random, and not known before the collections are as they are. */
typedef struct FingerprintKey
{
	uint64_t	hash_point;
	uint64_t	product_point;
} FingerprintKey;

#define FINGERPRINT_EMPTY UINT64_C(1)

extern void fingerprint_key_make(FingerprintKey *key, const uint64_t *random);
extern uint64_t fingerprint_text(const FingerprintKey *key, const char *text,
								 size_t length);
extern uint64_t fingerprint_number(const FingerprintKey *key, uint64_t item,
								   uint64_t number);
extern uint64_t fingerprint_add(const FingerprintKey *key, uint64_t fingerprint,
								uint64_t item);
extern uint64_t fingerprint_join(uint64_t one, uint64_t other);

#endif							/* CPIS_FINGERPRINT_H */
