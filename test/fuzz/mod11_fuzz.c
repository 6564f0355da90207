/*
 * Fuzzer of src/mod11.c: nothing is read beyond the input, and what is accepted
 * has ten digits and comes out as it went in.
 */
#include <stdlib.h>
#include <string.h>

#include "mod11.h"

static void
require(bool holds)
{
	if (!holds)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	char	   *text = malloc(length > 0 ? length : 1);
	char		printed[NHS_NUMBER_FORMATTED + 1];
	char		digits[NHS_NUMBER_DIGITS + 1] = {0};
	int32_t		nine_digits;
	size_t		ndigits = 0;
	size_t		start;
	size_t		end;
	size_t		from = 0;

	memcpy(text, data, length);
	if (mod11_parse(text, length, &nine_digits) == NHS_NUMBER_VALID)
	{
		for (size_t i = 0; i < length; i++)
		{
			if (text[i] >= '0' && text[i] <= '9')
			{
				require(ndigits < NHS_NUMBER_DIGITS);
				digits[ndigits++] = text[i];
			}
		}
		mod11_print(nine_digits, printed);
		require(strncmp(printed, digits, NHS_NUMBER_DIGITS) == 0);
		require(mod11_to_integer(nine_digits) == strtoll(digits, NULL, 10));
	}
	free(text);

	/* The scanner takes a text that ends with a zero. */
	text = malloc(length + 1);
	memcpy(text, data, length);
	text[length] = '\0';
	while (mod11_find(text, from, &start, &end))
	{
		require(from <= start && start < end && end <= strlen(text));
		from = end;
	}
	free(text);
	return 0;
}
