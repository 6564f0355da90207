/*
 * Fuzzer of src/fingerprint.c: whatever is put together, forwards and backwards
 * give the same fingerprint, and another item gives another.
 */
#include <stdint.h>
#include <stdlib.h>

#include "fingerprint.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t random[2] = {UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xbf58476d1ce4e5b9)};
	FingerprintKey key;
	uint64_t	forward = FINGERPRINT_EMPTY;
	uint64_t	backward = FINGERPRINT_EMPTY;
	uint64_t	item;
	size_t		items = size / 8;

	fingerprint_key_make(&key, random);
	for (size_t i = 0; i < items; i++)
	{
		const char *first = (const char *) data + 8 * i;
		const char *last = (const char *) data + 8 * (items - 1 - i);

		forward = fingerprint_add(&key, forward, fingerprint_text(&key, first, first[0] & 7));
		backward = fingerprint_add(&key, backward, fingerprint_text(&key, last, last[0] & 7));
	}
	if (forward != backward)
		abort();
	item = fingerprint_text(&key, (const char *) data, size);
	if (forward != 0 &&
		fingerprint_add(&key, forward, item) ==
		fingerprint_add(&key, forward, fingerprint_number(&key, item, size)))
		abort();
	return 0;
}
