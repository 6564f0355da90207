/*-------------------------------------------------------------------------
 *
 * pseudonym.c
 *	  Pseudonyms for analysts.
 *
 * An analyst sees, in place of an NHS number or a worker's name, a pseudonym: the first 16 bytes
 * of HMAC-SHA256 (RFC 2104) over it, in hexadecimal, with the key of the year in which the event
 * was recorded (UTC).  So within a year the same person has the same pseudonym, and from one
 * year to the next nobody can tell.  A key that somebody removes takes its pseudonyms along:
 * they are NULL then.
 *
 * What view cpis.analyst_event evaluates, its reader may call himself.  So no function of his
 * takes a number or a name: who could ask for the pseudonyms of numbers of his choice would try
 * all of them.  They take the place of an event, month and row, and read it themselves.
 * cpis_pseudonym() takes a number: it is for stewards, who know the numbers anyhow, and leaves an
 * event, action read, which is durable before it answers.
 *
 * The writer makes a key with the first month of a year (month.c).  Keys are read as rows of a
 * reference table (reference.c).  Locks are AccessShare.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "access/table.h"
#include "access/tableam.h"
#include "argument.h"
#include "audit_event.h"
#include "catalog/pg_class.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "pgtime.h"
#include "reference.h"
#include "relation.h"
#include "sha256.h"
#include "storage/bufmgr.h"
#include "trail_read.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "watched.h"

PG_FUNCTION_INFO_V1(cpis_event_person);
PG_FUNCTION_INFO_V1(cpis_event_worker);
PG_FUNCTION_INFO_V1(cpis_pseudonym);

/* Columns of cpis.pseudonym_key. */
#define PSEUDONYM_KEY_KEY 2

/* Bytes of a pseudonym. */
#define PSEUDONYM_LENGTH 16

/* Appends to the text what is to be hidden of the event; false where it has nothing. */
typedef bool (*Hide) (TupleTableSlot *event, StringInfo text);

/*
 * The year of a time (UTC); 0 where it has none.
 */
static int
year_of(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	return timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) == 0 ? tm.tm_year : 0;
}

/*
 * The key of a year, or NULL.
 */
static bytea *
key_of(int year, const Reading *reading)
{
	TupleDesc	descriptor;
	HeapTuple	tuple = ReferenceFind(reading, CPIS_PSEUDONYM_KEY, psprintf("%04d", year), &descriptor);
	bool		isnull;
	Datum		key;

	if (tuple == NULL)
		return NULL;
	key = heap_getattr(tuple, PSEUDONYM_KEY_KEY, descriptor, &isnull);
	return isnull ? NULL : DatumGetByteaPP(key);
}

