/*-------------------------------------------------------------------------
 *
 * audit_row.c
 *	  The canonical bytes of an event, and their hash, from its row.
 *
 * Canonical bytes, of which the leaf hash is taken, are ASCII "cpis/event/1"
 * and a line feed, then the fields that are not NULL in ascending order of
 * their tags: tag u8, length u32, bytes.  The tag of a field is the number of
 * its column.  Integers are big-endian, times are microseconds since 1970-01-01
 * UTC, an NHS number is its ten digits as u64, elements of an array of texts
 * have their length before them.  Text forms of PostgreSQL are not hashed: they
 * depend on settings.
 *
 * This is the one place that says so, for the writer, which seals a row before
 * it is inserted, and for whoever verifies rows that have been stored.  The
 * latter may have been tampered with: nothing is taken for granted but the
 * types of the columns, and what the writer would never have written - an array
 * in two dimensions, an address with a mask - is answered by its column rather
 * than made into bytes that could pass for something else.
 *
 * Memory is the caller's current context; nothing is freed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "audit_row.h"
#include "canonical.h"
#include "catalog/pg_type.h"
#include "mod11.h"
#include "utils/array.h"
#include "utils/inet.h"
#include "utils/timestamp.h"

#define CANONICAL_HEADER "cpis/event/1\n"

/* How the value of a column is made into bytes. */
typedef enum ColumnForm
{
	FORM_BYTES,					/* text and bytea, as they are */
	FORM_INT8,
	FORM_INT4,
	FORM_BOOL,
	FORM_TIMESTAMP,
	FORM_NHS_NUMBER,
	FORM_INET,
	FORM_INT8S,
	FORM_TEXTS
} ColumnForm;

/* Of those that are not FORM_BYTES. */
static const uint8 forms[AUDIT_NCOLUMNS + 1] =
{
	[AUDIT_EVENT_ID] = FORM_INT8,
	[AUDIT_RECORDED_AT] = FORM_TIMESTAMP,
	[AUDIT_NHS_NUMBER] = FORM_NHS_NUMBER,
	[AUDIT_NOTIFY] = FORM_BOOL,
	[AUDIT_NOTIFIED_AUTHORITY] = FORM_TEXTS,
	[AUDIT_NOTIFICATION_NO] = FORM_INT8S,
	[AUDIT_PLAN_IDS] = FORM_INT8S,
	[AUDIT_CLIENT_ADDR] = FORM_INET,
	[AUDIT_BACKEND_PID] = FORM_INT4,
	[AUDIT_TRANSACTION_ID] = FORM_INT8,
};

/*
 * An address without a mask: its version, and its bytes.
 */
static bool
put_address(StringInfo out, AuditColumn column, Datum value)
{
	inet	   *address = DatumGetInetPP(value);
	int			length = ip_addrsize(address);

	if ((ip_family(address) != PGSQL_AF_INET && ip_family(address) != PGSQL_AF_INET6) ||
		ip_bits(address) != ip_maxbits(address))
		return false;
	canonical_tag(out, column, 1 + length);
	canonical_uint8(out, ip_family(address) == PGSQL_AF_INET ? 4 : 6);
	canonical_put(out, ip_addr(address), length);
	return true;
}

/*
 * A plain list: one dimension, from 1, nothing missing; or nothing in it.
 */
static ArrayType *
plain_list(Datum value, Oid element)
{
	ArrayType  *array = DatumGetArrayTypeP(value);

	if (ARR_ELEMTYPE(array) != element || ARR_HASNULL(array) ||
		(ARR_NDIM(array) != 0 &&
		 (ARR_NDIM(array) != 1 || ARR_LBOUND(array)[0] != 1)))
		return NULL;
	return array;
}

static int
list_elements(const ArrayType *array)
{
	return ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
}

static bool
put_int8s(StringInfo out, AuditColumn column, Datum value)
{
	ArrayType  *array = plain_list(value, INT8OID);
	int64	   *elements;
	int			n;

	if (array == NULL)
		return false;
	elements = (int64 *) ARR_DATA_PTR(array);
	n = list_elements(array);
	canonical_tag(out, column, n * sizeof(int64));
	for (int i = 0; i < n; i++)
		canonical_uint64(out, elements[i]);
	return true;
}

