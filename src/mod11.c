/*-------------------------------------------------------------------------
 *
 * mod11.c
 *	  NHS numbers as plain C: check digit, parsing, printing, ranges.
 *
 * An NHS number is ten digits; the tenth is a modulus 11 check digit over the
 * first nine (ISB 0149: weights 10 down to 2, eleven less the remainder, 11
 * becomes 0, and a number for which it would be 10 is never issued).  Nine
 * digits therefore determine the whole number, and everywhere in this project
 * an NHS number is the integer that those nine digits spell, "nine_digits".
 *
 * nhs_number.c builds the SQL type on this file and log_guard.c finds numbers
 * in log entries with it.  Nothing here allocates, locks, keeps state or
 * fails: a function either answers or returns an NhsNumberProblem.
 *
 *-------------------------------------------------------------------------
 */
#include "mod11.h"

/* First of the block that is guaranteed never to be issued. */
#define SYNTHETIC_FIRST 999000000
#define SYNTHETIC_DIGITS 6

/*
 * Ranges of the first nine digits, ascending.  Whatever lies between them is
 * unallocated.  Sources differ at the edges; these are the narrow readings.
 */
static const struct
{
	int32_t		first;
	int32_t		last;
	const char *region;
}			ranges[] =
{
	{10101000, 311299999, "scotland"},
	{320000001, 399999999, "northern_ireland"},
	{400000000, 499999999, "england_wales_isle_of_man"},
	{600000000, 799999999, "england_wales_isle_of_man"},
	{800000000, 859999999, "republic_of_ireland"},
	{900000000, 998999999, "test"},
	{999000000, 999999999, "synthetic"},
};

/*
 * The weighted sum, modulo 11, of the first nine digits.
 */
static int
weighted_sum(int32_t nine_digits)
{
	int			sum = 0;

	for (int weight = 2; weight <= 10; weight++)
	{
		sum += (nine_digits % 10) * weight;
		nine_digits /= 10;
	}

	return sum % 11;
}

/*
 * The check digit of nine digits: 0 to 9, or CHECK_DIGIT_NONE.
 */
int
mod11_check_digit(int32_t nine_digits)
{
	int			remainder = weighted_sum(nine_digits);

	return remainder == 0 ? 0 : 11 - remainder;
}

/*
 * Judge ten digits given as nine and one.
 */
