/*-------------------------------------------------------------------------
 *
 * mod11_test.c
 *	  Tests of mod11.c on its own: "make unit".
 *
 * Prints what fails and a closing line with the counts; exits 1 on failure.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "mod11.h"

#define lengthof(a) (sizeof(a) / sizeof((a)[0]))

/* Put before a call that must not answer. */
#define UNTOUCHED (-77)

static int	passed = 0;
static int	failed = 0;

static void
ok(bool good, const char *what, const char *example)
{
	if (good)
	{
		passed++;
		return;
	}
	failed++;
	printf("failed: %s: \"%s\"\n", what, example);
}

/* For sweeps: one result for all, with the first value that was wrong. */
static void
ok_sweep(long wrong, long first_wrong, const char *what)
{
	char		example[64];

	snprintf(example, sizeof(example), "%ld wrong, first at %ld", wrong, first_wrong);
	ok(wrong == 0, what, example);
}

static void
note(bool good, long value, long *wrong, long *first_wrong)
{
	if (!good && (*wrong)++ == 0)
		*first_wrong = value;
}

/*
 * The check digit straight from the definition and over the printed digits,
 * sharing nothing with mod11.c: the first digit times 10 to the ninth times 2,
 * eleven less the remainder, 11 is 0.
 */
static int
naive_check_digit(long nine_digits)
{
	char		digits[16];
	int			sum = 0;
	int			result;

	snprintf(digits, sizeof(digits), "%09ld", nine_digits);
	for (int i = 0; i < 9; i++)
		sum += (digits[i] - '0') * (10 - i);
	result = 11 - sum % 11;
	return result == 11 ? 0 : result;
}

static void
parses_to(const char *text, size_t length, NhsNumberProblem problem, long nine_digits)
{
	int32_t		got = UNTOUCHED;
	NhsNumberProblem answer = mod11_parse(text, length, &got);

	ok(answer == problem, "parse: verdict", text);
	ok(got == (problem == NHS_NUMBER_VALID ? nine_digits : UNTOUCHED),
	   problem == NHS_NUMBER_VALID ? "parse: value" : "parse: nothing stored", text);
}

static void
test_published(void)
{
	static const char *const valid[] = {
		"9434765919", "9990000018", "9990000026", "9990000034", "9990000042",
		"9990000050", "9990000069", "9876543210", "4000000632", "0607230002",
		"1112223304", "2983396363", "9000000009", "9449305552", "9449310378",
		"9730675929", "4010232137",
	};
	static const struct
	{
		const char *text;
		NhsNumberProblem problem;
	}			invalid[] = {
		{"1234567890", NHS_NUMBER_NEVER_ISSUED},
		{"9876544321", NHS_NUMBER_BAD_CHECK_DIGIT},
		{"9991234560", NHS_NUMBER_NEVER_ISSUED},
		{"9912003899", NHS_NUMBER_BAD_CHECK_DIGIT},
	};
	static const int32_t never_issued[] = {
		400000008, 400000011, 400000025, 400000087, 999000000,
	};

	for (size_t i = 0; i < lengthof(valid); i++)
	{
		const char *v = valid[i];
		long		nine = 0;
		char		printed[NHS_NUMBER_DIGITS + 1];
		char		grouped[NHS_NUMBER_FORMATTED + 1];
		char		formatted[NHS_NUMBER_FORMATTED + 1];
		int32_t		got = UNTOUCHED;
		long long	number;

		sscanf(v, "%9ld", &nine);
		sscanf(v, "%lld", &number);
		parses_to(v, 10, NHS_NUMBER_VALID, nine);
		snprintf(grouped, sizeof(grouped), "%.3s-%.3s-%s", v, v + 3, v + 6);
		parses_to(grouped, 12, NHS_NUMBER_VALID, nine);
		snprintf(grouped, sizeof(grouped), "%.3s %.3s %s", v, v + 3, v + 6);
		parses_to(grouped, 12, NHS_NUMBER_VALID, nine);

		ok(mod11_check_digit((int32_t) nine) == v[9] - '0', "check digit", v);
		ok(mod11_to_integer((int32_t) nine) == number, "to integer", v);
		ok(mod11_from_integer(number, &got) == NHS_NUMBER_VALID && got == nine,
		   "from integer", v);

		memset(printed, '#', sizeof(printed));
		mod11_print((int32_t) nine, printed);
		ok(memcmp(printed, v, sizeof(printed)) == 0, "print", v);
		memset(formatted, '#', sizeof(formatted));
		mod11_print_formatted((int32_t) nine, formatted);
		ok(memcmp(formatted, grouped, sizeof(formatted)) == 0, "print 3-3-4", v);
	}

	for (size_t i = 0; i < lengthof(invalid); i++)
		parses_to(invalid[i].text, 10, invalid[i].problem, 0);

	for (size_t i = 0; i < lengthof(never_issued); i++)
	{
		for (int tenth = 0; tenth <= 9; tenth++)
		{
			char		text[32];
			int32_t		got = UNTOUCHED;

			snprintf(text, sizeof(text), "%09d%d", (int) never_issued[i], tenth);
			parses_to(text, 10, NHS_NUMBER_NEVER_ISSUED, 0);
			ok(mod11_from_integer((int64_t) never_issued[i] * 10 + tenth, &got) ==
			   NHS_NUMBER_NEVER_ISSUED && got == UNTOUCHED,
			   "from integer: never issued", text);
		}
		ok(mod11_check_digit(never_issued[i]) == CHECK_DIGIT_NONE,
		   "no check digit", "never issued");
	}
}