static bool
put_texts(StringInfo out, AuditColumn column, Datum value)
{
	ArrayType  *array = plain_list(value, TEXTOID);
	int			tag_at = out->len;
	char	   *element;
	uint32		length;
	int			n;

	if (array == NULL)
		return false;
	element = ARR_DATA_PTR(array);
	n = list_elements(array);
	canonical_tag(out, column, 0);
	for (int i = 0; i < n; i++)
	{
		canonical_uint32(out, VARSIZE_ANY_EXHDR(element));
		canonical_put(out, VARDATA_ANY(element), VARSIZE_ANY_EXHDR(element));
		element = (char *) att_align_nominal(element + VARSIZE_ANY(element), TYPALIGN_INT);
	}

	/* The length is known only now. */
	length = pg_hton32(out->len - tag_at - 1 - sizeof(uint32));
	memcpy(out->data + tag_at + 1, &length, sizeof(length));
	return true;
}

/*
 * Append the field of one column; false where the writer would not have written
 * this value.
 */
static bool
put_field(StringInfo out, AuditColumn column, Datum value)
{
	switch ((ColumnForm) forms[column])
	{
		case FORM_BYTES:
			canonical_bytes(out, column, value);
			return true;
		case FORM_INT8:
			canonical_tag(out, column, sizeof(uint64));
			canonical_uint64(out, DatumGetInt64(value));
			return true;
		case FORM_INT4:
			canonical_tag(out, column, sizeof(uint32));
			canonical_uint32(out, DatumGetInt32(value));
			return true;
		case FORM_BOOL:
			canonical_tag(out, column, 1);
			canonical_uint8(out, DatumGetBool(value) ? 1 : 0);
			return true;
		case FORM_TIMESTAMP:
			canonical_tag(out, column, sizeof(uint64));
			canonical_uint64(out, DatumGetTimestampTz(value) +
					   (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
			return true;
		case FORM_NHS_NUMBER:
			return canonical_nhs_number(out, column, DatumGetInt32(value));
		case FORM_INET:
			return put_address(out, column, value);
		case FORM_INT8S:
			return put_int8s(out, column, value);
		case FORM_TEXTS:
			return put_texts(out, column, value);
	}
	return false;
}

/*
 * Replace the contents of "out" by the canonical bytes of a row, all columns of
 * which but the leaf hash are in values[] and isnull[].  Answers
 * AUDIT_ROW_SOUND, or the first column whose value the writer would not have
 * written.
 */
AuditColumn
AuditRowBytes(const Datum *values, const bool *isnull, StringInfo out)
{
	resetStringInfo(out);
	canonical_put(out, CANONICAL_HEADER, strlen(CANONICAL_HEADER));

	for (int column = AUDIT_EVENT_ID; column <= AUDIT_SALT; column++)
	{
		if (!isnull[column - 1] && !put_field(out, column, values[column - 1]))
			return column;
	}
	return AUDIT_ROW_SOUND;
}

/*
 * The leaf hash of a row, over its canonical bytes, which are left in "buffer";
 * answers as AuditRowBytes() does.
 */
AuditColumn
AuditRowLeaf(const Datum *values, const bool *isnull, Sha256 *sha256,
			 StringInfo buffer, MerkleHash *leaf)
{
	AuditColumn unsound = AuditRowBytes(values, isnull, buffer);

	if (unsound == AUDIT_ROW_SOUND &&
		!merkle_leaf(sha256, buffer->data, buffer->len, leaf))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 of audit event")));
	return unsound;
}

/*
 * The notices that a row tells of, into PLANS_PER_LOOKUP places; how many.  For
 * rows whose leaf hash holds; of another, as far as it makes sense.
 */
int
AuditRowNotices(const Datum *values, const bool *isnull, AuditNotice *notices)
{
	ArrayType  *authorities;
	ArrayType  *numbers;
	char	   *element;
	int			n;

	if (isnull[AUDIT_NOTIFIED_AUTHORITY - 1] || isnull[AUDIT_NOTIFICATION_NO - 1])
		return 0;
	authorities = plain_list(values[AUDIT_NOTIFIED_AUTHORITY - 1], TEXTOID);
	numbers = plain_list(values[AUDIT_NOTIFICATION_NO - 1], INT8OID);
	if (authorities == NULL || numbers == NULL)
		return 0;

	n = Min(Min(list_elements(authorities), list_elements(numbers)), PLANS_PER_LOOKUP);
	element = ARR_DATA_PTR(authorities);
	for (int i = 0; i < n; i++)
	{
		notices[i].local_authority = VARDATA_ANY(element);
		notices[i].length = VARSIZE_ANY_EXHDR(element);
		notices[i].notification_no = ((int64 *) ARR_DATA_PTR(numbers))[i];
		element = (char *) att_align_nominal(element + VARSIZE_ANY(element), TYPALIGN_INT);
	}
	return n;
}