static text *
text_attribute(TupleTableSlot *event, AuditColumn column)
{
	bool		isnull;
	Datum		value = slot_getattr(event, column, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

/*
 * A person, as every pseudonym of the year is made of him: the number, without check digit.
 */
static void
append_person(StringInfo text, int32 nhs_number)
{
	appendStringInfo(text, "person %d", nhs_number);
}

static bool
hide_person(TupleTableSlot *event, StringInfo text)
{
	bool		isnull;
	Datum		number = slot_getattr(event, AUDIT_NHS_NUMBER, &isnull);

	if (isnull)
		return false;
	append_person(text, DatumGetInt32(number));
	return true;
}

/*
 * A worker is known by the identifier that the caller gave, else by the name, within the
 * organisation.
 */
static bool
hide_worker(TupleTableSlot *event, StringInfo text)
{
	struct varlena *id = text_attribute(event, AUDIT_WORKER_ID);
	struct varlena *name = text_attribute(event, AUDIT_WORKER_NAME);
	struct varlena *organisation = text_attribute(event, AUDIT_ORGANISATION);
	struct varlena *worker = id != NULL ? id : name;

	if (worker == NULL || organisation == NULL)
		return false;
	appendStringInfo(text, "worker %s ", id != NULL ? "id" : "name");
	appendBinaryStringInfo(text, VARDATA_ANY(organisation), VARSIZE_ANY_EXHDR(organisation));
	appendStringInfoChar(text, '\n');
	appendBinaryStringInfo(text, VARDATA_ANY(worker), VARSIZE_ANY_EXHDR(worker));
	return true;
}

/*
 * The pseudonym, in this year, of what is to be hidden; NULL where the year has no key.
 */
static text *
pseudonym(int year, const StringInfoData *hidden)
{
	Reading		reading = ReadingBegin();
	bytea	   *key = key_of(year, &reading);
	uint8		digest[SHA256_LENGTH];
	char		hex[2 * PSEUDONYM_LENGTH];

	if (key != NULL && HMAC(EVP_sha256(), VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key),
							(unsigned char *) hidden->data, hidden->len, digest, NULL) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute HMAC")));
	ReadingEnd(&reading);
	if (key == NULL)
		return NULL;
	(void) hex_encode((char *) digest, PSEUDONYM_LENGTH, hex);
	return cstring_to_text_with_len(hex, sizeof(hex));
}

/*
 * The pseudonym of what is to be hidden of an event, or NULL.
 */
static text *
pseudonym_in(TupleTableSlot *event, Hide hide)
{
	StringInfoData hidden;
	bool		isnull;
	TimestampTz recorded_at = DatumGetTimestampTz(slot_getattr(event, AUDIT_RECORDED_AT, &isnull));

	initStringInfo(&hidden);
	return isnull || !hide(event, &hidden) ? NULL : pseudonym(year_of(recorded_at), &hidden);
}

/*
 * Read the event at this place, a month and a row in it, and answer the pseudonym of what is to
 * be hidden of it; NULL where there is none.
 */
static Datum
event_pseudonym(FunctionCallInfo fcinfo, Hide hide)
{
	Oid			month = PG_GETARG_OID(0);
	ItemPointer row = (ItemPointer) PG_GETARG_POINTER(1);
	Relation	table;
	TupleTableSlot *slot;
	text	   *result = NULL;

	if ((Watched(RelationRelationId, month, NULL) & (WATCHED_READ | WATCHED_TRAIL)) != (WATCHED_READ | WATCHED_TRAIL) ||
		month == CpisRelationOid(CPIS_NOTIFICATION))
		PG_RETURN_NULL();
	table = try_table_open(month, AccessShareLock);
	if (table == NULL)
		PG_RETURN_NULL();
	if (table->rd_rel->relkind == RELKIND_RELATION && ItemPointerIsValid(row) &&
		ItemPointerGetBlockNumberNoCheck(row) < RelationGetNumberOfBlocks(table))
	{
		AuditCheckColumns(table);
		slot = table_slot_create(table, NULL);
		if (table_tuple_fetch_row_version(table, row, GetActiveSnapshot(), slot))
			result = pseudonym_in(slot, hide);
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(table, AccessShareLock);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

/*
 * cpis.event_person(month, row) -> text: pseudonym of the person in an event.
 */
Datum
cpis_event_person(PG_FUNCTION_ARGS)
{
	return event_pseudonym(fcinfo, hide_person);
}

/*
 * cpis.event_worker(month, row) -> text: pseudonym of the healthcare worker in an event.
 */
Datum
cpis_event_worker(PG_FUNCTION_ARGS)
{
	return event_pseudonym(fcinfo, hide_worker);
}

/*
 * cpis_pseudonym(nhs_number, year) -> text: under which pseudonym analysts see the person in the
 * events of a year (UTC), by default the present one; NULL where the year has no key.  42501, and
 * recorded, for who is no steward; 22004 without a number.
 */
Datum
cpis_pseudonym(PG_FUNCTION_ARGS)
{
	int			year = PG_ARGISNULL(1) ? year_of(GetCurrentTimestamp()) : PG_GETARG_INT32(1);
	StringInfoData hidden;
	text	   *result;

	if (PG_ARGISNULL(0))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "nhs_number", "must not be null");
	TrailReadPerson("cpis_pseudonym", PG_GETARG_INT32(0));
	initStringInfo(&hidden);
	append_person(&hidden, PG_GETARG_INT32(0));
	result = pseudonym(year, &hidden);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}