static void
test_shapes(void)
{
	static const struct
	{
		const char *text;
		NhsNumberProblem problem;
	}			cases[] = {
		/* outer white space, any of ASCII's, and no other */
		{" 9990000018", NHS_NUMBER_VALID},
		{"9990000018 ", NHS_NUMBER_VALID},
		{" \t\n\v\f\r9990000018\r\f\v\n\t ", NHS_NUMBER_VALID},
		{"\t999 000 0018\n", NHS_NUMBER_VALID},
		{"\r\n999-000-0018   ", NHS_NUMBER_VALID},
		{"\xc2\xa0" "9990000018", NHS_NUMBER_BAD_CHARACTER},
		{"9990000018\xe2\x80\x83", NHS_NUMBER_BAD_CHARACTER},
		{"\x08" "9990000018", NHS_NUMBER_BAD_CHARACTER},
		{"\x0e" "9990000018", NHS_NUMBER_BAD_CHARACTER},
		{"9990000018\x1f", NHS_NUMBER_BAD_CHARACTER},
		{"\x85" "9990000018", NHS_NUMBER_BAD_CHARACTER},

		{"", NHS_NUMBER_EMPTY},
		{" ", NHS_NUMBER_EMPTY},
		{" \t\n\v\f\r", NHS_NUMBER_EMPTY},

		{"x", NHS_NUMBER_BAD_CHARACTER},
		{"999000001x", NHS_NUMBER_BAD_CHARACTER},
		{"x990000018", NHS_NUMBER_BAD_CHARACTER},
		{"9990000018x", NHS_NUMBER_BAD_CHARACTER},
		{"+990000018", NHS_NUMBER_BAD_CHARACTER},
		{"+9990000018", NHS_NUMBER_BAD_CHARACTER},
		{"999000001O", NHS_NUMBER_BAD_CHARACTER},
		{"999\t000\t0018", NHS_NUMBER_BAD_CHARACTER},
		{"999\n000\n0018", NHS_NUMBER_BAD_CHARACTER},
		{"999.000.0018", NHS_NUMBER_BAD_CHARACTER},
		{"999/000/0018", NHS_NUMBER_BAD_CHARACTER},
		{"999:000:0018", NHS_NUMBER_BAD_CHARACTER},
		{"999_000_0018", NHS_NUMBER_BAD_CHARACTER},
		{"/990000018", NHS_NUMBER_BAD_CHARACTER},	/* before '0' */
		{":990000018", NHS_NUMBER_BAD_CHARACTER},	/* after '9' */
		{"999\xe2\x80\x93" "000\xe2\x80\x93" "0018", NHS_NUMBER_BAD_CHARACTER}, /* en dash */
		{"\xef\xbc\x99" "990000018", NHS_NUMBER_BAD_CHARACTER}, /* fullwidth 9 */
		{"\xd9\xa9\xd9\xa9\xd9\xa9\xd9\xa0\xd9\xa0", NHS_NUMBER_BAD_CHARACTER}, /* Arabic, 10 bytes */
		/* a stray character outweighs the count, the count the grouping */
		{"12x", NHS_NUMBER_BAD_CHARACTER},
		{"12 x", NHS_NUMBER_BAD_CHARACTER},

		{"1", NHS_NUMBER_BAD_LENGTH},
		{"999000001", NHS_NUMBER_BAD_LENGTH},
		{"99900000180", NHS_NUMBER_BAD_LENGTH},
		{"999000001800", NHS_NUMBER_BAD_LENGTH},
		{"999000 001", NHS_NUMBER_BAD_LENGTH},	/* ten characters */
		{"999 000 001", NHS_NUMBER_BAD_LENGTH},
		{"999 000 00018", NHS_NUMBER_BAD_LENGTH},
		{"999 000 001-", NHS_NUMBER_BAD_LENGTH},	/* twelve */
		{"999 000 001 ", NHS_NUMBER_BAD_LENGTH},
		{"999 0-0 0018", NHS_NUMBER_BAD_LENGTH},
		{"-990000018", NHS_NUMBER_BAD_LENGTH},
		{"-", NHS_NUMBER_BAD_LENGTH},
		{"--- --- ----", NHS_NUMBER_BAD_LENGTH},
		{"----------", NHS_NUMBER_BAD_LENGTH},

		{"999 0000018", NHS_NUMBER_BAD_GROUPING},
		{"999000 0018", NHS_NUMBER_BAD_GROUPING},
		{"999-0000018", NHS_NUMBER_BAD_GROUPING},
		{"999 000-0018", NHS_NUMBER_BAD_GROUPING},
		{"999-000 0018", NHS_NUMBER_BAD_GROUPING},
		{"999  000 0018", NHS_NUMBER_BAD_GROUPING},
		{"999--000--0018", NHS_NUMBER_BAD_GROUPING},
		{"99 9000 0018", NHS_NUMBER_BAD_GROUPING},
		{"9990 000 018", NHS_NUMBER_BAD_GROUPING},
		{"9990 00 0018", NHS_NUMBER_BAD_GROUPING},
		{"999 0000 018", NHS_NUMBER_BAD_GROUPING},
		{"999 000 001 8", NHS_NUMBER_BAD_GROUPING},
		{"-9990000018", NHS_NUMBER_BAD_GROUPING},
		{"9990000018-", NHS_NUMBER_BAD_GROUPING},
		{"- 9990000018", NHS_NUMBER_BAD_GROUPING},
		{"9 9 9 0 0 0 0 0 1 8", NHS_NUMBER_BAD_GROUPING},

		{"9990000019", NHS_NUMBER_BAD_CHECK_DIGIT},
		{"999 000 0017", NHS_NUMBER_BAD_CHECK_DIGIT},
		{"9990000108", NHS_NUMBER_BAD_CHECK_DIGIT}, /* neighbours swapped */
		{"999 000 0000", NHS_NUMBER_NEVER_ISSUED},
		{" 999-000-0001 ", NHS_NUMBER_NEVER_ISSUED},
	};
	static const char *const separators = " -";

	for (size_t i = 0; i < lengthof(cases); i++)
		parses_to(cases[i].text, strlen(cases[i].text), cases[i].problem, 999000001);

	/* The length counts, not a zero byte, and nothing beyond it is read. */
	parses_to("99900000180", 10, NHS_NUMBER_VALID, 999000001);
	parses_to("9990000018x", 10, NHS_NUMBER_VALID, 999000001);
	parses_to("999000001\0", 10, NHS_NUMBER_BAD_CHARACTER, 0);
	parses_to("9990000018\0", 11, NHS_NUMBER_BAD_CHARACTER, 0);
	parses_to("9990000018", 9, NHS_NUMBER_BAD_LENGTH, 0);
	parses_to("9990000018", 0, NHS_NUMBER_EMPTY, 0);

	/* Two separators in every pair of places: only 3-3-4, both alike. */
	for (int a = 0; a <= 10; a++)
		for (int b = a; b <= 10; b++)
			for (int kinds = 0; kinds < 4; kinds++)
			{
				char		text[16];
				char		first = separators[kinds / 2];
				char		second = separators[kinds % 2];
				bool		good = (a == 3 && b == 6 && first == second);

				snprintf(text, sizeof(text), "%.*s%c%.*s%c%s", a, "9990000018",
						 first, b - a, &"9990000018"[a], second, &"9990000018"[b]);
				/* outer spaces are white space, so they do not separate */
				if (first == ' ' && a == 0 && second == ' ' && (b == 0 || b == 10))
					good = true;
				if (first == ' ' && a == 10 && second == ' ')
					good = true;
				parses_to(text, 12, good ? NHS_NUMBER_VALID : NHS_NUMBER_BAD_GROUPING, 999000001);
			}

	/* Every other byte in every place is a stray character. */
	for (int byte = 0; byte <= 255; byte++)
	{
		bool		inner = (byte >= '0' && byte <= '9') || byte == ' ' || byte == '-';

		for (int at = 0; !inner && at < 12; at++)
		{
			char		text[] = "999 000 0018";
			bool		outer = byte >= '\t' && byte <= '\r' && (at == 0 || at == 11);

			text[at] = (char) byte;
			parses_to(text, 12, outer ? NHS_NUMBER_BAD_LENGTH : NHS_NUMBER_BAD_CHARACTER, 0);
		}
	}
}