static NhsNumberProblem
check(int32_t nine_digits, int tenth)
{
	int			expected = mod11_check_digit(nine_digits);

	if (expected == CHECK_DIGIT_NONE)
		return NHS_NUMBER_NEVER_ISSUED;
	if (expected != tenth)
		return NHS_NUMBER_BAD_CHECK_DIGIT;
	return NHS_NUMBER_VALID;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * White space as in ASCII, whatever the locale.
 */
static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * Say why text of the wrong shape is wrong.  A stray character outweighs the
 * count of the digits, and that outweighs where the separators stand: the
 * first thing to mend comes first.
 */
static NhsNumberProblem
shape_problem(const char *text, size_t length)
{
	size_t		digits = 0;

	if (length == 0)
		return NHS_NUMBER_EMPTY;

	for (size_t i = 0; i < length; i++)
	{
		if (is_digit(text[i]))
			digits++;
		else if (text[i] != ' ' && text[i] != '-')
			return NHS_NUMBER_BAD_CHARACTER;
	}

	return digits == NHS_NUMBER_DIGITS ?
		NHS_NUMBER_BAD_GROUPING : NHS_NUMBER_BAD_LENGTH;
}

/*
 * Judge ten digits with nothing between them, the shape in which nearly all
 * numbers come: digits and weighted sum in one pass, the check digit with a
 * weight of 1 making it a multiple of 11.  NHS_NUMBER_BAD_CHARACTER where they
 * are not ten digits: let others say why.
 */
static NhsNumberProblem
read_plain(const char *text, int32_t *nine_digits)
{
	unsigned	nine = 0;
	unsigned	sum = 0;
	unsigned	stray = 0;
	unsigned	tenth = (unsigned char) text[9] - (unsigned) '0';

	for (unsigned i = 0; i < 9; i++)
	{
		unsigned	digit = (unsigned char) text[i] - (unsigned) '0';

		stray |= (digit > 9);
		nine = nine * 10 + digit;
		sum += digit * (10 - i);
	}
	if (stray || tenth > 9)
		return NHS_NUMBER_BAD_CHARACTER;
	if ((sum + tenth) % 11 != 0)
		return sum % 11 == 1 ? NHS_NUMBER_NEVER_ISSUED : NHS_NUMBER_BAD_CHECK_DIGIT;
	*nine_digits = (int32_t) nine;
	return NHS_NUMBER_VALID;
}

/*
 * Are these twelve characters 3-3-4 with one kind of separator?
 */
static bool
is_grouped(const char *text)
{
	return (text[3] == ' ' || text[3] == '-') && text[7] == text[3];
}

/*
 * Read ten digits, or 3-3-4 with single spaces or single hyphens, ignoring
 * outer white space.  *nine_digits is set only for NHS_NUMBER_VALID.
 */
NhsNumberProblem
mod11_parse(const char *text, size_t length, int32_t *nine_digits)
{
	bool		grouped;
	int32_t		nine = 0;
	NhsNumberProblem problem;

	if (length == NHS_NUMBER_DIGITS)
	{
		problem = read_plain(text, nine_digits);
		if (problem != NHS_NUMBER_BAD_CHARACTER)
			return problem;
	}

	while (length > 0 && is_space(text[0]))
		text++, length--;
	while (length > 0 && is_space(text[length - 1]))
		length--;

	grouped = (length == NHS_NUMBER_FORMATTED && is_grouped(text));
	if (length != NHS_NUMBER_DIGITS && !grouped)
		return shape_problem(text, length);

	for (size_t i = 0; i < length - 1; i++)
	{
		if (grouped && (i == 3 || i == 7))
			continue;
		if (!is_digit(text[i]))
			return shape_problem(text, length);
		nine = nine * 10 + (text[i] - '0');
	}
	if (!is_digit(text[length - 1]))
		return shape_problem(text, length);

	problem = check(nine, text[length - 1] - '0');
	if (problem == NHS_NUMBER_VALID)
		*nine_digits = nine;
	return problem;
}

/*
 * Read the ten-digit number from an integer, in which leading zeros do not
 * show.  *nine_digits is set only for NHS_NUMBER_VALID.
 */
NhsNumberProblem
mod11_from_integer(int64_t number, int32_t *nine_digits)
{
	NhsNumberProblem problem;

	if (number < 0 || number > INT64_C(9999999999))
		return NHS_NUMBER_BAD_LENGTH;

	problem = check((int32_t) (number / 10), (int) (number % 10));
	if (problem == NHS_NUMBER_VALID)
		*nine_digits = (int32_t) (number / 10);
	return problem;
}

/*
 * The ten-digit number as an integer.
 */
int64_t
mod11_to_integer(int32_t nine_digits)
{
	return (int64_t) nine_digits * 10 + mod11_check_digit(nine_digits);
}

/*
 * A whole sentence for each problem, or NULL for none.  It never repeats the
 * text that was judged: that may be a person's number, and may reach a log.
 */
const char *
mod11_problem_text(NhsNumberProblem problem)
{
	switch (problem)
	{
		case NHS_NUMBER_VALID:
			return NULL;
		case NHS_NUMBER_EMPTY:
			return "The value is empty.";
		case NHS_NUMBER_BAD_CHARACTER:
			return "An NHS number has only digits, single spaces and single hyphens.";
		case NHS_NUMBER_BAD_LENGTH:
			return "An NHS number has ten digits.";
		case NHS_NUMBER_BAD_GROUPING:
			return "The digits of an NHS number stand together or in groups of 3, 3 and 4, separated alike.";
		case NHS_NUMBER_NEVER_ISSUED:
			return "The first nine digits have no valid check digit, so this number is never issued.";
		case NHS_NUMBER_BAD_CHECK_DIGIT:
			return "The tenth digit is not the check digit of the first nine.";
	}
	return "The value is not an NHS number.";
}

/*
 * Print the ten digits, leading zeros kept, and a terminating zero byte:
 * "out" has room for NHS_NUMBER_DIGITS + 1.
 */
void
mod11_print(int32_t nine_digits, char *out)
{
	int64_t		number = mod11_to_integer(nine_digits);

	out[NHS_NUMBER_DIGITS] = '\0';
	for (int i = NHS_NUMBER_DIGITS - 1; i >= 0; i--)
	{
		out[i] = (char) ('0' + number % 10);
		number /= 10;
	}
}

/*
 * Print the ten digits as 3-3-4 with spaces, as ISB 0149 asks for display:
 * "out" has room for NHS_NUMBER_FORMATTED + 1.
 */
void
mod11_print_formatted(int32_t nine_digits, char *out)
{
	char		digits[NHS_NUMBER_DIGITS + 1];
	const char *next = digits;

	mod11_print(nine_digits, digits);
	for (int i = 0; i < NHS_NUMBER_FORMATTED; i++)
		out[i] = (i == 3 || i == 7) ? ' ' : *next++;
	out[NHS_NUMBER_FORMATTED] = '\0';
}

/*
 * Where a number was issued, by its first nine digits.
 */
const char *
mod11_region(int32_t nine_digits)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
	{
		if (nine_digits >= ranges[i].first && nine_digits <= ranges[i].last)
			return ranges[i].region;
	}
	return "unallocated";
}

