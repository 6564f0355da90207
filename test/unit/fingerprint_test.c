/*
 * Unit test of src/fingerprint.c: same collections in any order, differences of
 * every kind, and arithmetic against another way to compute it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fingerprint.h"

static long checks = 0;

static void
check(int holds, const char *what)
{
	checks++;
	if (!holds)
	{
		fprintf(stderr, "fingerprint_test: %s\n", what);
		exit(1);
	}
}

static uint64_t state = 88172645463325252u;

static uint64_t
next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static FingerprintKey
random_key(void)
{
	uint64_t	random[2] = {next_random(), next_random()};
	FingerprintKey key;

	fingerprint_key_make(&key, random);
	return key;
}

/* a * b modulo 2^61 - 1 by doubling. */
static uint64_t
slow_multiply(uint64_t a, uint64_t b)
{
	const uint64_t prime = (UINT64_C(1) << 61) - 1;
	uint64_t	result = 0;

	for (; b > 0; b >>= 1)
	{
		if (b & 1)
			result = (result + a) % prime;
		a = (a + a) % prime;
	}
	return result;
}

static void
test_arithmetic(void)
{
	const uint64_t prime = (UINT64_C(1) << 61) - 1;
	const uint64_t edges[] = {0, 1, 2, prime - 2, prime - 1, UINT64_C(1) << 60};

	for (int i = 0; i < 100000; i++)
	{
		uint64_t	a = i < 36 ? edges[i / 6] : next_random() % prime;
		uint64_t	b = i < 36 ? edges[i % 6] : next_random() % prime;

		check(fingerprint_join(a, b) == slow_multiply(a, b), "a product is wrong");
	}
}

static uint64_t
item(const FingerprintKey *key, const char *text, uint64_t a, uint64_t b)
{
	return fingerprint_number(key, fingerprint_number(key, fingerprint_text(key, text, strlen(text)), a), b);
}

/* The same in any order, in parts or as a whole. */
static void
test_order(void)
{
	FingerprintKey key = random_key();
	uint64_t	forward = FINGERPRINT_EMPTY;
	uint64_t	backward = FINGERPRINT_EMPTY;
	uint64_t	halves[2] = {FINGERPRINT_EMPTY, FINGERPRINT_EMPTY};

	for (int i = 0; i < 1000; i++)
	{
		forward = fingerprint_add(&key, forward, item(&key, "E08000003", i, 7 * i));
		backward = fingerprint_add(&key, backward, item(&key, "E08000003", 999 - i, 7 * (999 - i)));
		halves[i % 2] = fingerprint_add(&key, halves[i % 2], item(&key, "E08000003", i, 7 * i));
	}
	check(forward == backward, "order matters");
	check(forward == fingerprint_join(halves[0], halves[1]), "parts do not join");
}

/* One item more, less, twice, or another: never the same, for any of many keys. */
static void
test_differences(void)
{
	for (int round = 0; round < 1000; round++)
	{
		FingerprintKey key = random_key();
		uint64_t	all = FINGERPRINT_EMPTY;
		uint64_t	one = item(&key, "E08000003", 1, 2);
		const uint64_t others[] =
		{
			item(&key, "E08000003", 2, 1), item(&key, "E08000003", 1, 3),
			item(&key, "E08000003", 1, UINT64_C(2) << 32), item(&key, "E08000004", 1, 2),
			item(&key, "E0800000", 1, 2), item(&key, "E080000033", 1, 2), item(&key, "", 1, 2),
			item(&key, "E08000003", (UINT64_C(1) << 61), 2), item(&key, "E08000003", UINT64_C(1) << 61, 1),
			item(&key, "E08000003", (UINT64_C(1) << 61) - 1 + 1, 2), item(&key, "E08000003", 1, (UINT64_C(1) << 61) - 1 + 2),
			item(&key, "E08000003", 1 + (UINT64_C(1) << 60), 2), item(&key, "E08000003", UINT64_MAX, 2),
		};

		for (int i = 0; i < 100; i++)
			all = fingerprint_add(&key, all, item(&key, "E09000001", i, i));
		check(fingerprint_add(&key, all, one) != all, "one more");
		check(fingerprint_add(&key, fingerprint_add(&key, all, one), one) !=
			  fingerprint_add(&key, all, one), "one twice");
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		{
			check(others[i] != one, "another thing is the same item");
			check(fingerprint_add(&key, all, others[i]) != fingerprint_add(&key, all, one), "another");
		}
		check(fingerprint_text(&key, "\0", 1) != fingerprint_text(&key, "", 0) &&
			  fingerprint_text(&key, "\0\0", 2) != fingerprint_text(&key, "\0", 1), "zeros do not count");
	}
}

int
main(void)
{
	test_arithmetic();
	test_order();
	test_differences();
	printf("fingerprint_test: %ld checks passed\n", checks);
	return 0;
}
