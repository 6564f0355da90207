/*
 * Unit test of src/record_check.c: each rule, by itself and beside others, the calendar, and
 * the day on which somebody comes of age.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record_check.h"

#define TODAY 20261126

static long checks = 0;

static void
check(int holds, const char *what)
{
	checks++;
	if (!holds)
	{
		fprintf(stderr, "record_check_test: %s\n", what);
		exit(1);
	}
}

static SentField
field(const char *text)
{
	SentField	sent = {text, text == NULL ? 0 : strlen(text)};

	return sent;
}

/* A sound record, with one field as given. */
static CheckedRecord
with(SentColumn column, const char *text)
{
	SentField	fields[SENT_NCOLUMNS] = {
		field("9990000018"), field("child_protection"), field("2026-03-01"),
		field(NULL), field(NULL), field(NULL), field("REF 1")
	};
	CheckedRecord record;

	fields[column] = field(text);
	record_check(fields, TODAY, &record);
	return record;
}

static CheckedRecord
with_two(const char *type, const char *start, const char *end, const char *birth)
{
	SentField	fields[SENT_NCOLUMNS] = {
		field("9990000018"), field(type), field(start), field(end), field(NULL), field(birth), field(NULL)
	};
	CheckedRecord record;

	record_check(fields, TODAY, &record);
	return record;
}

static void
test_fields(void)
{
	static const struct
	{
		SentColumn	column;
		const char *text;
		RecordRule	rule;
	}			cases[] = {
		{SENT_NHS_NUMBER, "999 000 0018", RULE_NONE},
		{SENT_NHS_NUMBER, " 999-000-0018\t", RULE_NONE},
		{SENT_NHS_NUMBER, "\xef\xbb\xbf" "9990000018", RULE_NONE},
		{SENT_NHS_NUMBER, NULL, RULE_NHS_NUMBER_MISSING},
		{SENT_NHS_NUMBER, " \t ", RULE_NHS_NUMBER_MISSING},
		{SENT_NHS_NUMBER, "\xef\xbb\xbf", RULE_NHS_NUMBER_MISSING},
		{SENT_NHS_NUMBER, "99900000", RULE_NHS_NUMBER_FORMAT},
		{SENT_NHS_NUMBER, "999000001x", RULE_NHS_NUMBER_FORMAT},
		{SENT_NHS_NUMBER, "99 90000018", RULE_NHS_NUMBER_FORMAT},
		{SENT_NHS_NUMBER, "9990000019", RULE_NHS_NUMBER_CHECK_DIGIT},
		{SENT_NHS_NUMBER, "4000000080", RULE_NHS_NUMBER_CHECK_DIGIT},
		{SENT_NHS_NUMBER, "7777777777", RULE_NHS_NUMBER_PLACEHOLDER},
		{SENT_PLAN_TYPE, "CPP", RULE_NONE},
		{SENT_PLAN_TYPE, "lac", RULE_NONE},
		{SENT_PLAN_TYPE, " Ucpp ", RULE_NONE},
		{SENT_PLAN_TYPE, "Looked_After", RULE_NONE},
		{SENT_PLAN_TYPE, "", RULE_PLAN_TYPE_MISSING},
		{SENT_PLAN_TYPE, "cp", RULE_PLAN_TYPE_UNKNOWN},
		{SENT_PLAN_TYPE, "child protection", RULE_PLAN_TYPE_UNKNOWN},
		{SENT_START_DATE, "20260301", RULE_NONE},
		{SENT_START_DATE, " 2026-03-01\r", RULE_NONE},
		{SENT_START_DATE, "2024-02-29", RULE_NONE},
		{SENT_START_DATE, "2000-02-29", RULE_NONE},
		{SENT_START_DATE, "1948-07-05", RULE_NONE},
		{SENT_START_DATE, "2999-12-31", RULE_NONE},
		{SENT_START_DATE, NULL, RULE_START_DATE_MISSING},
		{SENT_START_DATE, "01/03/2026", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "2026-3-1", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "2026-03-01T00:00", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "2026-02-29", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "2100-02-29", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "2026-13-01", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "2026-00-01", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "2026-04-31", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "2026-04-00", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "-026-04-01", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "infinity", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "today", RULE_START_DATE_FORMAT},
		{SENT_START_DATE, "1948-07-04", RULE_START_DATE_RANGE},
		{SENT_START_DATE, "3000-01-01", RULE_START_DATE_RANGE},
		{SENT_START_DATE, "0000-01-01", RULE_START_DATE_FORMAT},
		{SENT_END_DATE, "2026-03-01", RULE_NONE},
		{SENT_END_DATE, "", RULE_NONE},
		{SENT_END_DATE, "tomorrow", RULE_END_DATE_FORMAT},
		{SENT_END_DATE, "3000-01-01", RULE_END_DATE_RANGE},
		{SENT_END_DATE, "2026-02-28", RULE_END_BEFORE_START},
		{SENT_DELETE_DATE, "2020-01-01", RULE_NONE},
		{SENT_DELETE_DATE, "never", RULE_DELETE_DATE_FORMAT},
		{SENT_DELETE_DATE, "1900-01-01", RULE_DELETE_DATE_RANGE},
		{SENT_DATE_OF_BIRTH, "2020-01-01", RULE_NONE},
		{SENT_DATE_OF_BIRTH, "2026-03-01", RULE_NONE},
		{SENT_DATE_OF_BIRTH, "1/1/2020", RULE_DATE_OF_BIRTH_FORMAT},
		{SENT_DATE_OF_BIRTH, "1899-12-31", RULE_DATE_OF_BIRTH_RANGE},
		{SENT_DATE_OF_BIRTH, "2026-11-27", RULE_DATE_OF_BIRTH_RANGE},
		{SENT_DATE_OF_BIRTH, "2026-03-02", RULE_START_BEFORE_BIRTH},
		{SENT_DATE_OF_BIRTH, "2008-11-26", RULE_OVER_EIGHTEEN},
		{SENT_DATE_OF_BIRTH, "2008-11-27", RULE_NONE},
		{SENT_LOCAL_REFERENCE, "", RULE_NONE},
		{SENT_LOCAL_REFERENCE, "caf\xc3\xa9", RULE_NONE},
		{SENT_LOCAL_REFERENCE, "a\tb", RULE_REFERENCE_TEXT},
		{SENT_LOCAL_REFERENCE, "a\x7f", RULE_REFERENCE_TEXT},
		{SENT_LOCAL_REFERENCE, "a\xc2\x85z", RULE_REFERENCE_TEXT},
		{SENT_LOCAL_REFERENCE, "1234567890123456789012345678901234567890123456789012345678901234", RULE_NONE},
		{SENT_LOCAL_REFERENCE, "12345678901234567890123456789012345678901234567890123456789012345", RULE_REFERENCE_LENGTH},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		CheckedRecord record = with(cases[i].column, cases[i].text);

		if (record.rule != cases[i].rule)
			fprintf(stderr, "case %zu: rule %d instead of %d\n", i, (int) record.rule, (int) cases[i].rule);
		check(record.rule == cases[i].rule, "a field");
	}
}

