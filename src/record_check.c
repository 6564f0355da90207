/*-------------------------------------------------------------------------
 *
 * record_check.c
 *	  What an authority has sent, field by field, against the rules.
 *
 * record_check() says what can be read of a record and which rule it breaks first,
 * as far as the record alone tells; submission_apply.c goes on with what the
 * register and the demographics service know.  The table of rules has the record
 * code of CP-IS (CPR01 to CPR07), our own detail code, and the column that is wrong.
 *
 * White space around a field, and a byte order mark before it, do not count; a field
 * that is empty then is one that was not sent.  Dates are YYYY-MM-DD or YYYYMMDD (ISO
 * 8601), for 04/03/2026 is another day here than there.
 *
 * Who is eighteen or over has no record that runs, nor one that began then; one that
 * has ended may be sent, for it ends what was there before.  The mother of an unborn
 * child may be of any age.  Born on 29 February, one is eighteen on 1 March.
 *
 *-------------------------------------------------------------------------
 */
#include "record_check.h"

#include <string.h>

#include "mod11.h"

/* Limits of the dates of plans, as the constraints of cpis.plan have them. */
#define DATE_FIRST 19480705
#define DATE_LAST 29991231
#define BIRTH_FIRST 19000101

#define OF_AGE 18

/* What is said of a rule. */
static const struct
{
	const char *code;
	const char *detail;
	const char *field;
}			rules[RULE_COUNT] =
{
	[RULE_NONE] = {"CPR06", NULL, NULL},
	[RULE_NHS_NUMBER_MISSING] = {"CPR04", "nhs_number_missing", "nhs_number"},
	[RULE_NHS_NUMBER_FORMAT] = {"CPR04", "nhs_number_format", "nhs_number"},
	[RULE_NHS_NUMBER_CHECK_DIGIT] = {"CPR04", "nhs_number_check_digit", "nhs_number"},
	[RULE_NHS_NUMBER_PLACEHOLDER] = {"CPR04", "nhs_number_placeholder", "nhs_number"},
	[RULE_PLAN_TYPE_MISSING] = {"CPR07", "plan_type_missing", "plan_type"},
	[RULE_PLAN_TYPE_UNKNOWN] = {"CPR07", "plan_type_unknown", "plan_type"},
	[RULE_START_DATE_MISSING] = {"CPR07", "start_date_missing", "start_date"},
	[RULE_START_DATE_FORMAT] = {"CPR07", "start_date_format", "start_date"},
	[RULE_START_DATE_RANGE] = {"CPR07", "start_date_range", "start_date"},
	[RULE_END_DATE_FORMAT] = {"CPR07", "end_date_format", "end_date"},
	[RULE_END_DATE_RANGE] = {"CPR07", "end_date_range", "end_date"},
	[RULE_END_BEFORE_START] = {"CPR07", "end_before_start", "end_date"},
	[RULE_DELETE_DATE_FORMAT] = {"CPR07", "delete_date_format", "delete_date"},
	[RULE_DELETE_DATE_RANGE] = {"CPR07", "delete_date_range", "delete_date"},
	[RULE_DATE_OF_BIRTH_FORMAT] = {"CPR07", "date_of_birth_format", "date_of_birth"},
	[RULE_DATE_OF_BIRTH_RANGE] = {"CPR07", "date_of_birth_range", "date_of_birth"},
	[RULE_START_BEFORE_BIRTH] = {"CPR07", "start_before_birth", "start_date"},
	[RULE_OVER_EIGHTEEN] = {"CPR07", "over_eighteen", "date_of_birth"},
	[RULE_REFERENCE_TEXT] = {"CPR07", "local_reference_text", "local_reference"},
	[RULE_REFERENCE_LENGTH] = {"CPR07", "local_reference_length", "local_reference"},
	[RULE_NOT_FOUND] = {"CPR01", "nhs_number_not_found", "nhs_number"},
	[RULE_SENSITIVE] = {"CPR02", "nhs_number_sensitive", "nhs_number"},
	[RULE_NOT_VERIFIED] = {"CPR03", "nhs_number_not_verified", "nhs_number"},
	[RULE_SUPERSEDED] = {"CPR05", "nhs_number_superseded", "nhs_number"},
	[RULE_INACTIVE] = {"CPR05", "nhs_number_inactive", "nhs_number"},
	[RULE_DUPLICATE] = {"CPR07", "duplicate", "start_date"},
	[RULE_NOT_HELD] = {"CPR07", "not_held", "end_date"},
	[RULE_DELETED] = {"CPR07", "not_held", "delete_date"},
	[RULE_NO_SUCH_PLAN] = {"CPR07", "no_such_plan", "start_date"},
	[RULE_FILE_REFUSED] = {"CPR07", "file_refused", NULL},
};

