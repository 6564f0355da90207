/*
 * Fuzzer of src/pem_key.c: nothing is read beyond the input, and it ends: each
 * call gets further, by a whole key at least.
 */
#include <stdlib.h>
#include <string.h>

#include "pem_key.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	char	   *text = malloc(length > 0 ? length : 1);
	uint8_t		key[PEM_KEY_LENGTH];
	size_t		at = 0;
	size_t		before = 0;

	memcpy(text, data, length);
	while (pem_key_next(text, length, &at, key) == PEM_KEY_FOUND)
	{
		if (at > length || at < before + 64)
			abort();
		before = at;
	}
	free(text);
	return 0;
}
