/*-------------------------------------------------------------------------
 *
 * submission_sent.c
 *	  The records of a submission, read and checked one by one.
 *
 * SentRead() fills a table of rows with what can be read of each record, and the rule that it
 * breaks as far as it alone tells (record_check.c).  The rows are in a tuplestore, which goes to
 * disk where they exceed work_mem: memory does not grow with the file.  Queries read
 * it as "sent".
 *
 * Whoever calls has locked the submission: nobody adds to it meanwhile, and a record stays
 * where its tid says.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "record_check.h"
#include "relation.h"
#include "submission_sent.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/memutils.h"

/* What is being filled. */
typedef struct Filling
{
	MemoryContext context;		/* of a few records */
	SentDate	today;
	OwnGiven   *sent;
} Filling;

static Datum
date_datum(SentDate date)
{
	return DateADTGetDatum(date2j(date / 10000, date / 100 % 100, date % 100) - POSTGRES_EPOCH_JDATE);
}

/*
 * Put one record into the table.
 */
static void
put(const Filling *filling, Datum tid, Datum line_no, const CheckedRecord *record)
{
	const SentDate dates[] = {record->start_date, record->end_date, record->delete_date, record->date_of_birth};
	Datum		values[SENT_TABLE_NCOLUMNS] = {0};
	bool		isnull[SENT_TABLE_NCOLUMNS] = {false};

	values[SENT_TABLE_TID - 1] = tid;
	values[SENT_TABLE_LINE_NO - 1] = line_no;
	values[SENT_TABLE_RULE - 1] = Int32GetDatum(record->rule);
	values[SENT_TABLE_NHS_NUMBER - 1] = Int32GetDatum(record->nine_digits);
	isnull[SENT_TABLE_NHS_NUMBER - 1] = !record->has_number;
	isnull[SENT_TABLE_PLAN_TYPE - 1] = record->plan_type == NULL;
	if (record->plan_type != NULL)
		values[SENT_TABLE_PLAN_TYPE - 1] = CStringGetTextDatum(record->plan_type);
	for (int i = 0; i < lengthof(dates); i++)
	{
		isnull[SENT_TABLE_START_DATE - 1 + i] = dates[i] == 0;
		values[SENT_TABLE_START_DATE - 1 + i] = dates[i] == 0 ? (Datum) 0 : date_datum(dates[i]);
	}
	isnull[SENT_TABLE_LOCAL_REFERENCE - 1] = record->local_reference.length == 0;
	if (record->local_reference.length > 0)
		values[SENT_TABLE_LOCAL_REFERENCE - 1] =
			PointerGetDatum(cstring_to_text_with_len(record->local_reference.bytes, record->local_reference.length));
	tuplestore_putvalues(filling->sent->rows, filling->sent->descriptor, values, isnull);
	filling->sent->n++;
}

/*
 * Check records, and put them into the table.
 */
static void
take_records(SPITupleTable *rows, void *context)
{
	Filling    *filling = context;
	MemoryContext outer = MemoryContextSwitchTo(filling->context);

	for (uint64 i = 0; i < rows->numvals; i++)
	{
		SentField	fields[SENT_NCOLUMNS];
		CheckedRecord record;
		bool		isnull;
		Datum		tid = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);
		Datum		line_no = SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull);

		for (int column = 0; column < SENT_NCOLUMNS; column++)
		{
			Datum		value = SPI_getbinval(rows->vals[i], rows->tupdesc, 3 + column, &isnull);
			text	   *field = isnull ? NULL : DatumGetTextPP(value);

			fields[column].bytes = isnull ? NULL : VARDATA_ANY(field);
			fields[column].length = isnull ? 0 : VARSIZE_ANY_EXHDR(field);
		}
		record_check(fields, filling->today, &record);
		put(filling, tid, line_no, &record);
		/* A field may be a megabyte. */
		MemoryContextReset(filling->context);
	}
	MemoryContextSwitchTo(outer);
}

static TupleDesc
describe(Oid number_type)
{
	TupleDesc	descriptor = CreateTemplateTupleDesc(SENT_TABLE_NCOLUMNS);

	TupleDescInitEntry(descriptor, SENT_TABLE_TID, "tid", TIDOID, -1, 0);
	TupleDescInitEntry(descriptor, SENT_TABLE_LINE_NO, "line_no", INT4OID, -1, 0);
	TupleDescInitEntry(descriptor, SENT_TABLE_RULE, "rule", INT4OID, -1, 0);
	TupleDescInitEntry(descriptor, SENT_TABLE_NHS_NUMBER, "nhs_number", number_type, -1, 0);
	TupleDescInitEntry(descriptor, SENT_TABLE_PLAN_TYPE, "plan_type", TEXTOID, -1, 0);
	TupleDescInitEntry(descriptor, SENT_TABLE_START_DATE, "start_date", DATEOID, -1, 0);
	TupleDescInitEntry(descriptor, SENT_TABLE_END_DATE, "end_date", DATEOID, -1, 0);
	TupleDescInitEntry(descriptor, SENT_TABLE_DELETE_DATE, "delete_date", DATEOID, -1, 0);
	TupleDescInitEntry(descriptor, SENT_TABLE_DATE_OF_BIRTH, "date_of_birth", DATEOID, -1, 0);
	TupleDescInitEntry(descriptor, SENT_TABLE_LOCAL_REFERENCE, "local_reference", TEXTOID, -1, 0);
	TupleDescInitEntryCollation(descriptor, SENT_TABLE_PLAN_TYPE, C_COLLATION_OID);
	return descriptor;
}

/*
 * Read and check the records of a submission, in their order, on this day in England.
 */
void
SentRead(int64 submission_id, Oid number_type, DateADT today, OwnGiven *sent)
{
	static const Oid types[] = {INT8OID};
	Datum		value = Int64GetDatum(submission_id);
	Filling		filling = {.sent = sent};
	int			year;
	int			month;
	int			day;

	j2date(today + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	filling.today = year * 10000 + month * 100 + day;
	filling.context = AllocSetContextCreate(CurrentMemoryContext, "cpis records", ALLOCSET_DEFAULT_SIZES);
	sent->name = "sent";
	sent->descriptor = describe(number_type);
	sent->rows = tuplestore_begin_heap(true, false, work_mem);
	sent->n = 0;
	(void) OwnReadEach(CpisRelationOid(CPIS_SUBMISSION_RECORD), NULL, 0,
					   "SELECT ctid, line_no, nhs_number, plan_type, start_date, end_date, delete_date, date_of_birth, local_reference"
					   " FROM cpis.submission_record WHERE submission_id = $1 ORDER BY line_no",
					   lengthof(types), types, &value, take_records, &filling);
	MemoryContextDelete(filling.context);
}