/* What can be read is there, whatever else is wrong; the first rule counts. */
static void
test_reading(void)
{
	CheckedRecord record = with(SENT_START_DATE, "2026-02-30");

	check(record.has_number && record.nine_digits == 999000001, "the number");
	check(strcmp(record.plan_type, "child_protection") == 0, "the kind");
	check(record.start_date == 0, "no start");
	check(record.local_reference.length == 5, "the reference");
	record = with(SENT_LOCAL_REFERENCE, "  x  ");
	check(record.local_reference.length == 1 && record.local_reference.bytes[0] == 'x', "trimmed");
	record = with(SENT_NHS_NUMBER, "7777777777");
	check(!record.has_number, "no placeholder");
	record = with_two("none", "none", "none", "none");
	check(record.rule == RULE_PLAN_TYPE_UNKNOWN && record.has_number, "the first rule");
	record = with(SENT_START_DATE, "20260301");
	check(record.start_date == 20260301, "basic format");
}

/* Of age on the day, wherever the year ends; who ends is let by. */
static void
test_age(void)
{
	check(with_two("lac", "2026-01-01", NULL, "2008-11-27").rule == RULE_NONE, "the day before");
	check(with_two("lac", "2026-01-01", NULL, "2008-11-26").rule == RULE_OVER_EIGHTEEN, "the day");
	check(with_two("lac", "2026-01-01", "2026-11-26", "2008-11-26").rule == RULE_NONE, "ends");
	check(with_two("lac", "2026-11-26", "2026-11-27", "2008-11-26").rule == RULE_OVER_EIGHTEEN, "begins then");
	check(with_two("lac", "2026-11-25", "2026-11-26", "2008-11-26").rule == RULE_NONE, "began before, and ends");
	check(with_two("lac", "2026-11-25", "2026-11-27", "2008-11-26").rule == RULE_OVER_EIGHTEEN, "runs on");
	check(with_two("ucpp", "2026-01-01", NULL, "1980-01-01").rule == RULE_NONE, "a mother");
	check(with_two("ucpp", "1979-01-01", NULL, "1980-01-01").rule == RULE_NONE, "whose age does not count");
	check(with_two("ucpp", "2026-01-01", NULL, "31/12/1980").rule == RULE_DATE_OF_BIRTH_FORMAT, "but must be a date");
	/* 29 February 2008: of age on 1 March 2026. */
	check(with_two("lac", "2026-02-28", "2026-11-01", "2008-02-29").rule == RULE_NONE, "28 February");
	check(with_two("lac", "2026-03-01", "2026-11-01", "2008-02-29").rule == RULE_OVER_EIGHTEEN, "1 March");
}

static void
test_rules(void)
{
	check(strcmp(record_rule_code(RULE_NONE), "CPR06") == 0 && record_rule_detail(RULE_NONE) == NULL, "loaded");
	for (int rule = RULE_NONE + 1; rule < RULE_COUNT; rule++)
	{
		const char *code = record_rule_code(rule);

		check(code != NULL && strlen(code) == 5 && strncmp(code, "CPR0", 4) == 0 &&
			  code[4] >= '1' && code[4] <= '7' && code[4] != '6', "a code");
		check(record_rule_detail(rule) != NULL, "a detail code");
		check(record_rule_field(rule) != NULL || rule == RULE_FILE_REFUSED, "a field");
	}
}

int
main(void)
{
	test_fields();
	test_reading();
	test_age();
	test_rules();
	printf("record_check_test: %ld checks\n", checks);
	return 0;
}