/*
 * The record code of CP-IS for this rule.
 */
const char *
record_rule_code(RecordRule rule)
{
	return rules[rule].code;
}

/*
 * Its detail code, or NULL.
 */
const char *
record_rule_detail(RecordRule rule)
{
	return rules[rule].detail;
}

/*
 * The column that it is about, or NULL.
 */
const char *
record_rule_field(RecordRule rule)
{
	return rules[rule].field;
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * The field without a byte order mark before it and white space around it; of no
 * length where nothing is left.
 */
static SentField
trim(SentField field)
{
	static const char mark[] = "\xef\xbb\xbf";
	SentField	rest = field;

	if (rest.bytes == NULL)
		rest.length = 0;
	if (rest.length >= 3 && memcmp(rest.bytes, mark, 3) == 0)
	{
		rest.bytes += 3;
		rest.length -= 3;
	}
	while (rest.length > 0 && is_space(rest.bytes[0]))
	{
		rest.bytes++;
		rest.length--;
	}
	while (rest.length > 0 && is_space(rest.bytes[rest.length - 1]))
		rest.length--;
	return rest;
}

/*
 * So many digits as a number, or -1.
 */
static int32_t
digits(const char *text, int n)
{
	int32_t		number = 0;

	for (int i = 0; i < n; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return -1;
		number = number * 10 + (text[i] - '0');
	}
	return number;
}

static bool
is_leap_year(int32_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/*
 * Read a date, YYYY-MM-DD or YYYYMMDD, that there is in the calendar.
 */
bool
sent_date_parse(SentField field, SentDate *date)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int			dash = field.length == 10 ? 1 : 0;
	int32_t		year;
	int32_t		month;
	int32_t		day;

	if (field.length != 8 && field.length != 10)
		return false;
	if (dash && (field.bytes[4] != '-' || field.bytes[7] != '-'))
		return false;
	year = digits(field.bytes, 4);
	month = digits(field.bytes + 4 + dash, 2);
	day = digits(field.bytes + 6 + 2 * dash, 2);
	if (year < 1 || month < 1 || month > 12 || day < 1 ||
		day > days[month - 1] + (month == 2 && is_leap_year(year) ? 1 : 0))
		return false;
	*date = year * 10000 + month * 100 + day;
	return true;
}

/*
 * Note the first rule that is broken.
 */
static void
breaks(CheckedRecord *record, RecordRule rule)
{
	if (record->rule == RULE_NONE)
		record->rule = rule;
}

static void
check_number(SentField field, CheckedRecord *record)
{
	NhsNumberProblem problem;

	if (field.length == 0)
	{
		breaks(record, RULE_NHS_NUMBER_MISSING);
		return;
	}
	problem = mod11_parse(field.bytes, field.length, &record->nine_digits);
	if (problem == NHS_NUMBER_NEVER_ISSUED || problem == NHS_NUMBER_BAD_CHECK_DIGIT)
		breaks(record, RULE_NHS_NUMBER_CHECK_DIGIT);
	else if (problem != NHS_NUMBER_VALID)
		breaks(record, RULE_NHS_NUMBER_FORMAT);
	else if (mod11_is_placeholder(record->nine_digits))
		breaks(record, RULE_NHS_NUMBER_PLACEHOLDER);
	else
		record->has_number = true;
}

/*
 * Is the field this word, in whatever case?
 */
static bool
is_word(SentField field, const char *word)
{
	if (strlen(word) != field.length)
		return false;
	for (size_t i = 0; i < field.length; i++)
	{
		char		c = field.bytes[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if (c != word[i])
			return false;
	}
	return true;
}

/*
 * The kind of plan: its code, or the abbreviation that the guidance uses for it.
 */
static void
check_plan_type(SentField field, CheckedRecord *record)
{
	static const char *const names[][2] = {
		{"child_protection", "cpp"}, {"looked_after", "lac"}, {"unborn", "ucpp"}
	};

	if (field.length == 0)
	{
		breaks(record, RULE_PLAN_TYPE_MISSING);
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (is_word(field, names[i][0]) || is_word(field, names[i][1]))
			record->plan_type = names[i][0];
	}
	if (record->plan_type == NULL)
		breaks(record, RULE_PLAN_TYPE_UNKNOWN);
}

/*
 * Read a date that may be left out; the rules are those that it may break.
 */
static SentDate
check_date(SentField field, CheckedRecord *record, SentDate first, SentDate last,
		   RecordRule format, RecordRule range)
{
	SentDate	date;

	if (field.length == 0)
		return 0;
	if (!sent_date_parse(field, &date))
	{
		breaks(record, format);
		return 0;
	}
	if (date < first || date > last)
	{
		breaks(record, range);
		return 0;
	}
	return date;
}

/*
 * Check the dates of the plan.
 */
static void
check_dates(const SentField *fields, CheckedRecord *record)
{
	if (fields[SENT_START_DATE].length == 0)
		breaks(record, RULE_START_DATE_MISSING);
	record->start_date = check_date(fields[SENT_START_DATE], record, DATE_FIRST, DATE_LAST,
									RULE_START_DATE_FORMAT, RULE_START_DATE_RANGE);
	record->end_date = check_date(fields[SENT_END_DATE], record, DATE_FIRST, DATE_LAST,
								  RULE_END_DATE_FORMAT, RULE_END_DATE_RANGE);
	if (record->start_date != 0 && record->end_date != 0 && record->end_date < record->start_date)
		breaks(record, RULE_END_BEFORE_START);
	record->delete_date = check_date(fields[SENT_DELETE_DATE], record, DATE_FIRST, DATE_LAST,
									 RULE_DELETE_DATE_FORMAT, RULE_DELETE_DATE_RANGE);
}

/*
 * The day on which somebody born then comes of age.
 */
static SentDate
comes_of_age(SentDate birth)
{
	SentDate	date = birth + OF_AGE * 10000;

	if (date % 10000 == 229 && !is_leap_year(date / 10000))
		date += 301 - 229;
	return date;
}

/*
 * Does the plan run on after this day?
 */
static bool
runs(const CheckedRecord *record, SentDate today)
{
	return (record->end_date == 0 || record->end_date > today) &&
		(record->delete_date == 0 || record->delete_date > today);
}

/*
 * Check the date of birth, which may be left out, and with it the others.
 */
static void
check_birth(SentField field, SentDate today, CheckedRecord *record)
{
	SentDate	birth = check_date(field, record, BIRTH_FIRST, today,
								   RULE_DATE_OF_BIRTH_FORMAT, RULE_DATE_OF_BIRTH_RANGE);

	record->date_of_birth = birth;
	if (birth == 0 || (record->plan_type != NULL && strcmp(record->plan_type, "unborn") == 0))
		return;
	if (record->start_date != 0 && record->start_date < birth)
		breaks(record, RULE_START_BEFORE_BIRTH);
	if ((record->start_date != 0 && record->start_date >= comes_of_age(birth)) ||
		(runs(record, today) && today >= comes_of_age(birth)))
		breaks(record, RULE_OVER_EIGHTEEN);
}

/*
 * Check the authority's own reference: no control character (C0, DEL or C1), not too
 * long.
 */
static void
check_reference(SentField field, CheckedRecord *record)
{
	const unsigned char *text = (const unsigned char *) field.bytes;

	for (size_t i = 0; i < field.length; i++)
	{
		if (text[i] < 0x20 || text[i] == 0x7f ||
			(text[i] == 0xc2 && i + 1 < field.length && text[i + 1] >= 0x80 && text[i + 1] <= 0x9f))
		{
			breaks(record, RULE_REFERENCE_TEXT);
			return;
		}
	}
	if (field.length > LOCAL_REFERENCE_LENGTH)
		breaks(record, RULE_REFERENCE_LENGTH);
	else
		record->local_reference = field;
}

/*
 * Check a record: SENT_NCOLUMNS fields, on this day in England.  What could be read is
 * there whatever rule is broken.
 */
void
record_check(const SentField *fields, SentDate today, CheckedRecord *record)
{
	SentField	trimmed[SENT_NCOLUMNS];

	memset(record, 0, sizeof(CheckedRecord));
	for (int i = 0; i < SENT_NCOLUMNS; i++)
		trimmed[i] = trim(fields[i]);
	check_number(trimmed[SENT_NHS_NUMBER], record);
	check_plan_type(trimmed[SENT_PLAN_TYPE], record);
	check_dates(trimmed, record);
	check_birth(trimmed[SENT_DATE_OF_BIRTH], today, record);
	check_reference(trimmed[SENT_LOCAL_REFERENCE], record);
}
