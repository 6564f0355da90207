/*-------------------------------------------------------------------------
 *
 * fingerprint.c
 *	  Are two collections the same, in whatever order?  As plain C.
 *
 * The fingerprint of a collection is the product, over its items x, of (r + x)
 * modulo the prime 2^61 - 1, r being random.  Two collections of n items that
 * differ have the same fingerprint with a probability of no more than n / 2^61
 * (Schwartz and Zippel: two polynomials of degree n agree in at most n points).
 * An item is itself a polynomial over the parts of what it stands for, at
 * another random point, so that two different things of k parts are the same item
 * with a probability of no more than k / 2^61.
 *
 * Fingerprints of parts of a collection can be made apart and joined.  That
 * takes constant memory and no order, where a comparison would have to sort.
 *
 *-------------------------------------------------------------------------
 */
#include "fingerprint.h"

#define PRIME ((UINT64_C(1) << 61) - 1)

/* So much of a text, and numbers below this, make one part. */
#define BYTES_OF_PART 7
#define BEYOND_PART (UINT64_C(1) << 60)

static inline uint64_t
reduce(uint64_t value)
{
	value = (value & PRIME) + (value >> 61);
	return value >= PRIME ? value - PRIME : value;
}

static inline uint64_t
multiply(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128) a * b;

	return reduce(((uint64_t) product & PRIME) + (uint64_t) (product >> 61));
}

/*
 * A key from two random numbers.
 */
void
fingerprint_key_make(FingerprintKey *key, const uint64_t *random)
{
	key->hash_point = reduce(random[0]);
	key->product_point = reduce(random[1]);
}

/*
 * Make an item, or an item with one part more, which is less than the prime.
 */
static inline uint64_t
part(const FingerprintKey *key, uint64_t item, uint64_t value)
{
	return reduce(multiply(item, key->hash_point) + value);
}

/*
 * The item of a text.
 */
uint64_t
fingerprint_text(const FingerprintKey *key, const char *text, size_t length)
{
	/* The length first: a text that ends in zeros is another one. */
	uint64_t	item = part(key, 1, (uint32_t) length);

	for (size_t i = 0; i < length; i += BYTES_OF_PART)
	{
		uint64_t	value = 0;

		for (size_t k = i; k < length && k < i + BYTES_OF_PART; k++)
			value = value << 8 | (unsigned char) text[k];
		item = part(key, item, value);
	}
	return item;
}

/*
 * The item of something and a number.  One that is too large for a part makes
 * two, the second of which no other number begins with.
 */
uint64_t
fingerprint_number(const FingerprintKey *key, uint64_t item, uint64_t number)
{
	item = part(key, item, number % BEYOND_PART);
	if (number >= BEYOND_PART)
		item = part(key, item, BEYOND_PART + number / BEYOND_PART);
	return item;
}

/*
 * The fingerprint of a collection with one item more.
 */
uint64_t
fingerprint_add(const FingerprintKey *key, uint64_t fingerprint, uint64_t item)
{
	return multiply(fingerprint, reduce(key->product_point + item));
}

/*
 * The fingerprint of two collections together.
 */
uint64_t
fingerprint_join(uint64_t one, uint64_t other)
{
	return multiply(one, other);
}