static void
test_integers(void)
{
	static const struct
	{
		int64_t		number;
		NhsNumberProblem problem;
	}			cases[] = {
		{0, NHS_NUMBER_VALID},
		{9, NHS_NUMBER_BAD_CHECK_DIGIT},
		{19, NHS_NUMBER_VALID}, /* 0000000019 */
		{607230002, NHS_NUMBER_VALID},
		{9999999999, NHS_NUMBER_VALID},
		{9999999998, NHS_NUMBER_BAD_CHECK_DIGIT},
		{10000000000, NHS_NUMBER_BAD_LENGTH},
		{-1, NHS_NUMBER_BAD_LENGTH},
		{-9990000018, NHS_NUMBER_BAD_LENGTH},
		{9990000018 + (INT64_C(1) << 32), NHS_NUMBER_BAD_LENGTH},
		{9990000018 + (INT64_C(1) << 40), NHS_NUMBER_BAD_LENGTH},
		{INT64_MAX, NHS_NUMBER_BAD_LENGTH},
		{INT64_MIN, NHS_NUMBER_BAD_LENGTH},
		{4000000080, NHS_NUMBER_NEVER_ISSUED},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		int32_t		got = UNTOUCHED;
		char		example[32];

		snprintf(example, sizeof(example), "%lld", (long long) cases[i].number);
		ok(mod11_from_integer(cases[i].number, &got) == cases[i].problem,
		   "from integer: verdict", example);
		ok(got == (cases[i].problem == NHS_NUMBER_VALID ?
				   (int32_t) (cases[i].number / 10) : UNTOUCHED),
		   "from integer: value", example);
	}
}

