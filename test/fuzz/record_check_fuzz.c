/*
 * Fuzzer of src/record_check.c: nothing is read beyond a field, and what is found sound is
 * so by other means.
 */
#include <stdlib.h>
#include <string.h>

#include "record_check.h"

#define TODAY 20261126

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static bool
is_date(SentDate date)
{
	return date >= 19000101 && date <= 29991231 && date / 100 % 100 >= 1 && date / 100 % 100 <= 12 &&
		date % 100 >= 1 && date % 100 <= 31;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	SentField	fields[SENT_NCOLUMNS];
	char	   *copies[SENT_NCOLUMNS];
	CheckedRecord record;
	size_t		at = 0;

	/* Fields are separated by line feeds; a block of memory each, so that none is left. */
	for (int i = 0; i < SENT_NCOLUMNS; i++)
	{
		const uint8_t *end = memchr(data + at, '\n', length - at);
		size_t		n = end == NULL ? length - at : (size_t) (end - data) - at;

		copies[i] = malloc(n > 0 ? n : 1);
		memcpy(copies[i], data + at, n);
		fields[i].bytes = n == 0 ? NULL : copies[i];
		fields[i].length = n;
		at = end == NULL ? length : at + n + 1;
	}

	record_check(fields, TODAY, &record);
	require(record.rule >= RULE_NONE && record.rule < RULE_NOT_FOUND);
	require(record_rule_code(record.rule) != NULL);
	if (record.rule == RULE_NONE)
	{
		require(record.has_number && record.plan_type != NULL && is_date(record.start_date));
		require(record.end_date == 0 || (is_date(record.end_date) && record.end_date >= record.start_date));
		require(record.delete_date == 0 || is_date(record.delete_date));
		require(record.date_of_birth <= TODAY);
		require(record.local_reference.length <= LOCAL_REFERENCE_LENGTH);
	}
	for (int i = 0; i < SENT_NCOLUMNS; i++)
		free(copies[i]);
	return 0;
}