/*
 * Is it one digit ten times?  All ten such numbers pass the check, and systems
 * send them to mean "missing".
 */
bool
mod11_is_placeholder(int32_t nine_digits)
{
	return nine_digits % 111111111 == 0;
}

/*
 * Fill never[k][r] with how many of the 10^k endings of k digits make a number
 * that is never issued, where r is the weighted sum, modulo 11, of the digits
 * before them.  The digit with k digits after it has weight k + 2.
 */
static void
count_never_issued(int32_t never[SYNTHETIC_DIGITS + 1][11])
{
	for (int r = 0; r < 11; r++)
		never[0][r] = (r == 1) ? 1 : 0;

	for (int k = 1; k <= SYNTHETIC_DIGITS; k++)
	{
		for (int r = 0; r < 11; r++)
		{
			never[k][r] = 0;
			for (int digit = 0; digit <= 9; digit++)
				never[k][r] += never[k - 1][(r + digit * (k + 1)) % 11];
		}
	}
}

/*
 * How many valid numbers the block 999 has.
 */
int32_t
mod11_synthetic_count(void)
{
	int32_t		never[SYNTHETIC_DIGITS + 1][11];

	count_never_issued(never);
	return 1000000 - never[SYNTHETIC_DIGITS][weighted_sum(SYNTHETIC_FIRST)];
}

/*
 * The n-th valid number of the block 999, counted from 1 in ascending order.
 * n must be 1 .. mod11_synthetic_count().
 *
 * Chooses digit by digit, skipping the numbers below each candidate, so that
 * the cost does not depend on n.
 */
int32_t
mod11_synthetic(int32_t n)
{
	int32_t		never[SYNTHETIC_DIGITS + 1][11];
	int			sum = weighted_sum(SYNTHETIC_FIRST);
	int32_t		endings = 1000000;
	int32_t		ending = 0;
	int32_t		skip = n - 1;

	count_never_issued(never);
	for (int k = SYNTHETIC_DIGITS; k >= 1; k--)
	{
		int			digit = 0;

		endings /= 10;
		for (;;)
		{
			int			next = (sum + digit * (k + 1)) % 11;
			int32_t		valid = endings - never[k - 1][next];

			if (skip < valid)
			{
				sum = next;
				break;
			}
			skip -= valid;
			digit++;
		}
		ending = ending * 10 + digit;
	}

	return SYNTHETIC_FIRST + ending;
}

/*
 * Find the next valid NHS number in a zero-terminated text, ten digits or
 * 3-3-4, that no further digit touches.  Answers whether there is one at or
 * after "from"; *start and *end then delimit it.
 */
bool
mod11_find(const char *text, size_t from, size_t *start, size_t *end)
{
	for (size_t i = from; text[i] != '\0'; i++)
	{
		size_t		length = 0;
		size_t		digits = 0;
		int32_t		nine_digits;

		if (!is_digit(text[i]) || (i > 0 && is_digit(text[i - 1])))
			continue;

		while (digits < NHS_NUMBER_DIGITS && text[i + length] != '\0')
		{
			char		c = text[i + length];

			if (is_digit(c))
				digits++;
			else if (!((length == 3 || length == 7) && (c == ' ' || c == '-')))
				break;
			length++;
		}

		if (digits == NHS_NUMBER_DIGITS && !is_digit(text[i + length]) &&
			mod11_parse(text + i, length, &nine_digits) == NHS_NUMBER_VALID)
		{
			*start = i;
			*end = i + length;
			return true;
		}
	}
	return false;
}