/*
 * Each problem has a sentence of its own that cannot repeat what was judged.
 */
static void
test_problem_texts(void)
{
	ok(mod11_problem_text(NHS_NUMBER_VALID) == NULL, "problem text", "valid");
	for (int p = NHS_NUMBER_EMPTY; p <= NHS_NUMBER_BAD_CHECK_DIGIT + 1; p++)
	{
		const char *text = mod11_problem_text((NhsNumberProblem) p);

		ok(text != NULL && strlen(text) > 10 && text[strlen(text) - 1] == '.',
		   "problem text: a sentence", text ? text : "none");
		for (int other = NHS_NUMBER_EMPTY; text && other < p; other++)
			ok(strcmp(text, mod11_problem_text((NhsNumberProblem) other)) != 0,
			   "problem text: its own", text);
	}
}

static void
test_regions(void)
{
	static const struct
	{
		int32_t		nine_digits;
		const char *region;
	}			cases[] = {
		{0, "unallocated"},
		{10100999, "unallocated"},
		{10101000, "scotland"},
		{60723000, "scotland"},
		{311299999, "scotland"},
		{311300000, "unallocated"},
		{320000000, "unallocated"},
		{320000001, "northern_ireland"},
		{399999999, "northern_ireland"},
		{400000000, "england_wales_isle_of_man"},
		{499999999, "england_wales_isle_of_man"},
		{500000000, "unallocated"},
		{599999999, "unallocated"},
		{600000000, "england_wales_isle_of_man"},
		{799999999, "england_wales_isle_of_man"},
		{800000000, "republic_of_ireland"},
		{859999999, "republic_of_ireland"},
		{860000000, "unallocated"},
		{899999999, "unallocated"},
		{900000000, "test"},
		{998999999, "test"},
		{999000000, "synthetic"},
		{NINE_DIGITS_MAX, "synthetic"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		char		example[32];

		snprintf(example, sizeof(example), "%09d", (int) cases[i].nine_digits);
		ok(strcmp(mod11_region(cases[i].nine_digits), cases[i].region) == 0,
		   cases[i].region, example);
	}
}

static void
test_placeholders(void)
{
	for (int digit = 0; digit <= 9; digit++)
	{
		char		text[NHS_NUMBER_DIGITS + 1];
		int32_t		nine = UNTOUCHED;

		memset(text, '0' + digit, NHS_NUMBER_DIGITS);
		text[NHS_NUMBER_DIGITS] = '\0';
		ok(mod11_parse(text, NHS_NUMBER_DIGITS, &nine) == NHS_NUMBER_VALID &&
		   mod11_is_placeholder(nine), "placeholder", text);
		if (nine < NINE_DIGITS_MAX)
			ok(!mod11_is_placeholder(nine + 1), "no placeholder: one above", text);
		if (nine > 0)
			ok(!mod11_is_placeholder(nine - 1), "no placeholder: one below", text);
	}
	ok(!mod11_is_placeholder(999000001), "no placeholder", "9990000018");
	ok(!mod11_is_placeholder(987654321), "no placeholder", "9876543210");
}

/*
 * The whole block 999 against a loop that only counts.
 */
static void
test_synthetic(void)
{
	int32_t		count = mod11_synthetic_count();
	int32_t		n = 0;
	long		wrong = 0;
	long		first_wrong = 0;

	for (int32_t nine = 999000000; nine <= NINE_DIGITS_MAX; nine++)
	{
		if (naive_check_digit(nine) == 10)
			continue;
		n++;
		if (n <= count)
			note(mod11_synthetic(n) == nine, n, &wrong, &first_wrong);
	}
	ok_sweep(wrong, first_wrong, "synthetic: n-th of the block");
	ok(n == count, "synthetic: count", "block 999");
	ok(mod11_synthetic(1) == 999000001, "synthetic: first", "9990000018");
	ok(mod11_synthetic(count) == NINE_DIGITS_MAX, "synthetic: last", "9999999999");
}

/*
 * Two million numbers over the whole range, and both ends: the check digit as
 * the definition has it, no other tenth digit taken, and text and integer
 * lead back to the same number.
 */
static void
test_sweep(void)
{
	enum
	{
		DIGIT, TENTH, TEXT, INTEGER, CHECKS
	};
	static const char *const names[CHECKS] = {
		"sweep: check digit", "sweep: one tenth digit taken, at most",
		"sweep: text and back", "sweep: integer and back",
	};
	long		wrong[CHECKS] = {0};
	long		first_wrong[CHECKS] = {0};
	long		count = 0;

	/* 499 is prime, so that all endings come up. */
	for (long nine = 0; nine <= NINE_DIGITS_MAX;
		 nine += (nine < 1000 || nine > NINE_DIGITS_MAX - 1000) ? 1 : 499)
	{
		int			expected = naive_check_digit(nine);
		char		text[NHS_NUMBER_FORMATTED + 1];
		int32_t		got = UNTOUCHED;
		bool		one = true;

		count++;
		note(mod11_check_digit((int32_t) nine) == expected, nine,
			 &wrong[DIGIT], &first_wrong[DIGIT]);

		for (int tenth = 0; tenth <= 9; tenth++)
			if (mod11_from_integer((int64_t) nine * 10 + tenth, &got) !=
				(expected == CHECK_DIGIT_NONE ? NHS_NUMBER_NEVER_ISSUED :
				 tenth == expected ? NHS_NUMBER_VALID : NHS_NUMBER_BAD_CHECK_DIGIT))
				one = false;
		note(one, nine, &wrong[TENTH], &first_wrong[TENTH]);
		if (expected == CHECK_DIGIT_NONE)
			continue;

		note(got == nine && mod11_to_integer((int32_t) nine) == (int64_t) nine * 10 + expected,
			 nine, &wrong[INTEGER], &first_wrong[INTEGER]);

		got = UNTOUCHED;
		if (nine % 2)
			mod11_print((int32_t) nine, text);
		else
			mod11_print_formatted((int32_t) nine, text);
		note(mod11_parse(text, strlen(text), &got) == NHS_NUMBER_VALID && got == nine,
			 nine, &wrong[TEXT], &first_wrong[TEXT]);
	}

	for (int i = 0; i < CHECKS; i++)
		ok_sweep(wrong[i], first_wrong[i], names[i]);
	ok(count > 2000000, "sweep: two million numbers", "count");
}

/* A find that must answer this part of the text, or nothing if part is NULL. */
static void
finds(const char *text, size_t from, const char *part)
{
	size_t		start = 99;
	size_t		end = 99;
	bool		found = mod11_find(text, from, &start, &end);

	if (part == NULL)
		ok(!found && start == 99 && end == 99, "find: nothing", text);
	else
		ok(found && start >= from && end - start == strlen(part) &&
		   strncmp(text + start, part, end - start) == 0, "find", text);
}

static void
test_find(void)
{
	static const char *const alone = "9990000018";
	static const char *const two = "a 9990000018, b 999-000-0026.";
	size_t		start = 0;
	size_t		end = 0;

	finds(alone, 0, alone);
	finds("999 000 0018", 0, "999 000 0018");
	finds("999-000-0018", 0, "999-000-0018");
	finds("VALUES ('9990000018')", 0, alone);
	finds("x9990000018y", 0, alone);
	finds("\xc3\xa9" "9990000018\xc3\xa9", 0, alone);
	finds("-9990000018-", 0, alone);
	finds("  999 000 0018\n", 0, "999 000 0018");
	finds("0000000000", 0, "0000000000");
	finds("0607230002", 0, "0607230002");

	/* what stands before it must not hide it */
	finds("1 9990000018", 0, alone);
	finds("12-9990000018", 0, alone);
	finds("123 9990000018", 0, alone);
	finds("123 456 9990000018", 0, alone);
	finds("123 999 000 0018", 0, "999 000 0018");
	finds("123-456-999-000-0018", 0, "999-000-0018");
	finds("999 000 0019 9990000018", 0, alone);
	finds("1234567890 9990000018", 0, alone);
	finds("99900000180 9990000018", 0, alone);
	finds("2026-01-02 03:04:05 9990000018 5", 0, alone);

	finds("", 0, NULL);
	finds("no number", 0, NULL);
	finds("999000001", 0, NULL);
	finds("9990000019", 0, NULL);
	finds("9990000000", 0, NULL);
	finds("99900000180", 0, NULL);
	finds("19990000018", 0, NULL);
	finds("1999 000 0018", 0, NULL);
	finds("999 000 00180", 0, NULL);
	finds("999-000 0018", 0, NULL);
	finds("999 000-0018", 0, NULL);
	finds("999 0000018", 0, NULL);
	finds("999000 0018", 0, NULL);
	finds("999  000 0018", 0, NULL);
	finds("999\n000\n0018", 0, NULL);
	finds("999.000.0018", 0, NULL);
	finds("01632 960001", 0, NULL);

	/* from: not a part of a number that began before it */
	finds(alone, 1, NULL);
	finds(alone, 10, NULL);
	finds("19990000018", 1, NULL);
	finds("9990000018 9990000026", 1, "9990000026");
	finds("9990000018 9990000026", 10, "9990000026");
	finds("9990000018 9990000026", 11, "9990000026");
	finds("9990000018 9990000026", 12, NULL);

	/* each in turn, and where */
	ok(mod11_find(two, 0, &start, &end) && start == 2 && end == 12, "find: first", two);
	ok(mod11_find(two, end, &start, &end) && start == 16 && end == 28, "find: second", two);
	ok(!mod11_find(two, end, &start, &end), "find: no third", two);
}

int
main(void)
{
	test_published();
	test_shapes();
	test_integers();
	test_problem_texts();
	test_regions();
	test_placeholders();
	test_synthetic();
	test_sweep();
	test_find();

	printf("%d passed, %d failed\n", passed, failed);
	return failed == 0 ? 0 : 1;
}
